"""What the environment may say."""

from pathlib import Path

import pytest

from fleetlb.contracts.streams import events_stream
from fleetlb.runtime.settings import SettingsError, load
from fleetlb_status.settings import Settings


def test_the_least_and_the_most() -> None:
    environ = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}
    least = load(Settings, environ)
    assert (least.kubeconfig, least.system_namespace, least.nats_creds) == (
        None,
        "fleetlb-system",
        Path("/creds/nats.creds"),
    )
    more = {"FLEETLB_KUBECONFIG": "/kube/config", "FLEETLB_SYSTEM_NAMESPACE": "lb", "FLEETLB_IDENTITY": "status-2"}
    most = load(Settings, environ | more)
    assert (most.kubeconfig, most.system_namespace, most.identity) == (Path("/kube/config"), "lb", "status-2")


def test_how_long_and_how_many_events_are_kept() -> None:
    environ = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}
    assert load(Settings, environ).events == events_stream()
    more = {"FLEETLB_EVENTS_DAYS": "7", "FLEETLB_EVENTS_MIB": "16"}
    assert load(Settings, environ | more).events == events_stream(days=7, mib=16)
    for name in more:
        with pytest.raises(SettingsError, match=name):
            load(Settings, environ | {name: "0"})


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, {"FLEETLB_KUBECONFG": "x"})
    text = "\n".join(caught.value.problems)
    for name in ("FLEETLB_NATS_URL", "FLEETLB_NATS_CREDS", "FLEETLB_KUBECONFG"):
        assert name in text


GIVEN = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds/nats.creds"}


@pytest.mark.parametrize(
    ("environ", "fits"),
    [
        ({}, True),
        ({"UI_ADDRESS": "127.0.0.1:8082"}, True),
        ({"UI_ADDRESS": "[::1]:8082"}, True),
        ({"UI_ADDRESS": "localhost:0"}, True),
        ({"UI_ADDRESS": "0.0.0.0:8082", "UI_TENANT_HEADER": "X-Fleetlb-Tenant"}, True),
        ({"UI_ADDRESS": "0.0.0.0:8082"}, False),
        ({"UI_ADDRESS": "[::]:8082"}, False),
        ({"UI_ADDRESS": "status.example:8082"}, False),
        ({"UI_ADDRESS": "8082"}, False),
        ({"UI_TENANT_HEADER": "X-Fleetlb-Tenant"}, False),
        ({"UI_ADDRESS": "0.0.0.0:8082", "UI_TENANT_HEADER": "X Tenant:"}, False),
    ],
    ids=repr,
)
def test_everything_is_shown_on_the_loopback_alone(environ: dict[str, str], fits: bool) -> None:
    told = GIVEN | {f"FLEETLB_{name}": text for name, text in environ.items()}
    if fits:
        assert load(Settings, told).ui_address == environ.get("UI_ADDRESS")
        return
    with pytest.raises(SettingsError) as caught:
        load(Settings, told)
    assert any("FLEETLB_UI_" in problem for problem in caught.value.problems)
