"""The faults that only the fake can play; its semantics are in tests/contract/test_bus_contract.py."""

import asyncio

import pytest

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=1000, max_message_bytes=100)


async def test_a_lost_ack_leaves_the_message_stored() -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    bus.server.lose_acks()
    with pytest.raises(Transient, match="outcome unknown"):
        await bus.publish("s.a", b"1", message_id="m")
    assert (await bus.publish("s.a", b"1", message_id="m")).duplicate


async def test_a_lost_publish_stores_nothing() -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    bus.server.lose_publishes(2)
    for _ in range(2):
        with pytest.raises(Transient, match="outcome unknown"):
            await bus.publish("s.a", b"1", message_id="m")
    assert not (await bus.publish("s.a", b"1", message_id="m")).duplicate


async def test_notifications_can_be_lost_and_doubled() -> None:
    bus = FakeBus()
    heard: list[bytes] = []
    await bus.listen("n", lambda message: heard.append(message.data))
    bus.server.lose_notifications()
    await bus.notify("n", b"1")
    bus.server.duplicate_notifications()
    await bus.notify("n", b"2")
    await bus.notify("n", b"3")
    await eventually(lambda: heard == [b"2", b"2", b"3"])


async def test_what_was_published_is_kept_for_looking_at() -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    await bus.publish("s.a", b"1", message_id="m")
    await bus.notify("n", b"2")
    assert bus.published == [("s.a", b"1"), ("n", b"2")]


async def test_one_buses_connection_is_not_anothers() -> None:
    hub = FakeBus()
    tenant = hub.for_tenant("ATENANT")
    tenant.disconnect()
    assert hub.connected
    with pytest.raises(Transient):
        await tenant.request("snapshot", b"")


async def test_followers_can_be_made_to_begin_anew() -> None:
    bus = FakeBus()
    await bus.ensure_stream(SPEC)
    await bus.publish("s.a", b"1", message_id="m")
    lines: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(
            bus.replay_and_follow(
                "S",
                "s.>",
                lambda message: lines.append(message.data.decode()),
                on_replayed=lambda: lines.append("replayed"),
                on_restart=lambda: lines.append("restart"),
            )
        )
        await eventually(lambda: len(lines) == 2)
        bus.server.restart_followers()
        await eventually(lambda: lines == ["1", "replayed", "restart", "1", "replayed"])
        follower.cancel()


async def test_who_has_left_neither_hears_nor_answers() -> None:
    server = FakeServer()
    bus, other = FakeBus(server), FakeBus(server)
    heard: list[bytes] = []

    async def answer(subject: str, body: bytes) -> bytes:
        return b"from the first"

    async def answer_too(subject: str, body: bytes) -> bytes:
        return b"from the second"

    await bus.listen("a", lambda message: heard.append(message.data))
    await bus.serve("q", answer)
    await other.serve("q", answer_too)
    await bus.close()
    await other.notify("a", b"1")
    assert await other.request("q", b"") == b"from the second"
    assert heard == []


async def test_a_late_notification_is_overtaken() -> None:
    bus = FakeBus()
    heard: list[bytes] = []
    await bus.listen("a", lambda message: heard.append(message.data))
    late = iter((0.01, 0.0))
    bus.server.lag = lambda: next(late)
    await bus.notify("a", b"first")
    await bus.notify("a", b"second")
    await eventually(lambda: heard == [b"second", b"first"])
