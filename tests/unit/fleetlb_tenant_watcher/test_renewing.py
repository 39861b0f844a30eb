import asyncio
from pathlib import Path

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import CredentialsIssued, CredentialsRequested
from fleetlb.domain.errors import Transient
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.testkit.eventually import eventually
from fleetlb_tenant_watcher import renewing
from fleetlb_tenant_watcher.renewing import Renewing
from fleetlb_tenant_watcher.shelves import FileShelf

ACCOUNT = nats_accounts.new_seed(KeyKind.ACCOUNT)
NOW = 1_800_000_000
LIFE = 86400


def jwt_for(user: str, issued_at: int) -> str:
    return nats_accounts.user_jwt("watcher", user, ACCOUNT, issued_at=issued_at, expires_at=issued_at + LIFE)


class Office:
    """A hub that issues, or not, and what the watcher did."""

    def __init__(self, path: Path) -> None:
        self.connected = True
        self.asked: list[CredentialsRequested] = []
        self.dialled: list[str] = []
        self.is_due = True
        self.for_user = ""
        self.silent = False
        seed = nats_accounts.new_seed(KeyKind.USER)
        path.write_text(nats_accounts.creds_file(jwt_for(nats_accounts.public_key(seed), NOW), seed))
        self.keyring = Keyring(path)
        self.renewing = Renewing(self.keyring, self, FileShelf(path))

    async def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        assert subject == subjects.LOCAL_CREDENTIALS
        request = codec.decode(CredentialsRequested, body)
        self.asked.append(request)
        if self.silent:
            raise Transient("no answer")
        if not self.is_due:
            return codec.encode(CredentialsIssued())
        return codec.encode(CredentialsIssued(jwt=jwt_for(self.for_user or request.user, NOW + len(self.asked))))

    def dial_anew(self, reason: str) -> None:
        self.dialled.append(reason)


async def test_what_is_issued_is_kept_and_then_connected_with(tmp_path: Path) -> None:
    path = tmp_path / "nats.creds"
    office = Office(path)
    await office.renewing.turn()
    assert office.asked[0].issued_at == NOW
    newest = office.keyring.newest()
    assert newest.issued_at == NOW + 1
    assert nats_accounts.public_key(newest.seed) == office.asked[0].user
    assert Keyring(path).newest() == newest, "a restart finds it"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["nats.creds"]
    assert office.dialled == ["credentials renewed"]
    await office.renewing.turn()
    assert office.asked[1].user != office.asked[0].user
    assert office.asked[1].issued_at == NOW + 1


@pytest.mark.parametrize("trouble", ["not due", "silence", "another key", "no connection", "no file"])
async def test_nothing_changes_without_credentials_for_the_key_that_was_offered(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "nats.creds"
    office = Office(path)
    office.is_due = trouble != "not due"
    office.silent = trouble == "silence"
    office.connected = trouble != "no connection"
    if trouble == "another key":
        office.for_user = nats_accounts.public_key(nats_accounts.new_seed(KeyKind.USER))
    if trouble == "no file":
        path.unlink()
    before = path.read_text() if path.exists() else ""
    await office.renewing.turn()
    assert office.dialled == []
    assert (path.read_text() if path.exists() else "") == before
    assert len(office.asked) == (0 if trouble in ("no connection", "no file") else 1)


async def test_a_shelf_that_takes_nothing_costs_nothing_but_a_restart_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "mounted" / "nats.creds"
    path.parent.mkdir()
    office = Office(path)
    shelf = Flaky()
    office.renewing = Renewing(office.keyring, office, shelf)
    await office.renewing.turn()
    assert office.dialled == ["credentials renewed"]
    issued = office.keyring.newest()
    assert issued.issued_at == NOW + 1
    office.is_due, shelf.is_broken = False, False
    await office.renewing.turn()
    assert shelf.kept == [nats_accounts.creds_file(issued.jwt, issued.seed)]
    await office.renewing.turn()
    assert len(shelf.kept) == 1


class Flaky:
    """A shelf that is broken at first."""

    def __init__(self) -> None:
        self.is_broken = True
        self.kept: list[str] = []

    async def keep(self, text: str) -> None:
        if self.is_broken:
            raise PermissionError("read-only file system")
        self.kept.append(text)


async def test_it_is_asked_at_once_on_another_connection_and_then_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path / "nats.creds")
    office.is_due = False
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(office.renewing.run())
        office.renewing.want()
        await eventually(lambda: len(office.asked) == 1, seconds=5)
        monkeypatch.setattr(renewing, "ASK_SECONDS", 0.01)
        office.renewing.want()
        await eventually(lambda: len(office.asked) > 4, seconds=5)
        running.cancel()


async def test_a_short_life_is_asked_about_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(tmp_path / "nats.creds")
    assert office.renewing._pause() == renewing.ASK_SECONDS
    await office.renewing.turn()
    assert office.renewing._pause() == renewing.ASK_SECONDS
    monkeypatch.setattr(f"{__name__}.LIFE", 16)
    await office.renewing.turn()
    assert office.renewing._pause() == 2
