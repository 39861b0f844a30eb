from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest

from fleetlb.runtime.settings import (
    LogFormat,
    LogLevel,
    ProcessSettings,
    SettingsError,
    load,
    masked,
    setting,
    split_address,
    variable_of,
)


class Engine(Enum):
    ENVOY = "envoy"
    IPVS = "ipvs"


class Sample(ProcessSettings, frozen=True, kw_only=True):
    nats_url: Annotated[str, setting("where NATS listens")]
    creds: Annotated[Path | None, setting("file with credentials")] = None
    ports: Annotated[tuple[int, ...], setting("ports, separated by commas")] = ()
    names: Annotated[list[str] | None, setting("names, separated by commas")] = None
    share: Annotated[float, setting("a share of 1")] = 0.5
    allow: Annotated[bool, setting("true or false")] = False
    engine: Annotated[Engine, setting("envoy or ipvs")] = Engine.ENVOY
    password: Annotated[int | None, setting("a number nobody may see", secret=True)] = None

    def problems(self) -> list[str]:
        return ["FLEETLB_SHARE is above 1: set it to a share of 1"] if self.share > 1 else []


MINIMUM = {"FLEETLB_NATS_URL": "nats://hub:4222"}


def problems_of(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Sample, variables)
    return "\n".join(caught.value.problems)


def test_defaults_hold_where_nothing_is_set() -> None:
    settings = load(Sample, MINIMUM)
    assert settings.nats_url == "nats://hub:4222"
    assert (settings.http_address, settings.log_level) == ("0.0.0.0:8080", LogLevel.INFO)
    assert settings.log_format is LogFormat.JSON
    assert settings.identity


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("FLEETLB_CREDS", "/etc/creds", "creds", Path("/etc/creds")),
        ("FLEETLB_PORTS", "80, 443,", "ports", (80, 443)),
        ("FLEETLB_NAMES", "a,b", "names", ["a", "b"]),
        ("FLEETLB_SHARE", "0.25", "share", 0.25),
        ("FLEETLB_ALLOW", "true", "allow", True),
        ("FLEETLB_ALLOW", "0", "allow", False),
        ("FLEETLB_ENGINE", "ipvs", "engine", Engine.IPVS),
        ("FLEETLB_PASSWORD", "7", "password", 7),
        ("FLEETLB_HTTP_ADDRESS", "[::1]:0", "http_address", "[::1]:0"),
        ("FLEETLB_CREDS", "", "creds", None),
        ("FLEETLB_LOG_LEVEL", "debug", "log_level", LogLevel.DEBUG),
        ("FLEETLB_LOG_FORMAT", "console", "log_format", LogFormat.CONSOLE),
    ],
)
def test_every_type_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(load(Sample, {**MINIMUM, variable: text}), field) == value


def test_other_programs_variables_are_not_our_business() -> None:
    load(Sample, {**MINIMUM, "PATH": "/bin", "NATS_URL": "x"})


def test_all_problems_are_told_together_each_with_its_variable_and_cure() -> None:
    told = problems_of(
        FLEETLB_PORTS="80,x", FLEETLB_ALLOW="maybe", FLEETLB_ENGIN="ipvs", FLEETLB_WHAT="1", FLEETLB_LOG_LEVEL="loud"
    )
    for expected in (
        "FLEETLB_NATS_URL is not set: set it to where NATS listens",
        "FLEETLB_PORTS='80,x' cannot be read",
        "FLEETLB_ALLOW='maybe' cannot be read",
        "FLEETLB_ENGIN is no setting: did you mean FLEETLB_ENGINE?",
        "FLEETLB_WHAT is no setting: remove it",
        "FLEETLB_LOG_LEVEL='loud' cannot be read",
    ):
        assert expected in told
    assert len(told.splitlines()) == 6


def test_an_empty_required_variable_is_not_set() -> None:
    assert "FLEETLB_NATS_URL is not set" in problems_of(FLEETLB_NATS_URL="")


@pytest.mark.parametrize("address", ["8080", "host:", ":8080", "host:http", "::1:80"])
def test_a_malformed_address_is_refused(address: str) -> None:
    assert "FLEETLB_HTTP_ADDRESS" in problems_of(**MINIMUM, FLEETLB_HTTP_ADDRESS=address)


def test_what_no_type_can_say_is_said_by_the_settings_themselves() -> None:
    assert problems_of(**MINIMUM, FLEETLB_SHARE="2") == "FLEETLB_SHARE is above 1: set it to a share of 1"


def test_kubernetes_service_links_are_recognised() -> None:
    told = problems_of(**MINIMUM, FLEETLB_MANAGER_SERVICE_HOST="10.0.0.1", FLEETLB_MANAGER_PORT_80_TCP_ADDR="10.0.0.1")
    assert told.count("enableServiceLinks: false") == 2


def test_a_malformed_secret_is_not_shown() -> None:
    told = problems_of(**MINIMUM, FLEETLB_PASSWORD="hunter2")
    assert "FLEETLB_PASSWORD=*** cannot be read" in told
    assert "hunter2" not in told


def test_secrets_are_masked_and_the_rest_is_plain() -> None:
    settings = load(Sample, {**MINIMUM, "FLEETLB_PASSWORD": "7", "FLEETLB_CREDS": "/c", "FLEETLB_ENGINE": "ipvs"})
    shown = masked(settings)
    assert shown["password"] == "***"
    assert (shown["creds"], shown["engine"], shown["nats_url"]) == ("/c", "ipvs", "nats://hub:4222")
    assert masked(load(Sample, MINIMUM))["password"] is None


@pytest.mark.parametrize(
    ("address", "parts"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("node:9", ("node", 9))]
)
def test_addresses_are_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


def test_a_field_is_read_from_its_variable() -> None:
    assert variable_of("nats_url") == "FLEETLB_NATS_URL"
