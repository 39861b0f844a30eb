"""Streams of events that are not as they must be."""

import asyncio

from fleetlb.contracts.streams import TOLD_STREAM, StreamSpec, events_stream
from fleetlb.runtime.bus import Misconfigured, StreamState
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb_status.event_streams import LOOK_SECONDS, EventStreams
from tests.unit.fleetlb_status.test_telling import play

EVENTS = events_stream()
COMPLAINT = "stream FLEETLB_TOLD has settings that must not be: storage is memory"


class StubbornBus(FakeBus):
    """Has a stream that cannot be as wished, until somebody mends it."""

    wrong = ""

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        if spec.name == self.wrong:
            raise Misconfigured(COMPLAINT)
        return await super().ensure_stream(spec)


def test_what_only_an_operator_can_mend_is_an_objection_until_it_is_mended_and_the_other_is_made() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        bus = StubbornBus(server)
        bus.wrong = TOLD_STREAM.name
        streams = EventStreams(bus, events_stream(), on_new=lambda: None)
        work = tasks.create_task(streams.run())
        await asyncio.sleep(LOOK_SECONDS / 2)
        assert streams.objection == COMPLAINT
        assert list(server.streams) == ["FLEETLB_EVENTS"]
        bus.wrong = ""
        await asyncio.sleep(LOOK_SECONDS)
        assert streams.objection == ""
        assert TOLD_STREAM.name in server.streams
        work.cancel()

    play(scene)


def test_a_bus_that_is_away_is_no_objection() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        bus = FakeBus(server)
        bus.disconnect()
        streams = EventStreams(bus, events_stream(), on_new=lambda: None)
        work = tasks.create_task(streams.run())
        await asyncio.sleep(LOOK_SECONDS * 2)
        assert streams.objection == ""
        work.cancel()

    play(scene)


def test_a_history_that_begins_is_noticed_whoever_made_its_stream() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        begun: list[float] = []
        bus, other, clock = FakeBus(server), FakeBus(server), asyncio.get_running_loop().time
        work = tasks.create_task(EventStreams(bus, EVENTS, on_new=lambda: begun.append(clock())).run())
        await asyncio.sleep(LOOK_SECONDS * 2.5)
        assert begun == [0.0]
        server.delete_stream(EVENTS.name)
        await other.ensure_stream(EVENTS)
        await other.publish("fleetlb.v1.events.acme.serving", b"{}", message_id="1")
        await asyncio.sleep(LOOK_SECONDS * 2)
        assert begun == [0.0, LOOK_SECONDS * 3]
        work.cancel()
        again: list[float] = []
        work = tasks.create_task(EventStreams(bus, EVENTS, on_new=lambda: again.append(clock())).run())
        await asyncio.sleep(LOOK_SECONDS * 2)
        assert again == [], "what has a history is not new to who comes"
        work.cancel()

    play(scene)
