from fleetlb.contracts import subjects
from fleetlb.contracts.streams import MARKS_STREAM
from fleetlb.contracts.v1 import StoreMarked
from fleetlb.runtime.marks import BusMarks
from fleetlb.runtime.stream_config import stream_config
from fleetlb.testkit.fake_bus import FakeBus, FakeServer


def a_mark(version: int) -> StoreMarked:
    return StoreMarked(cluster_uid="c1", version=version, generation=7)


async def test_the_last_mark_of_each_lease_is_kept() -> None:
    server = FakeServer()
    marks = BusMarks(FakeBus(server))
    assert await marks.read("manager") is None
    for version in (5, 6, 7):
        await marks.write("manager", a_mark(version))
    await marks.write("status", a_mark(3))
    again = BusMarks(FakeBus(server))
    assert (await again.read("manager"), await again.read("status")) == (a_mark(7), a_mark(3))
    assert await again.read("other") is None


async def test_a_mark_that_is_set_back_by_an_accepted_restore_stands() -> None:
    marks = BusMarks(FakeBus(FakeServer()))
    await marks.read("manager")
    for version in (50, 20):
        await marks.write("manager", a_mark(version))
    assert await marks.read("manager") == a_mark(20)


async def test_a_stream_that_is_lost_is_made_anew() -> None:
    server = FakeServer()
    marks = BusMarks(FakeBus(server))
    await marks.write("manager", a_mark(5))
    server.delete_stream(MARKS_STREAM.name)
    await marks.write("manager", a_mark(6))
    assert await marks.read("manager") == a_mark(6)


async def test_what_cannot_be_read_is_no_mark() -> None:
    bus = FakeBus(FakeServer())
    marks = BusMarks(bus)
    await marks.read("manager")
    await bus.publish(subjects.marked("manager"), b"nonsense", message_id="x")
    assert await marks.read("manager") is None


def test_marks_outlive_the_server() -> None:
    made = stream_config(MARKS_STREAM)
    assert (made["storage"], made["max_msgs_per_subject"]) == ("file", 1)
