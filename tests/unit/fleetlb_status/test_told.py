"""Records of what was told: which one stands, and what a replay takes away."""

import asyncio

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import encode
from fleetlb.contracts.streams import TOLD_STREAM
from fleetlb.contracts.told import NodeStanding, NodeTold
from fleetlb.runtime.bus import Message
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb_status.told import Records
from tests.unit.fleetlb_status.test_telling import play

KEY = ("default", "node-1.rack")
RECORD = NodeTold(generation=3, revision=7, at="", now=NodeStanding(ready=True))


class Shelf:
    """Records on a bus, and how often they were complete."""

    def __init__(self, server: FakeServer, term: int | None = 3) -> None:
        self.completed = 0
        self.term = term
        self.bus = FakeBus(server)
        self.records: Records[tuple[str, str], NodeTold] = Records(
            self.bus,
            NodeTold,
            subjects.NODES_TOLD,
            key_of=subjects.parse_told,
            subject_of=lambda key: subjects.told_node(*key),
            on_complete=self._complete,
            term=lambda: self.term,
        )

    def _complete(self) -> None:
        self.completed += 1

    def fold(self, record: NodeTold) -> NodeTold | None:
        self.records._fold(Message(subjects.told_node(*KEY), encode(record), 1))
        return self.records.get(KEY)


def test_the_newer_record_stands_in_whatever_order_they_come() -> None:
    shelf = Shelf(FakeServer())
    on_its_way = msgspec.structs.replace(RECORD, on_its_way=True)
    assert shelf.fold(on_its_way) == on_its_way
    assert shelf.fold(RECORD) == RECORD
    assert shelf.fold(on_its_way) == RECORD
    assert shelf.fold(msgspec.structs.replace(RECORD, revision=6)) == RECORD
    assert shelf.fold(msgspec.structs.replace(RECORD, generation=2, revision=9)) == RECORD
    newer = msgspec.structs.replace(RECORD, generation=4, revision=1)
    assert shelf.fold(newer) == newer


def test_what_one_writes_the_other_reads_and_what_is_forgotten_is_no_more() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        shelf, other = Shelf(server), Shelf(server, term=None)
        await shelf.bus.ensure_stream(TOLD_STREAM)
        work = [tasks.create_task(each.records.follow()) for each in (shelf, other)]
        await asyncio.sleep(1)
        assert (shelf.completed, other.completed) == (1, 1)
        await shelf.records.write(KEY, RECORD)
        await asyncio.sleep(1)
        assert other.records.get(KEY) == RECORD
        over = msgspec.structs.replace(RECORD, revision=8, now=NodeStanding(gone=True))
        await shelf.records.write(KEY, over)
        await asyncio.sleep(1)
        assert other.records.keys() == ()
        assert shelf.records.keys() == (KEY,), "whoever tells still has to forget it in the stream"
        await shelf.records.forget(KEY)
        assert shelf.records.keys() == ()
        assert server.streams[TOLD_STREAM.name].messages == {}
        for task in work:
            task.cancel()

    play(scene)


def test_what_a_replay_does_not_bring_is_doubted_by_who_tells_and_dropped_by_others() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        shelf, other = Shelf(server), Shelf(server, term=None)
        await shelf.bus.ensure_stream(TOLD_STREAM)
        work = [tasks.create_task(each.records.follow()) for each in (shelf, other)]
        await asyncio.sleep(1)
        await shelf.records.write(KEY, RECORD)
        await asyncio.sleep(1)
        server.delete_stream(TOLD_STREAM.name)
        await shelf.bus.ensure_stream(TOLD_STREAM)
        await asyncio.sleep(1)
        assert (shelf.completed, other.completed) == (2, 2)
        assert shelf.records.get(KEY) == msgspec.structs.replace(RECORD, revision=0)
        assert other.records.get(KEY) is None
        for task in work:
            task.cancel()

    play(scene)
