from pathlib import Path

import pytest

from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_credentials import Credentials, Keyring, credentials_of

ACCOUNT = nats_accounts.new_seed(KeyKind.ACCOUNT)


def issued(at: int, expires_at: int | None = None) -> Credentials:
    seed = nats_accounts.new_seed(KeyKind.USER)
    user = nats_accounts.public_key(seed)
    jwt = nats_accounts.user_jwt("watcher", user, ACCOUNT, issued_at=at, expires_at=expires_at)
    return credentials_of(jwt, seed)


def put(path: Path, credentials: Credentials) -> None:
    path.write_text(nats_accounts.creds_file(credentials.jwt, credentials.seed))


def test_what_was_issued_last_counts_wherever_it_is(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "nats.creds")
    first, second, third = issued(10), issued(20, 90), issued(30)
    put(keyring.path, first)
    assert keyring.newest() == first
    keyring.take(second)
    assert keyring.newest() == second
    put(keyring.path, third)
    assert keyring.newest() == third


def test_a_file_that_was_not_replaced_yet_does_no_harm(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "nats.creds")
    with pytest.raises(FileNotFoundError):
        keyring.newest()
    keyring.take(issued(20))
    assert keyring.newest().issued_at == 20
    keyring.path.write_text("half of a fi")
    assert keyring.newest().issued_at == 20


@pytest.mark.parametrize("times", ['"iat": "5"', '"iat": 5, "exp": "soon"', '"exp": 5'])
def test_a_jwt_that_does_not_tell_its_times_is_none(times: str) -> None:
    body = nats_accounts._base64url(b"{" + times.encode() + b"}")
    with pytest.raises(ValueError, match="when it was issued"):
        credentials_of(f"head.{body}.signature", "SU")


def test_why_credentials_are_refused_can_be_found_out_and_no_secret_is_shown(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "nats.creds")
    assert "nats.creds" in keyring.describe()
    credentials = issued(1_800_000_000, 1_802_592_000)
    put(keyring.path, credentials)
    assert "issued 2027-01-15T08:00:00Z, good until 2027-02-14T08:00:00Z" in keyring.describe()
    for text in (keyring.describe(), repr(credentials)):
        assert credentials.seed not in text
        assert credentials.jwt not in text
