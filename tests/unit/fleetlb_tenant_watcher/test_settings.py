"""What the environment may say."""

from pathlib import Path

import pytest

from fleetlb.runtime.settings import SettingsError, load
from fleetlb_tenant_watcher.settings import WatcherSettings


def test_the_least_and_the_most() -> None:
    environ = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}
    least = load(WatcherSettings, environ)
    assert not least.pod_backends
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


@pytest.mark.parametrize("text", ["Hostname", "InternalIP,InternalDNS", "internalip", ","])
def test_only_addresses_of_nodes_can_be_preferred(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WatcherSettings, {"FLEETLB_NODE_ADDRESS_TYPES": text})
    (problem,) = [problem for problem in caught.value.problems if "NODE_ADDRESS_TYPES" in problem]
    assert "InternalIP, ExternalIP" in problem
