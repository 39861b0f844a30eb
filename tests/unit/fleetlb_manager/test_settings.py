from pathlib import Path

import pytest

from fleetlb.domain.annotation_policy import AnnotationPolicy, parse_policy
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


def test_MUL_6_the_rules_of_the_fleet_about_annotations() -> None:
    given = {
        "FLEETLB_ANNOTATIONS_ALLOW": "pool, scheduler",
        "FLEETLB_ANNOTATIONS_DENY": "fleetlb.dev/pool",
        "FLEETLB_ANNOTATIONS_DEFAULT": "pool=silver,drain-seconds=7",
    }
    rules = load(ManagerSettings, ENVIRON | given).rules()
    assert rules == parse_policy(["pool", "scheduler"], ["pool"], {"pool": "silver", "drain-seconds": "7"})
    assert load(ManagerSettings, ENVIRON).rules() == AnnotationPolicy()


@pytest.mark.parametrize(
    ("name", "text"), [("ALLOW", "speed"), ("DENY", "speed"), ("DEFAULT", "speed=9"), ("DEFAULT", "scheduler=best")]
)
def test_MUL_6_a_rule_that_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"FLEETLB_ANNOTATIONS_{name}: ") as caught:
        load(ManagerSettings, ENVIRON | {f"FLEETLB_ANNOTATIONS_{name}": text})
    assert text.partition("=")[0] in str(caught.value)
