"""What the environment may say."""

from pathlib import Path

import pytest

from fleetlb.runtime.settings import SettingsError, load
from fleetlb_tenant_watcher.settings import WatcherSettings


def test_the_least_and_the_most() -> None:
    environ = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}
    least = load(WatcherSettings, environ)
    assert not least.pod_backends
    assert least.service_labels == ()
    assert least.node_address_types == ("InternalIP", "ExternalIP")
    assert (least.kubeconfig, least.load_balancer_class, least.nats_creds) == (None, None, Path("/creds/nats.creds"))
    more = {"FLEETLB_KUBECONFIG": "/kube/config", "FLEETLB_LOAD_BALANCER_CLASS": "example.com/lb"}
    most = load(
        WatcherSettings,
        environ | more | {"FLEETLB_POD_BACKENDS": "true", "FLEETLB_NODE_ADDRESS_TYPES": " ExternalIP,InternalIP "},
    )
    assert most.pod_backends
    assert most.node_address_types == ("ExternalIP", "InternalIP")
    assert (most.kubeconfig, most.load_balancer_class) == (Path("/kube/config"), "example.com/lb")


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(WatcherSettings, {"FLEETLB_LOADBALANCER_CLASS": "x", "FLEETLB_POD_BACKENDS": "some"})
    text = "\n".join(caught.value.problems)
    for name in ("FLEETLB_NATS_URL", "FLEETLB_NATS_CREDS", "FLEETLB_LOADBALANCER_CLASS", "FLEETLB_POD_BACKENDS"):
        assert name in text


NATS = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}


def test_labels_are_named_by_their_keys() -> None:
    found = load(
        WatcherSettings, NATS | {"FLEETLB_SERVICE_LABELS": "team, example.com/Tier_1,app.kubernetes.io/part-of"}
    )
    assert found.service_labels == ("team", "example.com/Tier_1", "app.kubernetes.io/part-of")


@pytest.mark.parametrize(
    "text",
    ["team=a", "-team", "Example.com/x", "a/b/c", "example.com/", ",".join(f"l{n}" for n in range(17)), "x" * 64],
)
def test_what_is_no_key_of_a_label_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WatcherSettings, NATS | {"FLEETLB_SERVICE_LABELS": text})
    (problem,) = caught.value.problems
    assert "FLEETLB_SERVICE_LABELS" in problem


def test_renewed_credentials_can_be_kept_in_a_secret() -> None:
    assert load(WatcherSettings, NATS).nats_creds_secret is None
    told = load(WatcherSettings, NATS | {"FLEETLB_NATS_CREDS_SECRET": "fleetlb-system/watcher.creds"})
    assert told.nats_creds_secret == "fleetlb-system/watcher.creds"
    with pytest.raises(SettingsError, match="FLEETLB_NATS_CREDS_SECRET='creds' cannot be read"):
        load(WatcherSettings, NATS | {"FLEETLB_NATS_CREDS_SECRET": "creds"})


@pytest.mark.parametrize("text", ["Hostname", "InternalIP,InternalDNS", "internalip", ","])
def test_only_addresses_of_nodes_can_be_preferred(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WatcherSettings, {"FLEETLB_NODE_ADDRESS_TYPES": text})
    (problem,) = [problem for problem in caught.value.problems if "NODE_ADDRESS_TYPES" in problem]
    assert "InternalIP, ExternalIP" in problem
