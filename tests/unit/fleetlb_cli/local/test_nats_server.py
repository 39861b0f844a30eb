"""Keys that are kept, files that are written at each start."""

from pathlib import Path

from fleetlb.runtime import nats_accounts
from fleetlb_cli.local import nats_server


def prepare(folder: Path, port: int = 4222) -> nats_server.Hub:
    return nats_server.prepare(folder, port, 8222, node=("default", "node-1"), now=1000)


def test_the_server_is_told_ports_and_accounts(tmp_path: Path) -> None:
    hub = prepare(tmp_path)
    text = hub.configuration.read_text()
    assert "port: 4222" in text
    assert "127.0.0.1:8222" in text
    assert hub.hub_account in text
    assert hub.url == "nats://127.0.0.1:4222"


def test_accounts_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    seed = first.operator_seed.read_text()
    second = prepare(tmp_path, 4333)
    assert second.hub_account == first.hub_account
    assert second.operator_seed.read_text() == seed
    assert "port: 4333" in second.configuration.read_text()


def test_credentials_belong_to_their_accounts(tmp_path: Path) -> None:
    hub = prepare(tmp_path)
    jwt, _ = nats_accounts.parse_creds(hub.hub_creds.read_text())
    assert nats_accounts.claims_of(jwt)["iss"] == hub.hub_account
    jwt, _ = nats_accounts.parse_creds(hub.integration_creds.read_text())
    claims = nats_accounts.claims_of(jwt)
    assert claims["iss"] == hub.hub_account
    assert set(claims["nats"]["sub"]["allow"]) == {"fleetlb.v1.events.>", "_INBOX_integration.>"}
    jwt, _ = nats_accounts.parse_creds(hub.system_creds.read_text())
    assert nats_accounts.claims_of(jwt)["iss"] != hub.hub_account


def test_secrets_are_the_users_alone(tmp_path: Path) -> None:
    hub = prepare(tmp_path)
    for path in (hub.hub_creds, hub.system_creds, hub.integration_creds, hub.operator_seed, tmp_path / "seeds.json"):
        assert path.stat().st_mode & 0o077 == 0
