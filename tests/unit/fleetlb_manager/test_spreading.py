"""Who holds too many partitions, and hints that are wrong: an API server and a bus in memory, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import PartitionsHeld
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.leases import LeaseHolder
from fleetlb.kube.partition_leases import lease_name
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_manager.spreading import DISTRUST_SECONDS, FORGET_SECONDS, Members, Spreading, has_too_many
from tests.unit.fleetlb_manager.test_agreeing import SYSTEM, LoopClock, a_cluster, forever, running


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        (4, [], False),
        (4, [4], False),
        (4, [3], False),
        (4, [2], True),
        (2, [0], True),
        (1, [0], False),
        (3, [5, 1], True),
        (0, [9], False),
    ],
)
def test_who_holds_two_more_than_another_has_too_many(mine: int, others: list[int], expected: bool) -> None:
    assert has_too_many(mine, others) is expected


@pytest.mark.parametrize(("partitions", "managers"), [(1, 3), (4, 2), (7, 3), (64, 5)])
def test_handing_over_ends_evenly(partitions: int, managers: int) -> None:
    held = [partitions] + [0] * (managers - 1)
    for _ in range(partitions):
        for index, mine in enumerate(held):
            if has_too_many(mine, held[:index] + held[index + 1 :]):
                held[index] -= 1
                held[held.index(min(held))] += 1
    assert max(held) - min(held) <= 1


def test_who_says_nothing_any_more_is_not_counted_on() -> None:
    members = Members()
    members.note(PartitionsHeld(identity="m-2", partitions=(1, 2)), 100.0)
    members.note(PartitionsHeld(identity="m-3"), 105.0)
    members.note(PartitionsHeld(identity="m-2", partitions=(1,)), 101.0)
    assert members.living(105.0) == [1, 0]
    assert members.living(101.0 + FORGET_SECONDS) == [0]


def test_what_is_held_is_told_in_one_message() -> None:
    said = PartitionsHeld(identity="m-1", partitions=(0, 3))
    assert codec.decode(PartitionsHeld, codec.encode(said)) == said
    assert subjects.HELD == "fleetlb.v1.held"


PARTITIONS = 4


class Spread:
    """One manager: its candidates for every Lease, and its spreading."""

    def __init__(self, cluster: Cluster, server: FakeServer, identity: str) -> None:
        self.handed_over = 0
        self.may_take = True
        self.leases = [
            LeaseHolder(cluster, namespace=SYSTEM, name=lease_name(number), identity=identity, clock=LoopClock())
            for number in range(PARTITIONS)
        ]
        for lease in self.leases:
            lease.hand_over = self._counted(lease.hand_over)  # type: ignore[method-assign, assignment]
        bus = FakeBus(server)
        self.spreading = Spreading(bus, self.leases, identity, LoopClock(), may_take=lambda: self.may_take)

    def _counted(self, hand_over: Callable[[float], None]) -> Callable[[float], None]:
        def counted(seconds: float) -> None:
            self.handed_over += 1
            hand_over(seconds)

        return counted

    @property
    def runs(self) -> list[Callable[[], Coroutine[Any, Any, object]]]:
        return [self.spreading.run, *(lease.run for lease in self.leases)]

    @property
    def held(self) -> int:
        return sum(lease.is_valid() for lease in self.leases)


async def hints(server: FakeServer) -> None:
    """Somebody who says that it holds nothing, and takes nothing."""
    while True:
        await FakeBus(server).notify(subjects.HELD, codec.encode(PartitionsHeld(identity="liar")))
        await asyncio.sleep(3)


def test_partitions_go_to_who_holds_fewer_until_both_hold_as_many() -> None:
    async def story() -> None:
        cluster, server = await a_cluster(), FakeServer()
        one, other = Spread(cluster, server, "m-1"), Spread(cluster, server, "m-2")

        async def come_later() -> None:
            await asyncio.sleep(5)
            async with asyncio.TaskGroup() as tasks:
                for run in other.runs:
                    tasks.create_task(forever(run))

        await running(*one.runs, come_later, _looking(lambda: (one.held, other.held) == (2, 2), 60), seconds=60)
        assert (one.handed_over, other.handed_over) == (2, 0)

    run_virtually(story())


def test_one_partition_is_risked_on_a_hint_that_is_wrong() -> None:
    """Such as that of a manager that reaches the bus and no API server."""

    async def story() -> None:
        cluster, server = await a_cluster(), FakeServer()
        one = Spread(cluster, server, "m-1")
        held: list[int] = []

        async def note() -> None:
            while True:
                await asyncio.sleep(1)
                held.append(one.held)

        await running(*one.runs, note, lambda: hints(server), seconds=DISTRUST_SECONDS)
        assert one.handed_over == 1
        assert min(held[5:]) == PARTITIONS - 1
        assert held[-1] == PARTITIONS

    run_virtually(story())


def test_who_could_not_take_a_partition_asks_for_none() -> None:
    async def story() -> None:
        cluster, server = await a_cluster(), FakeServer()
        said: list[PartitionsHeld] = []
        await FakeBus(server).listen(
            subjects.HELD, lambda message: said.append(codec.decode(PartitionsHeld, message.data))
        )
        told_otherwise, without_api = Spread(cluster, server, "m-1"), Spread(_nowhere(), server, "m-2")
        told_otherwise.may_take = False
        await running(*told_otherwise.runs, *without_api.runs, seconds=20)
        assert [message.identity for message in said if message.identity == "m-1"] == []
        assert len([message for message in said if message.identity == "m-2"]) <= 1, "before its first look"

    run_virtually(story())


def _nowhere() -> Cluster:
    """An API server without the namespace of the Leases."""
    return Cluster(FakeWire(FakeKube()), "test")


def _looking(condition: Callable[[], bool], seconds: float) -> Callable[[], Coroutine[Any, Any, object]]:
    async def look() -> None:
        async with asyncio.timeout(seconds - 1):
            while not condition():  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.5)
        await asyncio.Event().wait()

    return look
