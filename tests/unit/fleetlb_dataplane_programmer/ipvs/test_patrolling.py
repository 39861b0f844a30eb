import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.ipvs import patrolling
from fleetlb_dataplane_programmer.ipvs.patrolling import Patrol

EMPTY = (
    b"IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port\n"
)
FULL = EMPTY + b"TCP  C0000201:01BB lc \n"
WEB = parse_key("192.0.2.1:443/tcp")


class Quiet:
    """Surroundings that nobody touches."""

    async def audit(self) -> int:
        return 0


class Beat:
    """A patrol over a table that the test writes."""

    def __init__(self) -> None:
        self.table = FULL
        self.looks = 0
        self.glances = 0
        self.mended: list[VirtualServerKey] = []
        self.repaired: list[int] = []
        self.patrol = Patrol(
            lambda key, is_absent: not is_absent,
            self.mend,
            Quiet(),  # type: ignore[arg-type]
            self.repaired.append,
            read_text=self.read_text,
            read_head=self.read_head,
            round_seconds=3600,
        )
        self.patrol.expect(WEB)

    def read_text(self) -> bytes:
        self.looks += 1
        return self.table

    def read_head(self) -> bytes:
        self.glances += 1
        return self.table

    def mend(self, key: VirtualServerKey, is_absent: bool) -> None:
        assert is_absent
        self.mended.append(key)
        self.table = FULL

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.patrol.run())
            yield
            running.cancel()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patrolling, "GLANCE_SECONDS", 0.005)


async def test_a_table_that_is_gone_is_missed_long_before_the_next_round() -> None:
    beat = Beat()
    async with beat.going():
        await eventually(lambda: beat.glances > 5, seconds=5)
        assert beat.looks == 0, "a glance is enough while anything is there"
        beat.table = EMPTY
        await eventually(lambda: beat.repaired == [1], seconds=5)
        looks, glances = beat.looks, beat.glances
        await eventually(lambda: beat.glances > glances + 5, seconds=5)
    assert beat.mended == [WEB]
    assert looks == beat.looks == 1


async def test_an_empty_table_is_right_where_nothing_is_carried() -> None:
    beat = Beat()
    beat.patrol.forget(WEB)
    beat.table = EMPTY
    async with beat.going():
        await eventually(lambda: beat.glances > 5, seconds=5)
    assert beat.looks == 0
