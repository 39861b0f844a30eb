from pathlib import Path

import pytest

from fleetlb.runtime.settings import SettingsError, load
from fleetlb_manager.settings import ManagerSettings

ENVIRON = {
    "FLEETLB_NATS_URL": "nats://127.0.0.1:4222",
    "FLEETLB_NATS_CREDS": "hub.creds",
    "FLEETLB_NATS_SYSTEM_CREDS": "system.creds",
    "FLEETLB_NATS_OPERATOR_SEED": "operator.seed",
    "FLEETLB_NATS_HUB_ACCOUNT": "A" + "B" * 55,
}


def test_the_least_that_must_be_said() -> None:
    settings = load(ManagerSettings, ENVIRON)
    assert settings.kubeconfig is None
    assert settings.nats_creds == Path("hub.creds")
    assert settings.system_namespace == "fleetlb-system"
    assert not settings.allow_loopback_backends


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(ManagerSettings, {"FLEETLB_NATS_HUB_ACCOUNT": "UUSER"})
    text = str(caught.value)
    assert all(name in text for name in ENVIRON)
