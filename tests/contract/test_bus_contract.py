"""One suite for the bus in memory and the bus over a real nats-server: services may trust either to be the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.streams import StreamSpec, observed_stream
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Ack, Bus, Message, StreamMissing, TooLarge
from fleetlb.runtime.connection import Dialling
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_accounts import TENANT_MAX_PAYLOAD
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.nats_resolver import push_account
from fleetlb.runtime.replay_progress import Pulling
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.nats_server import NatsServer

pytestmark = pytest.mark.integration

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=1024 * 1024, max_message_bytes=64 * 1024)


SHORT_OF_PATIENCE = Pulling(heartbeat_seconds=3.0)
"""The server forgets a pull that comes while its consumer ends, and says nothing: only silence tells."""
TRACE = f"00-{1:032x}-{1:016x}-01"


class World:
    """A server with buses on it, of either kind."""

    bus: Bus
    tenant: Bus
    account: str

    async def interrupt(self) -> None:
        """Cut every connection for a moment."""
        raise NotImplementedError

    async def delete_stream(self, name: str) -> None:
        """Make a stream disappear."""
        raise NotImplementedError

    async def lose_connection(self) -> None:
        """Cut every connection for good."""
        raise NotImplementedError


class FakeWorld(World):
    def __init__(self) -> None:
        self.server = FakeServer()
        self.account = "ATENANT"
        self.hub = FakeBus(self.server)
        self.bus = self.hub
        self.tenant = self.hub.for_tenant(self.account)

    async def interrupt(self) -> None:
        for bus in self.server.buses:
            bus.disconnect()
        for bus in self.server.buses:
            bus.reconnect()

    async def delete_stream(self, name: str) -> None:
        self.server.delete_stream(name)

    async def lose_connection(self) -> None:
        for bus in self.server.buses:
            bus.disconnect()


class RealWorld(World):
    def __init__(self, server: NatsServer, tasks: asyncio.TaskGroup) -> None:
        self.server = server
        self.tasks = tasks
        self.buses: list[JetStreamBus] = []
        self.reconnects = 0

    async def connect(self) -> "RealWorld":
        minted = self.server.mint_tenant("acme")
        self.account = minted.account
        system = await self.add(self.server.system_creds)
        await push_account(system, minted.jwt)
        self.hub = await self.add(self.server.hub_creds)
        self.bus = self.hub
        self.tenant = await self.add(minted.creds, max_payload=TENANT_MAX_PAYLOAD)
        return self

    async def add(self, creds: Path, max_payload: int = 1024 * 1024) -> JetStreamBus:
        url = self.server.url
        dialling = Dialling(url=url, name="test", creds=Keyring(creds), max_payload=max_payload)
        bus = JetStreamBus(dialling, pulling=SHORT_OF_PATIENCE)
        await bus.begin(self.tasks)
        bus.on_reconnect(self.count)
        self.buses.append(bus)
        return bus

    def count(self) -> None:
        self.reconnects += 1

    async def interrupt(self) -> None:
        already = self.reconnects
        for bus in self.buses:
            client: Any = bus._connection.current()._client
            client._transport._io_writer.transport.abort()
        await eventually(lambda: self.reconnects == already + len(self.buses), seconds=10)

    async def delete_stream(self, name: str) -> None:
        answer = await self.hub.request(f"$JS.API.STREAM.DELETE.{name}", b"")
        assert b'"success":true' in answer

    async def lose_connection(self) -> None:
        self.server.kill()
        await eventually(lambda: not any(bus.connected for bus in self.buses), seconds=10)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["fake", "real"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Worlds:
    """Makes the world inside the test, because a task group must be entered and left by one task."""

    def __init__(self, server: NatsServer | None) -> None:
        self.server = server

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[World]:
        if self.server is None:
            yield FakeWorld()
            return
        async with asyncio.TaskGroup() as tasks:
            world = await RealWorld(self.server, tasks).connect()
            yield world
            for bus in world.buses:
                await bus.close()


@pytest.fixture
def worlds(kind: str, request: pytest.FixtureRequest) -> Worlds:
    return Worlds(request.getfixturevalue("nats") if kind == "real" else None)


class Diary:
    """What a follower was told, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)
        self.lines.append(f"{message.subject}={message.data.decode()}")

    def replayed(self) -> None:
        self.lines.append("replayed")

    def restart(self) -> None:
        self.lines.append("restart")

    @contextlib.asynccontextmanager
    async def following(self, bus: Bus, stream: str = "S", subject_filter: str = "s.>") -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(
                bus.replay_and_follow(
                    stream, subject_filter, self.message, on_replayed=self.replayed, on_restart=self.restart
                )
            )
            yield
            assert not follower.done()
            follower.cancel()


async def publish(bus: Bus, subject: str, text: str) -> Ack:
    return await bus.publish(subject, text.encode(), message_id=f"{subject}-{text}")


async def test_publish_is_acknowledged_with_growing_sequences(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        first = await world.bus.publish("s.a", b"1", message_id="m1")
        second = await world.bus.publish("s.b", b"2", message_id="m2")
        assert (first.stream, first.sequence, first.duplicate) == ("S", 1, False)
        assert second.sequence == 2


async def test_what_stands_beside_a_body_arrives_with_it(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        beside = {"ce-subject": "shop/web", "content-type": "application/json"}
        await world.bus.publish("s.a", b"1", message_id="m1", trace=TRACE, headers=beside)
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: diary.messages)
        assert dict(diary.messages[0].headers) == {**beside, "Nats-Msg-Id": "m1", "traceparent": TRACE}


async def test_the_oldest_of_a_subject_go_where_each_is_bounded(worlds: Worlds) -> None:
    async with worlds.open() as world:
        spec = StreamSpec(
            name="S",
            subjects=("s.>",),
            max_bytes=10_000,
            max_message_bytes=100,
            discard_new=False,
            compacted=False,
            max_messages_per_subject=2,
        )
        await world.bus.ensure_stream(spec)
        for text in ("1", "2", "3"):
            await publish(world.bus, "s.a", text)
        await publish(world.bus, "s.b", "1")
        assert (await world.bus.ensure_stream(spec)).messages == 3


async def test_the_same_id_is_stored_once(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        first = await world.bus.publish("s.a", b"1", message_id="m1")
        again = await world.bus.publish("s.a", b"1", message_id="m1")
        assert again.duplicate
        assert again.sequence == first.sequence
        assert (await world.bus.ensure_stream(SPEC)).last_sequence == 1


async def test_publish_without_a_stream_says_so(worlds: Worlds) -> None:
    async with worlds.open() as world:
        with pytest.raises(StreamMissing, match=r"s\.a"):
            await world.bus.publish("s.a", b"1", message_id="m1")


async def test_publish_over_the_streams_limit_is_too_large(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        with pytest.raises(TooLarge):
            await world.bus.publish("s.a", b"x" * 70_000, message_id="m1")
        assert world.bus.connected


async def test_publish_over_the_connections_limit_is_too_large_and_costs_nothing(worlds: Worlds) -> None:
    async with worlds.open() as world:
        with pytest.raises(TooLarge):
            await world.tenant.publish("observed.c1.nodes", b"x" * 300_000, message_id="m1")
        assert world.tenant.connected


async def test_a_full_stream_refuses_instead_of_forgetting(worlds: Worlds) -> None:
    async with worlds.open() as world:
        spec = StreamSpec(name="S", subjects=("s.>",), max_bytes=10_000, max_message_bytes=6_000)
        await world.bus.ensure_stream(spec)
        await world.bus.publish("s.a", b"x" * 5_000, message_id="m1")
        with pytest.raises(Transient, match="maximum bytes"):
            await world.bus.publish("s.b", b"x" * 5_900, message_id="m2")
        assert (await world.bus.ensure_stream(spec)).messages == 1


async def test_ensure_stream_is_idempotent_and_updates(worlds: Worlds) -> None:
    async with worlds.open() as world:
        first = await world.bus.ensure_stream(SPEC)
        again = await world.bus.ensure_stream(SPEC)
        assert first == again
        assert (first.last_sequence, first.messages) == (0, 0)
        wider = StreamSpec(name="S", subjects=("s.>", "t.>"), max_bytes=2 * 1024 * 1024, max_message_bytes=1024)
        assert (await world.bus.ensure_stream(wider)).created_at == first.created_at
        assert (await world.bus.publish("t.a", b"1", message_id="m1")).stream == "S"


async def test_a_recreated_stream_has_another_creation_time_and_counts_anew(worlds: Worlds) -> None:
    async with worlds.open() as world:
        first = await world.bus.ensure_stream(SPEC)
        await publish(world.bus, "s.a", "1")
        await publish(world.bus, "s.a", "2")
        await world.delete_stream("S")
        again = await world.bus.ensure_stream(SPEC)
        assert again.created_at > first.created_at
        assert (await world.bus.publish("s.a", b"3", message_id="m3")).sequence == 1


async def test_a_stream_that_counts_on_begins_above_what_a_lost_one_had(worlds: Worlds) -> None:
    async with worlds.open() as world:
        spec = msgspec.structs.replace(SPEC, counts_on=True)
        first = await world.bus.ensure_stream(spec)
        assert first == await world.bus.ensure_stream(spec)
        before = [(await world.bus.publish("s.a", b"1", message_id=f"m{number}")).sequence for number in range(3)]
        assert before == [before[0], before[0] + 1, before[0] + 2]
        wider = msgspec.structs.replace(spec, max_bytes=2 * spec.max_bytes)
        assert (await world.bus.ensure_stream(wider)).last_sequence == before[-1]
        await world.delete_stream("S")
        made = await asyncio.gather(*(world.bus.ensure_stream(spec) for _ in range(8)))
        assert len({state.created_at for state in made}) == 1, "whoever makes it first has made it for all"
        diary = Diary()
        async with diary.following(world.bus):
            after = (await world.bus.publish("s.a", b"2", message_id="m9")).sequence
            await eventually(lambda: "s.a=2" in diary.lines)
        assert diary.messages[-1].stream_sequence == after
        assert before[-1] < after < 2**53


async def test_replay_gives_the_last_of_each_subject_in_order_then_what_comes(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        for subject, text in [("s.a", "1"), ("s.b", "2"), ("s.a", "3"), ("s.c", "4")]:
            await publish(world.bus, subject, text)
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: "replayed" in diary.lines)
            await publish(world.bus, "s.b", "5")
            await eventually(lambda: len(diary.messages) == 4)
        assert diary.lines == ["s.b=2", "s.a=3", "s.c=4", "replayed", "s.b=5"]
        assert [message.stream_sequence for message in diary.messages] == [2, 3, 4, 5]


async def test_replay_of_an_empty_stream_ends_at_once(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: diary.lines == ["replayed"])


async def test_only_the_filtered_subjects_are_seen(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        diary = Diary()
        async with diary.following(world.bus, subject_filter="s.x.*"):
            await eventually(lambda: "replayed" in diary.lines)
            for subject in ("s.y.a", "s.x.a.b", "s.x.a"):
                await publish(world.bus, subject, "1")
            await eventually(lambda: len(diary.lines) == 2)
        assert diary.lines == ["replayed", "s.x.a=1"]


async def test_a_stream_that_does_not_exist_yet_is_waited_for(worlds: Worlds) -> None:
    async with worlds.open() as world:
        diary = Diary()
        async with diary.following(world.bus):
            with pytest.raises(StreamMissing):
                await publish(world.bus, "s.a", "1")
            assert diary.lines == []
            await world.bus.ensure_stream(SPEC)
            await eventually(lambda: diary.lines == ["replayed"])


async def test_a_lost_connection_makes_everything_come_again(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await publish(world.bus, "s.a", "1")
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: diary.lines == ["s.a=1", "replayed"])
            await world.interrupt()
            again = ["restart", "s.a=1", "replayed"]
            await eventually(lambda: diary.lines[2:] == again)
            await publish(world.bus, "s.a", "2")
            await eventually(lambda: diary.lines[5:] == ["s.a=2"])


async def test_a_stream_deleted_and_recreated_is_read_anew(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await publish(world.bus, "s.a", "1")
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: diary.lines == ["s.a=1", "replayed"])
            await world.delete_stream("S")
            await world.bus.ensure_stream(SPEC)
            await publish(world.bus, "s.b", "2")
            await eventually(lambda: "s.b=2" in diary.lines[2:] and diary.lines.count("replayed") >= 2)
        assert diary.lines[2] == "restart"
        assert "s.a=1" not in diary.lines[2:]


async def test_a_purged_subject_is_not_replayed(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await publish(world.bus, "s.a", "1")
        await publish(world.bus, "s.b", "2")
        await world.bus.purge_subject("S", "s.a")
        await world.bus.purge_subject("S", "s.a")
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: "replayed" in diary.lines)
        assert diary.lines == ["s.b=2", "replayed"]
        with pytest.raises(StreamMissing):
            await world.bus.purge_subject("T", "s.a")


async def test_a_purge_up_to_a_sequence_leaves_what_came_later(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        seen = await publish(world.bus, "s.a", "1")
        await publish(world.bus, "s.a", "2")
        await publish(world.bus, "s.b", "3")
        await world.bus.purge_subject("S", "s.a", seen.sequence)
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: "replayed" in diary.lines)
        assert diary.lines == ["s.a=2", "s.b=3", "replayed"]
        last = await publish(world.bus, "s.b", "4")
        await world.bus.purge_subject("S", "s.b", last.sequence)
        assert (await world.bus.ensure_stream(SPEC)).messages == 1


async def test_a_stream_that_is_removed_takes_no_message_any_more(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await publish(world.bus, "s.a", "1")
        await world.bus.delete_stream("S")
        await world.bus.delete_stream("S")
        with pytest.raises(StreamMissing):
            await publish(world.bus, "s.a", "2")
        assert (await world.bus.ensure_stream(SPEC)).messages == 0


async def test_a_handler_that_fails_stops_neither_replay_nor_following(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        for text in ("bad", "good"):
            await publish(world.bus, f"s.{text}", text)
        diary = Diary()

        def handle(message: Message) -> None:
            if message.data == b"bad":
                raise ValueError("poison")
            diary.message(message)

        async with asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(
                world.bus.replay_and_follow("S", "s.>", handle, on_replayed=diary.replayed, on_restart=diary.restart)
            )
            await eventually(lambda: diary.lines == ["s.good=good", "replayed"])
            await world.bus.publish("s.bad", b"bad", message_id="again")
            await publish(world.bus, "s.good", "better")
            await eventually(lambda: diary.lines[2:] == ["s.good=better"])
            follower.cancel()


async def test_many_messages_are_replayed_whole(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await asyncio.gather(*(publish(world.bus, f"s.{number}", str(number)) for number in range(1234)))
        diary = Diary()
        async with diary.following(world.bus):
            await eventually(lambda: "replayed" in diary.lines)
        assert diary.lines[-1] == "replayed"
        assert {message.data.decode() for message in diary.messages} == {str(number) for number in range(1234)}


async def test_listeners_hear_what_is_sent_and_a_failing_one_goes_on(worlds: Worlds) -> None:
    async with worlds.open() as world:
        heard: list[tuple[str, bytes]] = []

        def listen(message: Message) -> None:
            heard.append((message.subject, message.data))
            if message.data == b"1":
                raise ValueError("poison")

        await world.bus.listen("n.*.b", listen)
        await world.bus.notify("n.a.c", b"0")
        await world.bus.notify("n.a.b", b"1")
        await world.bus.notify("n.c.b", b"2")
        await eventually(lambda: heard == [("n.a.b", b"1"), ("n.c.b", b"2")])
        await world.interrupt()
        await world.bus.notify("n.a.b", b"3")
        await eventually(lambda: heard[2:] == [("n.a.b", b"3")])


async def test_requests_are_answered_by_whoever_serves(worlds: Worlds) -> None:
    async with worlds.open() as world:
        with pytest.raises(Transient, match="nobody answers"):
            await world.bus.request("q.a", b"", timeout=0.5)

        async def respond(subject: str, body: bytes) -> bytes:
            if body == b"bad":
                raise ValueError("poison")
            return subject.encode() + b"/" + body

        await world.bus.serve("q.*", respond, queue="workers")
        assert await world.bus.request("q.a", b"1") == b"q.a/1"
        with pytest.raises(Transient):
            await world.bus.request("q.a", b"bad", timeout=0.2)
        await world.interrupt()
        assert await world.bus.request("q.b", b"2") == b"q.b/2"


async def test_without_a_connection_everything_fails_at_once_as_transient(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await world.lose_connection()
        assert not world.bus.connected
        async with asyncio.timeout(1):
            with pytest.raises(Transient):
                await world.bus.publish("s.a", b"1", message_id="m1")
            with pytest.raises(Transient):
                await world.bus.notify("s.a", b"1")
            with pytest.raises(Transient):
                await world.bus.request("s.a", b"1")
            with pytest.raises(Transient):
                await world.bus.ensure_stream(SPEC)
            with pytest.raises(Transient):
                await world.bus.purge_subject("S", "s.a")


async def test_reconnecting_is_told_to_those_who_asked(worlds: Worlds) -> None:
    async with worlds.open() as world:
        calls: list[str] = []
        world.bus.on_reconnect(lambda: calls.append("again"))
        assert calls == []
        await world.interrupt()
        await eventually(lambda: calls == ["again"])


async def test_dialling_anew_is_another_connection_over_which_everything_goes_on(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        calls, heard = [], []
        world.bus.on_reconnect(lambda: calls.append("again"))
        await world.bus.listen("news", lambda message: heard.append(message.data))
        world.bus.dial_anew("for a reason")
        await eventually(lambda: calls == ["again"] and world.bus.connected, seconds=10)
        assert (await world.bus.publish("s.a", b"1", message_id="m1")).sequence == 1
        await world.bus.notify("news", b"2")
        await eventually(lambda: heard == [b"2"])


async def test_a_responder_may_have_no_answer(worlds: Worlds) -> None:
    async with worlds.open() as world:

        async def silence(subject: str, data: bytes) -> None:
            return None

        await world.bus.serve("ask", silence)
        with pytest.raises(Transient):
            await world.bus.request("ask", b"?", 0.3)


async def test_a_tenant_speaks_its_own_words_and_the_hub_hears_whose_they_are(worlds: Worlds) -> None:
    async with worlds.open() as world:
        spec = StreamSpec(
            name="O",
            subjects=(f"fleetlb.v1.observed.{world.account}.>",),
            max_bytes=1024 * 1024,
            max_message_bytes=64 * 1024,
        )
        await world.bus.ensure_stream(spec)
        ack = await world.tenant.publish("observed.c1.service.u1", b"wish", message_id="m1")
        assert (ack.stream, ack.sequence) == ("O", 1)
        diary = Diary()
        async with diary.following(world.bus, "O", f"fleetlb.v1.observed.{world.account}.>"):
            await eventually(lambda: "replayed" in diary.lines)
        assert diary.lines[0] == f"fleetlb.v1.observed.{world.account}.c1.service.u1=wish"


async def test_a_tenant_hears_its_reports_and_gets_its_snapshot(worlds: Worlds) -> None:
    async with worlds.open() as world:
        heard: list[tuple[str, bytes]] = []
        await world.tenant.listen("reported.>", lambda message: heard.append((message.subject, message.data)))
        await world.bus.notify("fleetlb.v1.reported.ASOMEBODY.c1.service.u1", b"not yours")
        await world.bus.notify(f"fleetlb.v1.reported.{world.account}.c1.service.u1", b"yours")
        await eventually(lambda: heard == [("reported.c1.service.u1", b"yours")])

        async def respond(subject: str, body: bytes) -> bytes:
            return subject.encode()

        await world.bus.serve("fleetlb.v1.snapshot.*", respond)
        assert await world.tenant.request("snapshot", b"") == f"fleetlb.v1.snapshot.{world.account}".encode()


@pytest.mark.parametrize("trace", ["", TRACE])
async def test_a_trace_context_travels_beside_the_words_also_between_accounts(worlds: Worlds, trace: str) -> None:
    async with worlds.open() as world:
        heard: list[Message] = []
        await world.bus.ensure_stream(observed_stream(world.account))
        await world.tenant.publish("observed.c1.service.u1", b"wish", message_id="m1", trace=trace)
        diary = Diary()
        async with diary.following(world.bus, observed_stream(world.account).name, ">"):
            await eventually(lambda: diary.messages)
        assert (diary.messages[0].data, diary.messages[0].trace) == (b"wish", trace)
        await world.tenant.listen("reported.>", heard.append)
        await world.bus.notify(f"fleetlb.v1.reported.{world.account}.c1.service.u1", b"report", trace=trace)
        await eventually(lambda: heard)
        assert (heard[0].data, heard[0].trace) == (b"report", trace)


async def test_what_is_no_trace_context_counts_as_none(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        await world.bus.publish("s.a", b"1", message_id="m1", trace="00-somebody-means-harm")
        diary = Diary()
        async with diary.following(world.bus, SPEC.name, ">"):
            await eventually(lambda: diary.messages)
        assert diary.messages[0].trace == ""


async def test_what_a_tenant_has_no_import_for_leads_nowhere(worlds: Worlds) -> None:
    async with worlds.open() as world:
        await world.bus.ensure_stream(SPEC)
        with pytest.raises(StreamMissing):
            await world.tenant.publish("s.a", b"1", message_id="m1")
        assert (await world.bus.ensure_stream(SPEC)).messages == 0
