"""The bus on a real server that restarts, dies, loses streams, stalls or is not there yet."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from fleetlb.contracts.streams import desired_stream
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Message, StreamMissing
from fleetlb.runtime.connection import Dialling
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.replay_progress import Pulling
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer

pytestmark = pytest.mark.integration

SPEC = desired_stream("g")


def subject(number: int) -> str:
    return f"fleetlb.v1.desired.g.k{number}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path)
    made.start()
    yield made
    made.kill()


class Rig:
    """A bus, and a follower's memory of one stream."""

    def __init__(self, bus: JetStreamBus, tasks: asyncio.TaskGroup) -> None:
        self.bus = bus
        self.seen: dict[str, bytes] = {}
        self.replays = 0
        self.restarts = 0
        self.live: list[Message] = []
        self._tasks = tasks
        self._follower: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        self._follower = self._tasks.create_task(
            self.bus.replay_and_follow(
                SPEC.name, SPEC.subjects[0], self.fold, on_replayed=self.replayed, on_restart=self.restarted
            )
        )
        await eventually(lambda: self.replays == 1)

    def fold(self, message: Message) -> None:
        self.seen[message.subject] = message.data
        if self.replays > self.restarts:
            self.live.append(message)

    def replayed(self) -> None:
        self.replays += 1

    def restarted(self) -> None:
        self.restarts += 1
        self.seen.clear()

    async def publish(self, number: int, text: str) -> None:
        """As services do it: the same id until it is acknowledged; a stream that is not there is made."""
        while True:
            try:
                await self.bus.publish(subject(number), text.encode(), message_id=f"{number}-{text[:40]}")
                return
            except StreamMissing:
                with contextlib.suppress(Transient):
                    await self.bus.ensure_stream(SPEC)
            except Transient:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        if self._follower is not None:
            assert not self._follower.done()
            self._follower.cancel()
        await self.bus.close()


@contextlib.asynccontextmanager
async def rig_on(server: NatsServer, pulling: Pulling | None = None) -> AsyncIterator[Rig]:
    async with asyncio.TaskGroup() as tasks:
        bus = JetStreamBus(Dialling(url=server.url, name="test", creds=Keyring(server.hub_creds)), pulling=pulling)
        await bus.begin(tasks)
        rig = Rig(bus, tasks)
        await bus.ensure_stream(SPEC)
        yield rig
        await rig.close()


@pytest.mark.parametrize("hard", [False, True], ids=["restart", "kill"])
async def test_V6_a_restarted_server_holds_what_is_said_since_and_nothing_older(server: NatsServer, hard: bool) -> None:
    """ADR 7: on disk, a killed server finds what was replaced long before the purge."""
    async with rig_on(server) as rig:
        for text in ("first", "second", "gone"):
            await asyncio.gather(*(rig.publish(number, text) for number in range(50)))
        for number in range(50):
            await rig.bus.purge_subject(SPEC.name, subject(number))
        await rig.publish(50, "before")
        await rig.follow()
        assert rig.seen == {subject(50): b"before"}
        server.restart(hard=hard)
        await asyncio.gather(*(rig.publish(number, "after") for number in range(25)))
        await eventually(lambda: rig.replays == 2, seconds=10)
        await eventually(lambda: rig.seen == {subject(number): b"after" for number in range(25)})
        assert rig.restarts == 1


async def test_the_gap_after_a_restart_is_far_below_a_second(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await rig.follow()
        server.restart()
        began = time.monotonic()
        await rig.publish(1, "after")
        await eventually(lambda: rig.seen.get(subject(1)) == b"after")
        assert time.monotonic() - began < 1.0


async def test_publishing_while_the_server_is_down_fails_quickly_and_is_not_stored_later(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        server.kill()
        began = time.monotonic()
        for number in range(20):
            with pytest.raises(Transient):
                await rig.bus.publish(subject(number), b"lost", message_id=f"lost-{number}")
        assert time.monotonic() - began < 1.0
        server.start()
        await eventually(lambda: rig.bus.connected, seconds=10)
        assert (await rig.bus.ensure_stream(SPEC)).messages == 0


async def test_publishes_in_flight_when_the_server_dies_end_at_once(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        server.pause()
        publishes = [
            asyncio.get_running_loop().create_task(rig.bus.publish(subject(number), b"1", message_id=f"m{number}"))
            for number in range(100)
        ]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        server.kill()
        outcomes = await asyncio.gather(*publishes, return_exceptions=True)
        assert time.monotonic() - began < 1.0
        assert all(isinstance(outcome, Transient) for outcome in outcomes)


async def test_a_stalled_server_makes_publishes_unknown_in_time_and_recovers(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(Transient, match="outcome unknown"):
                await rig.bus.publish(subject(1), b"1", message_id="m1")
            assert time.monotonic() - began < 5
        finally:
            server.resume()
        await rig.publish(1, "1")
        assert (await rig.bus.ensure_stream(SPEC)).messages == 1


async def test_a_deleted_stream_is_waited_for_and_read_anew(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await rig.publish(1, "old")
        await rig.follow()
        await rig.bus.request(f"$JS.API.STREAM.DELETE.{SPEC.name}", b"")
        await asyncio.sleep(0.3)
        assert (rig.replays, rig.restarts) == (1, 0)
        await rig.bus.ensure_stream(SPEC)
        await rig.publish(2, "new")
        await eventually(lambda: rig.replays == 2, seconds=10)
        await eventually(lambda: rig.seen == {subject(2): b"new"})
        assert rig.restarts == 1


async def test_a_deleted_consumer_is_replaced(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await rig.publish(1, "x")
        await rig.follow()
        names = await rig.bus.request(f"$JS.API.CONSUMER.NAMES.{SPEC.name}", b"")
        consumer = names.decode().split('"consumers":["')[1].split('"')[0]
        await rig.bus.request(f"$JS.API.CONSUMER.DELETE.{SPEC.name}.{consumer}", b"")
        await eventually(lambda: (rig.restarts, rig.replays) == (1, 2))
        await rig.publish(2, "y")
        await eventually(lambda: rig.seen == {subject(1): b"x", subject(2): b"y"})


async def test_following_leaves_one_consumer_and_an_end_leaves_none(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await rig.follow()
        other = Rig(rig.bus, rig._tasks)
        await other.follow()

        async def consumers() -> int:
            info = await rig.bus.request(f"$JS.API.STREAM.INFO.{SPEC.name}", b"")
            return int(info.decode().split('"consumer_count":')[1].split("}")[0].split(",")[0])

        assert await consumers() == 2
        assert other._follower is not None
        other._follower.cancel()
        await asyncio.wait([other._follower])

        async def one_is_left() -> bool:
            return await consumers() == 1

        end = asyncio.get_running_loop().time() + 5
        while not await one_is_left():
            assert asyncio.get_running_loop().time() < end, "the consumer of an ended follower stays"
            await asyncio.sleep(0.02)


async def test_a_server_that_is_not_there_yet_is_waited_for_with_one_log_line(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.reserve_port()
    with structlog.testing.capture_logs() as lines:
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(JetStreamBus.connect(server.url, tasks=tasks, creds=server.hub_creds))
            await asyncio.sleep(1.5)
            assert not connecting.done()
            warnings = [line for line in lines if line["log_level"] == "warning"]
            assert len(warnings) == 1
            assert "cannot connect to NATS" in warnings[0]["event"]
            server.start()
            try:
                bus = await connecting
                await bus.ensure_stream(SPEC)
                await bus.close()
            finally:
                server.kill()


async def test_big_replays_are_quick_and_small_pulls_lose_nothing(server: NatsServer) -> None:
    async with rig_on(server, Pulling(batch=7)) as rig:
        await asyncio.gather(*(rig.publish(number, "x") for number in range(500)))
        await rig.follow()
        assert len(rig.seen) == 500
        await asyncio.gather(*(rig.publish(number, "y") for number in range(500)))
        await eventually(lambda: set(rig.seen.values()) == {b"y"})
        assert rig.restarts == 0


async def test_pulls_bounded_by_bytes_replay_everything(server: NatsServer) -> None:
    async with rig_on(server, Pulling(max_bytes=100_000)) as rig:
        await asyncio.gather(*(rig.publish(number, "x" * 30_000) for number in range(40)))
        await rig.follow()
        assert len(rig.seen) == 40
        await rig.publish(99, "y" * 90_000)
        await eventually(lambda: subject(99) in rig.seen)
        assert rig.restarts == 0


async def test_pulls_that_run_out_are_renewed_without_a_restart(server: NatsServer) -> None:
    async with rig_on(server, Pulling(expires_seconds=0.3, heartbeat_seconds=0.1)) as rig:
        await rig.follow()
        for number in range(10):
            await rig.publish(number, "x")
            await asyncio.sleep(0.1)
        await eventually(lambda: len(rig.seen) == 10)
        assert rig.restarts == 0


async def test_replay_while_others_publish_ends_and_misses_nothing(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await asyncio.gather(*(rig.publish(number, "0") for number in range(1000)))
        async with asyncio.TaskGroup() as tasks:

            async def churn(round_: int) -> None:
                await asyncio.gather(*(rig.publish(number, str(round_)) for number in range(0, 1000, 10)))

            for round_ in range(1, 6):
                tasks.create_task(churn(round_))
            await rig.follow()
        state = await rig.bus.ensure_stream(SPEC)
        await eventually(lambda: len(rig.seen) == state.messages == 1000)
        again = Rig(rig.bus, rig._tasks)
        await again.follow()
        await eventually(lambda: rig.seen == again.seen)
        assert again._follower is not None
        again._follower.cancel()


async def test_a_live_message_arrives_within_milliseconds(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await asyncio.gather(*(rig.publish(number, "x") for number in range(2000)))
        await rig.follow()
        delays: list[float] = []
        for number in range(200):
            began = time.perf_counter()
            await rig.publish(number, f"t{began}")
            await eventually(lambda: rig.seen[subject(number)] == f"t{began}".encode())  # noqa: B023
            delays.append(time.perf_counter() - began)
        delays.sort()
        assert delays[len(delays) // 2] < 0.01, f"median {delays[len(delays) // 2] * 1000:.2f} ms"


async def test_a_following_bus_at_rest_uses_no_cpu(server: NatsServer) -> None:
    async with rig_on(server) as rig:
        await rig.follow()
        before = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - before < 0.02
