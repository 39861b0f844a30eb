import asyncio

import pytest

from fleetlb.contracts.streams import PARKED_STREAM, StreamSpec, desired_stream
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import Misconfigured, StreamState
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_manager.streams import Streams


class Refusing:
    """A server that cannot make streams."""

    def __init__(self, problem: FleetlbError) -> None:
        self.problem = problem
        self.asked = 0

    async def ensure_stream(self, spec: object) -> StreamState:
        self.asked += 1
        raise self.problem

    async def delete_stream(self, name: str) -> None:
        raise self.problem


class Slow(FakeBus):
    """A server that takes its time to make a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        self.begun.set()
        await self.go_on.wait()
        return await super().ensure_stream(spec)


async def test_a_stream_that_is_removed_is_not_made_again_by_who_was_about_to() -> None:
    bus = Slow()
    streams = Streams(bus, may_create=lambda: True)
    loop = asyncio.get_running_loop()
    streams.want(PARKED_STREAM)
    streams.want(desired_stream("default"))
    keeping = loop.create_task(streams.run())
    await bus.begun.wait()
    removals = [loop.create_task(streams.remove(spec.name)) for spec in (PARKED_STREAM, desired_stream("default"))]
    await asyncio.sleep(0)
    bus.go_on.set()
    await asyncio.gather(*removals)
    streams.want(desired_stream("other"))
    await eventually(lambda: bus.server.streams)
    assert list(bus.server.streams) == [desired_stream("other").name]
    await streams.remove(PARKED_STREAM.name)
    keeping.cancel()


async def test_wanted_streams_are_made_and_made_again() -> None:
    bus = FakeBus()
    streams = Streams(bus, may_create=lambda: True)
    task = asyncio.get_running_loop().create_task(streams.run())
    streams.want(desired_stream("default"))
    streams.want(PARKED_STREAM)
    await eventually(lambda: len(bus.server.streams) == 2)
    bus.server.delete_stream(PARKED_STREAM.name)
    streams.forget(desired_stream("default").name)
    bus.server.delete_stream(desired_stream("default").name)
    streams.look_now()
    await eventually(lambda: list(bus.server.streams) == [PARKED_STREAM.name])
    task.cancel()


async def test_a_standby_makes_nothing() -> None:
    bus, acting = FakeBus(), False
    streams = Streams(bus, may_create=lambda: acting)
    task = asyncio.get_running_loop().create_task(streams.run())
    streams.want(PARKED_STREAM)
    await asyncio.sleep(0.01)
    assert not bus.server.streams
    acting = True
    streams.look_now()
    await eventually(lambda: bus.server.streams)
    task.cancel()


@pytest.mark.parametrize("problem", [Transient("away"), FleetlbError("misconfigured")])
async def test_one_that_cannot_be_made_is_tried_again(problem: FleetlbError) -> None:
    bus = Refusing(problem)
    streams = Streams(bus, may_create=lambda: True)
    with pytest.raises(Transient):
        await streams.ensure(PARKED_STREAM)
    with pytest.raises(Transient):
        await streams.remove("S")
    task = asyncio.get_running_loop().create_task(streams.run())
    streams.look_now()
    await eventually(lambda: bus.asked == 2)
    streams.look_now()
    await eventually(lambda: bus.asked == 3)
    task.cancel()


class Picky(FakeBus):
    """A server with streams that somebody else has set up."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: set[str] = set()

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        if spec.name in self.wrong:
            raise Misconfigured(f"{spec.name} is sealed")
        return await super().ensure_stream(spec)


async def test_settings_that_only_an_operator_can_mend_are_an_objection_until_they_are_mended() -> None:
    bus = Picky()
    acting = True
    streams = Streams(bus, may_create=lambda: acting)
    specs = desired_stream("a"), desired_stream("b")
    bus.wrong = {spec.name for spec in specs}
    assert streams.objection == ""
    with pytest.raises(Transient, match="sealed"):
        await streams.ensure(specs[0])
    assert streams.objection == f"{specs[0].name} is sealed"
    task = asyncio.get_running_loop().create_task(streams.run())
    streams.want(specs[1])
    await eventually(lambda: streams.objection == f"{specs[0].name} is sealed (and 1 more)")
    acting = False
    assert streams.objection == "", "a standby has nothing to object to"
    acting = True
    streams.forget(specs[0].name)
    assert streams.objection == f"{specs[1].name} is sealed"
    bus.wrong.clear()
    streams.look_now()
    await eventually(lambda: streams.objection == "")
    task.cancel()
