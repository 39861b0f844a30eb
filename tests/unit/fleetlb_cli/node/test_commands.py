"""`fleetlb node bootstrap`: what it writes is what the programmer, systemd and NATS take."""

import configparser
import os
import shlex
import stat
from pathlib import Path

import pytest

from fleetlb.contracts.subjects import node_inbox
from fleetlb.domain.capabilities import EngineName
from fleetlb.runtime.nats_accounts import claims_of, parse_creds, public_key
from fleetlb.runtime.settings import load
from fleetlb_cli.hub import keeping
from fleetlb_cli.hub.commands import init
from fleetlb_cli.node.commands import bootstrap
from fleetlb_cli.node.host_options import HostOptions
from fleetlb_cli.paper_options import PaperOptions
from fleetlb_dataplane_programmer.settings import Settings

URL = "tls://hub.example.org:4222"
UNITS = Path("etc/systemd/system")
PROGRAMMER, ENVOY = "fleetlb-dataplane-programmer.service", "fleetlb-envoy.service"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert init(tmp_path / "keys") == 0
    return tmp_path / "keys"


def settings_in(root: Path) -> Settings:
    lines = [line for line in (root / "etc/fleetlb/node.env").read_text().splitlines() if not line.startswith("#")]
    return load(Settings, {name: shlex.split(text)[0] for name, _, text in (line.partition("=") for line in lines)})


def unit(path: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser["Service"]


@pytest.mark.parametrize("engine", list(EngineName))
def test_the_programmer_takes_its_settings(keys: Path, tmp_path: Path, engine: EngineName) -> None:
    root = tmp_path / "root"
    assert bootstrap("lb-1", nats_url=URL, keys=keys, group="edge", host=HostOptions(engine=engine), into=root) == 0
    settings = settings_in(root)
    assert (settings.node, settings.group, settings.engine, settings.nats_url) == ("lb-1", "edge", engine, URL)
    assert settings.nats_operator_key == public_key(keeping.read_seeds(keys).operator)
    assert settings.nats_creds == Path("/etc/fleetlb/node.creds")
    assert settings.nats_tls_ca is None
    assert settings.http_address == {"ipvs": "0.0.0.0:8080", "envoy": "127.0.0.1:8080"}[engine]
    if engine is EngineName.ENVOY:
        assert settings.envoy_bootstrap()["node"] == {"id": "lb-1", "cluster": "edge"}


def test_its_credentials_are_those_of_this_node_and_group_alone(keys: Path, tmp_path: Path) -> None:
    assert bootstrap("lb-1", nats_url=URL, keys=keys, group="edge", into=tmp_path) == 0
    jwt, _ = parse_creds((tmp_path / "etc/fleetlb/node.creds").read_text())
    claims = claims_of(jwt)
    assert (claims["name"], claims["iss"]) == ("lb-1", public_key(keeping.read_seeds(keys).hub))
    assert claims["nats"]["sub"]["allow"] == [f"{node_inbox('edge', 'lb-1')}.>"]
    assert "fleetlb.v1.realized.edge.lb-1.>" in claims["nats"]["pub"]["allow"]


def test_secrets_are_for_root_and_the_programmer(keys: Path, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_bytes(name.encode())
    papers = PaperOptions(nats_ca=tmp_path / "ca", nats_cert=tmp_path / "cert", nats_key=tmp_path / "key")
    root = tmp_path / "root"
    assert bootstrap("lb-1", nats_url=URL, keys=keys, papers=papers, into=root) == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root / "etc/fleetlb").iterdir()} == {0o640}
    settings = settings_in(root)
    named = [settings.nats_tls_ca, settings.nats_tls_cert, settings.nats_tls_key]
    assert [(root / str(path)[1:]).read_text() for path in named] == ["ca", "cert", "key"]


def test_a_second_call_keeps_the_credentials_and_writes_the_rest_anew(keys: Path, tmp_path: Path) -> None:
    assert bootstrap("lb-1", nats_url=URL, keys=keys, into=tmp_path) == 0
    creds = (tmp_path / "etc/fleetlb/node.creds").read_bytes()
    assert bootstrap("lb-1", nats_url="nats://other:4222", keys=keys, into=tmp_path) == 0
    assert (tmp_path / "etc/fleetlb/node.creds").read_bytes() == creds
    assert settings_in(tmp_path).nats_url == "nats://other:4222"


def test_each_engine_has_the_units_that_it_needs(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ipvs, envoy = tmp_path / "ipvs", tmp_path / "envoy"
    assert bootstrap("lb-1", nats_url=URL, keys=keys, into=ipvs) == 0
    pool = ("203.0.113.0/24", "2001:db8::/64")
    assert (
        bootstrap("lb-1", nats_url=URL, keys=keys, host=HostOptions(engine=EngineName.ENVOY, pool=pool), into=envoy)
        == 0
    )
    assert [path.name for path in sorted((ipvs / UNITS).iterdir())] == [PROGRAMMER]
    assert "ip_vs" in (ipvs / "etc/modules-load.d/fleetlb.conf").read_text().split()
    assert {path.name for path in (envoy / UNITS).iterdir()} == {PROGRAMMER, ENVOY, f"{ENVOY}.d"}
    assert not (envoy / "etc/modules-load.d").exists()
    routes = (envoy / UNITS / f"{ENVOY}.d" / "pools.conf").read_text()
    assert "-4 route replace local 203.0.113.0/24 dev lo" in routes
    assert "-6 route replace local 2001:db8::/64 dev lo" in routes
    assert f"enable --now {PROGRAMMER} {ENVOY}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [PROGRAMMER, ENVOY])
def test_a_unit_has_the_rights_that_it_needs_and_no_more(keys: Path, tmp_path: Path, name: str) -> None:
    assert bootstrap("lb-1", nats_url=URL, keys=keys, host=HostOptions(engine=EngineName.ENVOY), into=tmp_path) == 0
    service = unit(tmp_path / UNITS / name)
    rights = {PROGRAMMER: "CAP_NET_ADMIN CAP_NET_RAW", ENVOY: "CAP_NET_BIND_SERVICE"}[name]
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == rights
    assert (service["User"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("fleetlb", "yes", "strict")
    speaks_arp = "AF_PACKET" in service["RestrictAddressFamilies"].split()
    assert speaks_arp is (name == PROGRAMMER)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"nats_url": "hub"}, "--nats-url hub: write nats://HOST:PORT"),
        ({"nats_url": "nats://hub:4222", "papers": PaperOptions(nats_ca=Path("x"))}, "write --nats-url tls://"),
        ({"papers": PaperOptions(nats_cert=Path("x"))}, "belong together"),
        ({"papers": PaperOptions(nats_ca=Path("/nowhere/ca"))}, "/nowhere/ca"),
        ({"host": HostOptions(pool=("203.0.113.0/24",))}, "--pool is for --engine envoy"),
        ({"host": HostOptions(pool=("203.0.113.7/24",), engine=EngineName.ENVOY)}, "--pool 203.0.113.7/24"),
        ({"host": HostOptions(http_address="0.0.0.0:80", engine=EngineName.ENVOY)}, "--http-address 0.0.0.0:80"),
        ({"keys": Path("/nowhere")}, "`fleetlb hub init`"),
        ({"group": "a b"}, "'a b'"),
    ],
)
def test_what_cannot_be_meant_is_named_and_nothing_is_written(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, object], word: str
) -> None:
    given: dict[str, object] = {"nats_url": URL, "keys": keys, "into": tmp_path / "root", **options}
    assert bootstrap("lb-1", **given) == 2  # type: ignore[arg-type]
    assert word in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_credentials_are_written_whole_or_not_at_all_whatever_the_umask(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file would be kept by the next call, as one that is there."""
    creds = tmp_path / "etc/fleetlb/node.creds"

    def die(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", die)
        assert bootstrap("lb-1", nats_url=URL, keys=keys, into=tmp_path) == 2
    assert not creds.exists()
    before = os.umask(0o077)
    try:
        assert bootstrap("lb-1", nats_url=URL, keys=keys, into=tmp_path) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(creds.stat().st_mode) == 0o640
    assert parse_creds(creds.read_text())
