"""Signs that a stream is not the one of before, and only those, raise doubt."""

import asyncio

import pytest

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import StreamMissing
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_tenant_watcher.linking import HubLink

SPEC = StreamSpec(name="S", subjects=("x.>",), max_bytes=1 << 20, max_message_bytes=1 << 16)


@pytest.fixture
def doubts() -> list[str]:
    return []


@pytest.fixture
def link(doubts: list[str]) -> HubLink:
    return HubLink(doubts.append)


async def test_without_a_bus_everything_is_transient(link: HubLink) -> None:
    assert not link.connected
    with pytest.raises(Transient):
        await link.publish("x.1", b"", message_id="1")
    with pytest.raises(Transient):
        await link.request("x", b"", 1)


async def test_growing_numbers_and_duplicates_raise_no_doubt(link: HubLink, doubts: list[str]) -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    link.attach(bus)
    assert link.connected
    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(link.publish(f"x.{number}", b"", message_id=str(number)))
    await link.publish("x.0", b"", message_id="0")
    assert doubts == []
    bus.disconnect()
    assert not link.connected


async def test_a_recreated_stream_raises_doubt_once(link: HubLink, doubts: list[str]) -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    link.attach(bus)
    for number in range(3):
        await link.publish("x.1", b"", message_id=str(number))
    bus.server.delete_stream("S")
    await bus.ensure_stream(SPEC)
    await link.publish("x.1", b"", message_id="a")
    assert doubts == ["stream lost"]
    await link.publish("x.1", b"", message_id="b")
    assert doubts == ["stream lost"]


async def test_a_stream_that_was_missing_raises_doubt_when_it_is_back(link: HubLink, doubts: list[str]) -> None:
    bus = FakeBus()
    link.attach(bus)
    with pytest.raises(StreamMissing):
        await link.publish("x.1", b"", message_id="1")
    assert doubts == []
    await bus.ensure_stream(SPEC)
    await link.publish("x.1", b"", message_id="1")
    assert doubts == ["stream lost"]
