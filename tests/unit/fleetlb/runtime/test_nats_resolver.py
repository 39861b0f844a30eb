import pytest

from fleetlb.domain.errors import Transient
from fleetlb.runtime.nats_resolver import AccountRefused, delete_account, forget_account, look_up_account, push_account


class System:
    """A system account's bus that gives one answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    async def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        self.asked.append((subject, body))
        return self.answer


async def test_an_account_is_pushed_and_deleted() -> None:
    system = System(b'{"server":{},"data":{"account":"A","code":200,"message":"jwt updated"}}')
    await push_account(system, "a.b.c")
    await delete_account(system, "d.e.f")
    assert system.asked == [("$SYS.REQ.CLAIMS.UPDATE", b"a.b.c"), ("$SYS.REQ.CLAIMS.DELETE", b"d.e.f")]


class Holding(System):
    """One that knows an account until it is deleted."""

    async def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        answer = await super().request(subject, body, timeout)
        return b'{"data":{"code":200}}' if subject.endswith("DELETE") else answer


async def test_only_an_account_that_is_known_is_forgotten() -> None:
    system = Holding(b"")
    await forget_account(system, "A1", "d.e.f")
    assert [subject for subject, _ in system.asked] == ["$SYS.REQ.ACCOUNT.A1.CLAIMS.LOOKUP"]
    system = Holding(b"a.b.c")
    await forget_account(system, "A1", "d.e.f")
    assert system.asked[1] == ("$SYS.REQ.CLAIMS.DELETE", b"d.e.f")


async def test_a_refusal_is_told_apart_from_trouble() -> None:
    with pytest.raises(AccountRefused, match="jwt not valid"):
        await push_account(System(b'{"error":{"code":500,"description":"jwt not valid"}}'), "a.b.c")
    with pytest.raises(Transient):
        await push_account(System(b"what"), "a.b.c")
    with pytest.raises(Transient):
        await push_account(System(b'{"data":{"code":500}}'), "a.b.c")


async def test_an_unknown_account_is_none() -> None:
    assert await look_up_account(System(b"a.b.c"), "A1") == "a.b.c"
    system = System(b"")
    assert await look_up_account(system, "A1") is None
    assert system.asked[0][0] == "$SYS.REQ.ACCOUNT.A1.CLAIMS.LOOKUP"
