"""`fleetlb hub init`: what it makes, what it keeps, and what it says of keys that cannot be used."""

import stat
from pathlib import Path

import msgspec
import pytest
import yaml

from fleetlb.runtime.nats_accounts import claims_of, parse_creds, public_key
from fleetlb_cli.hub import keeping
from fleetlb_cli.hub.commands import init

EVERYTHING = {"seeds.json", "operator.seed", "hub.creds", "system.creds", "accounts.conf", "secrets.yaml"}


def test_it_makes_what_a_hub_begins_with_for_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"
    assert init(folder) == 0
    assert {path.name for path in folder.iterdir()} == EVERYTHING
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    seeds = keeping.read_seeds(folder)
    said = capsys.readouterr().out
    assert public_key(seeds.operator) in said
    assert public_key(seeds.hub) in said
    for name, account in (("hub.creds", seeds.hub), ("system.creds", seeds.system)):
        jwt, _ = parse_creds((folder / name).read_text())
        assert claims_of(jwt)["iss"] == public_key(account)


def test_no_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "keys") == 0
    said = "".join(capsys.readouterr())
    for seed in msgspec.json.decode((tmp_path / "keys" / "seeds.json").read_bytes()).values():
        assert seed not in said
    assert seed not in repr(keeping.read_seeds(tmp_path / "keys"))


def test_the_secrets_hold_what_the_files_hold(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    hub, accounts = yaml.safe_load_all((tmp_path / "secrets.yaml").read_text())
    account = hub["stringData"].pop("hub.account")
    jwt, _ = parse_creds((tmp_path / "hub.creds").read_text())
    assert claims_of(jwt)["iss"] == account, "a public key"
    assert hub["stringData"] == {
        name: (tmp_path / name).read_text() for name in ("hub.creds", "system.creds", "operator.seed")
    }
    assert accounts["stringData"] == {"accounts.conf": (tmp_path / "accounts.conf").read_text()}
    assert {each["metadata"]["namespace"] for each in (hub, accounts)} == {"fleetlb-system"}


def test_a_second_call_changes_nothing_and_makes_what_is_missing(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "hub.creds").unlink()
    assert init(tmp_path) == 0
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    made = after.pop("hub.creds")
    assert before.pop("hub.creds") != made
    assert after == before


@pytest.mark.parametrize("content", ["", "{}", '{"operator":"SOXX","system":"SAXX","hub":"SAXX"}', "[]"])
def test_keys_that_cannot_be_read_are_named_and_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    seeds = tmp_path / "seeds.json"
    seeds.write_text(content)
    assert init(tmp_path) == 2
    said = capsys.readouterr().err
    assert str(seeds) in said
    assert "backup" in said
    assert "SOXX" not in said
    assert seeds.read_text() == content


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    seeds = keeping.read_seeds(tmp_path)
    swapped = msgspec.structs.replace(seeds, operator=seeds.hub)
    (tmp_path / "seeds.json").write_bytes(msgspec.json.encode(swapped))
    with pytest.raises(keeping.KeysUnusable, match="other kinds"):
        keeping.read_seeds(tmp_path)
