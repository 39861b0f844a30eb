import pytest

from fleetlb.domain.capabilities import EngineName
from fleetlb.runtime.settings import SettingsError, load
from fleetlb_dataplane_programmer.settings import Settings

ENVIRONMENT = {
    "FLEETLB_NATS_URL": "nats://127.0.0.1:4222",
    "FLEETLB_NATS_CREDS": "/etc/fleetlb/nats.creds",
    "FLEETLB_NODE": "node-1",
    "FLEETLB_STATE_DIR": "/var/lib/fleetlb",
    "FLEETLB_ADS_SOCKET": "/run/fleetlb/ads",
    "FLEETLB_ENVOY_ADMIN": "/run/fleetlb/admin",
}


ENVOY = ("FLEETLB_ADS_SOCKET", "FLEETLB_ENVOY_ADMIN")


def test_a_node_needs_no_more_than_this() -> None:
    settings = load(Settings, ENVIRONMENT)
    assert (settings.node, settings.group, settings.allow_loopback_backends) == ("node-1", "default", False)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("FLEETLB_ENVOY_ADMIN", "0.0.0.0:9901", "FLEETLB_ENVOY_ADMIN"),
        ("FLEETLB_NATS_OPERATOR_KEY", "OABC", "FLEETLB_NATS_OPERATOR_KEY"),
        ("FLEETLB_NODE", "node 1", "FLEETLB_NODE"),
        ("FLEETLB_GROUP", "a>b", "FLEETLB_GROUP"),
        ("FLEETLB_KUBECONFIG", "/x", "FLEETLB_KUBECONFIG"),
        ("FLEETLB_ENGINE", "iptables", "FLEETLB_ENGINE"),
        ("FLEETLB_MAX_MAGLEV_SERVERS", "-1", "FLEETLB_MAX_MAGLEV_SERVERS"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        load(Settings, {**ENVIRONMENT, name: value})


def test_everything_missing_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, {})
    assert len(caught.value.problems) == len(ENVIRONMENT) - len(ENVOY)


def test_what_only_envoy_needs_is_missed_where_the_engine_is_envoy() -> None:
    without = {name: value for name, value in ENVIRONMENT.items() if name not in ENVOY}
    with pytest.raises(SettingsError) as caught:
        load(Settings, without)
    assert {problem.split()[0] for problem in caught.value.problems} == set(ENVOY)
    assert load(Settings, without | {"FLEETLB_ENGINE": "ipvs"}).engine is EngineName.IPVS


def test_the_bootstrap_names_the_node_and_its_group() -> None:
    bootstrap = load(Settings, {**ENVIRONMENT, "FLEETLB_GROUP": "edge"}).envoy_bootstrap()
    assert bootstrap["node"] == {"id": "node-1", "cluster": "edge"}


BIRD = {"FLEETLB_ENGINE": "ipvs", "FLEETLB_BIRD_SOCKET": "/run/bird/ctl", "FLEETLB_BIRD_DIRECTORY": "/etc/bird/lb"}


def test_a_bird_is_named_by_its_socket_and_its_directory() -> None:
    settings = load(Settings, ENVIRONMENT | BIRD)
    assert (str(settings.bird_socket), str(settings.bird_directory)) == ("/run/bird/ctl", "/etc/bird/lb")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"FLEETLB_ENGINE": "envoy"}, "FLEETLB_BIRD_SOCKET is set: only the engine ipvs announces VIPs; unset it"),
        ({"FLEETLB_BIRD_DIRECTORY": ""}, "FLEETLB_BIRD_DIRECTORY is missing: BIRD_SOCKET needs it"),
        ({"FLEETLB_BIRD_SOCKET": ""}, "FLEETLB_BIRD_DIRECTORY is set, and FLEETLB_BIRD_SOCKET is not"),
        ({"FLEETLB_BIRD_SOCKET": "ctl"}, "FLEETLB_BIRD_SOCKET='ctl' is wrong: an absolute path"),
        ({"FLEETLB_BGP_PASSWORDS": "keys"}, "FLEETLB_BGP_PASSWORDS='keys' is wrong: an absolute path"),
    ],
)
def test_what_is_wrong_with_a_bird_is_named(changes: dict[str, str], problem: str) -> None:
    environment = {name: value for name, value in (ENVIRONMENT | BIRD | changes).items() if value}
    with pytest.raises(SettingsError) as caught:
        load(Settings, environment)
    [found] = caught.value.problems
    assert problem in found
