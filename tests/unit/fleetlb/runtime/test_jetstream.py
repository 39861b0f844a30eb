"""What the bus does beyond its contract (tests/contract/test_bus_contract.py), against no real stream."""

import asyncio

import pytest
import structlog

from fleetlb.domain.errors import Transient
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_nats import ScriptedNats


async def test_connect_returns_when_connected_and_close_ends_the_keeper() -> None:
    nats = ScriptedNats()
    async with nats.listening(), asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(nats.url, tasks=tasks, name="demo")
        assert bus.connected
        assert any('"name": "demo"' in line for line in nats.received)
        await bus.close()
        assert not bus.connected
        await bus.close()


async def test_giving_up_on_connect_leaves_no_task_behind() -> None:
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await JetStreamBus.connect("nats://127.0.0.1:1", tasks=tasks)


async def test_no_more_publishes_than_slots_are_in_flight() -> None:
    nats = ScriptedNats()
    async with nats.listening(), asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(nats.url, tasks=tasks)
        publishes = [tasks.create_task(bus.publish("s.a", b"1", message_id=str(number))) for number in range(200)]
        for _ in range(20):
            await asyncio.sleep(0)
        await bus._connection.current().flush(1)
        assert sum(line.startswith("HPUB s.a") for line in nats.received) == 128
        for publish in publishes:
            publish.cancel()
        await asyncio.wait(publishes)
        await bus.close()


async def test_requests_that_cannot_be_answered_now_do_not_fill_the_log() -> None:
    nats = ScriptedNats()
    asked: list[bytes] = []

    async def respond(_: str, body: bytes) -> bytes:
        asked.append(body)
        raise Transient("standing by")

    with structlog.testing.capture_logs() as lines:
        async with nats.listening(), asyncio.TaskGroup() as tasks:
            bus = await JetStreamBus.connect(nats.url, tasks=tasks)
            await bus.serve("s.*", respond)
            (sid,) = [line.split()[-1] for line in nats.received if line.startswith("SUB s.*")]
            for _ in range(100):
                nats.say(f"MSG s.a {sid} r 1\r\nx")
            await eventually(lambda: len(asked) == 100)
            await bus.close()
    assert {line["log_level"] for line in lines if "answered" in line["event"]} == {"debug"}
    assert not any("exc_info" in line for line in lines)
