"""The programming loop on a fake bus and a fake engine: what is served and what is said, in spite of faults."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import allowed_stream, desired_stream, realized_stream
from fleetlb.contracts.v1 import (
    Hop,
    NodeRealized,
    Probe,
    RealizedState,
    TenantAllowed,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.bars import Bar
from fleetlb.domain.virtual_servers import FailurePolicy, VirtualServer, VirtualServerKey, parse_key
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.signing import signed
from fleetlb.runtime.tracing import Tracing
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.wishes import a_virtual_server, a_wish, an_allowance, as_message
from fleetlb_dataplane_programmer import braking, completing
from fleetlb_dataplane_programmer.checking import Checks
from fleetlb_dataplane_programmer.dialling import Reach
from fleetlb_dataplane_programmer.engine import OnOutcome
from fleetlb_dataplane_programmer.engine_fake import FakeEngine
from fleetlb_dataplane_programmer.identity import Identity
from fleetlb_dataplane_programmer.node import Node
from fleetlb_dataplane_programmer.records import Record
from fleetlb_dataplane_programmer.remembering import StateFile
from fleetlb_dataplane_programmer.sweeping import Pace
from fleetlb_dataplane_programmer.telling import BEHIND

KEY = parse_key("192.0.2.1:443/tcp")
OTHER = parse_key("192.0.2.2:53/udp")
OTHER_TCP = parse_key("192.0.2.2:443/tcp")
DESIRED, ALLOWED, REALIZED = desired_stream("default"), allowed_stream("default"), realized_stream("default")

# Real servers that no test plays, but for those in TestHealth.
HEALTHY = Checks(dial=lambda *_: asyncio.sleep(0, Reach.REACHED))
PACE = Pace(confirm_fresh_seconds=0.02, confirm_seconds=0.02, retry=Backoff(initial=0.02, cap=0.1))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "HUB_SECONDS", 0.3)


class SlowBus(FakeBus):
    """Replays some streams later than others."""

    def __init__(self, server: FakeServer, seconds: dict[str, float]) -> None:
        super().__init__(server)
        self._seconds = seconds

    async def replay_and_follow(self, stream: str, *args: Any, **options: Any) -> None:
        await asyncio.sleep(self._seconds.get(stream, 0.0))
        await super().replay_and_follow(stream, *args, **options)


class World:
    """What outlives a programmer: the bus, the disk and the data plane; and the manager's voice."""

    def __init__(self, directory: Path) -> None:
        self.server = FakeServer()
        self.bus = FakeBus(self.server)
        self.disk = directory
        self.plane: dict[VirtualServerKey, VirtualServer] = {}
        self.holdings_unknown = False
        self.answers: dict[VirtualServerKey, bool] = {}
        self.probe_seconds = 0.0
        self.checks = HEALTHY
        self.allow_loopback = False
        self.operator_key = ""
        self.slow: dict[str, float] = {}
        """Streams whose replay takes so many seconds."""
        self.engine: FakeEngine
        self.node: Node

    async def streams(self) -> None:
        for spec in (DESIRED, ALLOWED, REALIZED):
            await self.bus.ensure_stream(spec)

    async def wish(self, wish: VirtualServerDesired) -> None:
        message = as_message(wish)
        await self.bus.publish(message.subject, message.data, message_id="")

    async def allow(self, said: TenantAllowed, seed: str = "") -> None:
        """Say what a tenant may have."""
        body = signed(said, seed) if seed else codec.encode(said)
        await self.bus.publish(subjects.allowed(said.group, said.tenant), body, message_id="")

    def store(self, wish: VirtualServerDesired) -> None:
        """Publish past all faults."""
        message = as_message(wish)
        self.server.streams[DESIRED.name].store(message.subject, message.data, "")

    @contextlib.asynccontextmanager
    async def programmer(self, *, bus: bool = True, wait: bool = True) -> AsyncIterator["World"]:
        """A programmer at work. Leaving kills it."""

        def make_engine(on_outcome: OnOutcome) -> FakeEngine:
            self.engine = FakeEngine(on_outcome, self.plane)
            return self.engine

        self.node = Node(
            Identity(
                node="node-1", group="default", allow_loopback=self.allow_loopback, operator_key=self.operator_key
            ),
            make_engine,
            StateFile(self.disk, Record, node="node-1", group="default"),
            dial=self._dial,
            holdings=self._holdings,
            tracing=Tracing(now=lambda: 1),
            pace=PACE,
            checks=self.checks,
        )
        self.node.recall()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.node.run())]
            if bus:
                running.append(tasks.create_task(self.node.follow(SlowBus(self.server, self.slow))))
            completing = tasks.create_task(self.node.complete())
            running.append(completing)
            self.node.set_connected(True)
            if wait:
                await completing
            try:
                yield self
            finally:
                for task in running:
                    task.cancel()

    def realized(self, key: VirtualServerKey = KEY) -> VirtualServerRealized | None:
        data = self._last(subjects.realized("default", "node-1", key))
        return codec.decode(VirtualServerRealized, data) if data else None

    def said_of_node(self) -> NodeRealized | None:
        data = self._last(subjects.realized_node("default", "node-1"))
        return codec.decode(NodeRealized, data) if data else None

    def words(self) -> list[str]:
        """Every message about a virtual server that was published, in order."""
        return [
            f"{realized.key} r{realized.revision} {realized.state} {realized.probe}"
            for bus in self.server.buses
            for subject, body in bus.published
            if ".realized." in subject and not subject.endswith(".node")
            for realized in [codec.decode(VirtualServerRealized, body)]
        ]

    def is_realized(self, revision: int, probe: Probe, key: VirtualServerKey = KEY) -> bool:
        realized = self.realized(key)
        return realized is not None and (realized.revision, realized.probe) == (revision, probe)

    def is_removed(self, revision: int, key: VirtualServerKey = KEY) -> bool:
        realized = self.realized(key)
        return realized is not None and (realized.revision, realized.state) == (revision, RealizedState.REMOVED)

    def _last(self, subject: str) -> bytes | None:
        stream = self.server.streams.get(REALIZED.name)
        kept = stream.messages.get(subject) if stream else None
        return kept[-1].data if kept else None

    async def _dial(self, server: VirtualServer, *, turn: int) -> bool | None:
        await asyncio.sleep(self.probe_seconds)
        return self.answers.get(server.key, True)

    async def _holdings(self) -> frozenset[VirtualServerKey] | None:
        return None if self.holdings_unknown else frozenset(self.plane)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.streams()
    return world


async def test_a_wish_is_served_and_said_in_one_message(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY, ["10.0.0.1:31777"]))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        assert world.engine.dump() == "TCP  192.0.2.1:443 lc\n  -> 10.0.0.1:31777 1"
        assert world.words() == ["192.0.2.1:443/tcp r1 programmed answered"]
        realized = world.realized()
        assert realized is not None
        assert [hop.name for hop in realized.hops] == ["program", "acknowledge", "probe"]
        assert realized.load_balancer == a_wish(KEY).load_balancer


def _timed() -> float:
    return REGISTRY.get_sample_value("fleetlb_network_programming_duration_seconds_count") or 0.0


async def test_a_change_of_a_tenant_is_timed_once(world: World) -> None:
    seen = (Hop("watch", 1),)
    before = _timed()
    async with world.programmer():
        await world.wish(msgspec.structs.replace(a_wish(KEY), hops=seen))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        assert _timed() == before + 1
        await world.wish(msgspec.structs.replace(a_wish(KEY, ["10.0.0.2:31777"], revision=2), hops=seen))
        await eventually(lambda: world.is_realized(2, Probe.ANSWERED))
        assert _timed() == before + 2
        await world.wish(msgspec.structs.replace(a_wish(KEY, None, revision=3), hops=seen))
        await eventually(lambda: world.is_removed(3))
        assert _timed() == before + 2
    queued = REGISTRY.get_sample_value("fleetlb_sync_last_queued_timestamp_seconds")
    assert queued == REGISTRY.get_sample_value("fleetlb_sync_last_timestamp_seconds") == 1e-6


async def test_what_a_program_finds_when_it_begins_is_not_timed(world: World) -> None:
    await world.wish(msgspec.structs.replace(a_wish(KEY), hops=(Hop("watch", 0),)))
    before = _timed()
    async with world.programmer():
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        assert _timed() == before


async def test_a_slow_probe_does_not_delay_the_acknowledgement(world: World) -> None:
    world.probe_seconds = 0.3
    async with world.programmer():
        await world.wish(a_wish(KEY))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
    assert world.words() == ["192.0.2.1:443/tcp r1 programmed pending", "192.0.2.1:443/tcp r1 programmed answered"]


async def test_a_change_and_an_idle_service(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY, revision=1))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        await world.wish(a_wish(KEY, (), revision=2))
        await eventually(lambda: world.is_realized(2, Probe.PENDING))
        realized = world.realized()
        assert realized is not None
        assert (realized.real_servers, realized.reason) == (0, "NoReadyBackend")
        assert world.engine.dump() == "TCP  192.0.2.1:443 lc"


async def test_a_removal_is_served_said_and_final(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY))
        await world.wish(a_wish(OTHER))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and world.is_realized(1, Probe.ANSWERED, OTHER))
        await world.wish(a_wish(KEY, None, revision=2))
        await eventually(lambda: world.is_removed(2))
        assert list(world.plane) == [OTHER]
        await world.wish(a_wish(KEY, revision=1))
        await world.wish(a_wish(OTHER, revision=2))
        await eventually(lambda: world.is_realized(2, Probe.ANSWERED, OTHER))
        assert list(world.plane) == [OTHER]
    async with world.programmer():
        assert list(world.plane) == [OTHER]


async def test_a_dead_backend_is_said_after_a_closer_look(world: World) -> None:
    world.answers[KEY] = False
    async with world.programmer():
        await world.wish(a_wish(KEY))
        await eventually(lambda: world.is_realized(1, Probe.UNANSWERED))
        world.answers[KEY] = True
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))


async def test_a_wish_that_this_node_must_not_serve_is_refused_and_what_was_served_stays(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY, revision=1))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        served = world.engine.dump()
        await world.wish(a_wish(KEY, ["169.254.169.254:80"], revision=2))
        await eventually(lambda: world.is_realized(2, Probe.PENDING))
        realized = world.realized()
        assert realized is not None
        assert realized.state is RealizedState.REJECTED
        assert "link-local" in realized.message
        assert world.engine.dump() == served
        await world.node.save()
    async with world.programmer():
        assert world.engine.dump() == served
        assert world.engine.changes == 0


async def test_the_data_planes_refusal_is_passed_on_in_its_words_and_ends_with_it(world: World) -> None:
    async with world.programmer():
        world.engine.rejecting[KEY] = "cannot bind: address in use"
        await world.wish(a_wish(KEY))
        await eventually(lambda: world.realized() is not None)
        realized = world.realized()
        assert realized is not None
        assert (realized.state, realized.message) == (RealizedState.REJECTED, "cannot bind: address in use")
        world.engine.rejecting.clear()
        world.engine.settle()
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b'{"type":"dev.fleetlb.v1.virtual_server_desired"}',
        codec.encode(a_wish(OTHER)),
        codec.encode(a_wish(OTHER, None)),
        codec.encode(a_wish(KEY)).replace(b'"192.0.2.1"', b'"192.0.2.01"'),
        b"[" * 100_000,
    ],
)
async def test_what_cannot_be_read_changes_nothing(world: World, body: bytes) -> None:
    async with world.programmer():
        await world.bus.publish(subjects.desired("default", KEY), body, message_id="")
        await world.wish(a_wish("192.0.2.9:80/tcp"))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED, parse_key("192.0.2.9:80/tcp")))
        assert list(world.plane) == [parse_key("192.0.2.9:80/tcp")]
        assert world.realized(OTHER) is None


async def test_a_fenced_manager_is_told_what_stands(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY, ["10.0.0.2:31000"], generation=2, revision=1))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        await world.bus.purge_subject(REALIZED.name, subjects.realized("default", "node-1", KEY))
        await world.wish(a_wish(KEY, ["10.0.0.1:31000"], generation=1, revision=50))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        assert "10.0.0.2" in world.engine.dump()


async def test_a_late_wish_is_not_begun_also_by_a_stream_that_was_made_anew(world: World) -> None:
    await world.wish(a_wish(OTHER, generation=1))
    await world.allow(an_allowance(generation=2, bars=(Bar(2, world.server.streams[DESIRED.name].last_sequence),)))
    async with world.programmer():
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
        await world.wish(a_wish(KEY, generation=1))
        await eventually(lambda: (word := world.realized()) is not None and word.state is RealizedState.REJECTED)
        world.server.delete_stream(DESIRED.name)
        await world.streams()
        await world.wish(a_wish(KEY, generation=1, revision=2))
        await eventually(lambda: (word := world.realized()) is not None and word.revision == 2)
        assert set(world.plane) == {OTHER}
        await world.wish(a_wish(KEY, generation=2))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        assert set(world.plane) == {OTHER, KEY}


class TestLosses:
    async def test_a_deleted_stream_removes_nothing(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            world.server.delete_stream(DESIRED.name)
            await world.bus.ensure_stream(DESIRED)
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            assert set(world.plane) == {KEY, OTHER}
            await world.node.save()
        async with world.programmer():
            assert set(world.plane) == {KEY, OTHER}

    async def test_a_lost_realized_stream_is_filled_again(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await world.wish(a_wish(OTHER, None))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and world.is_removed(1, OTHER))
            await eventually(lambda: world.said_of_node() is not None)
            world.server.delete_stream(REALIZED.name)
            await world.bus.ensure_stream(REALIZED)
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and world.is_removed(1, OTHER))
            await eventually(lambda: world.said_of_node() is not None)

    async def test_a_stream_that_comes_late_is_waited_for(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        await world.bus.ensure_stream(DESIRED)
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: KEY in world.plane)
            await world.bus.ensure_stream(REALIZED)
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))

    async def test_a_reconnect_says_nothing_twice(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            for bus in world.server.buses:
                bus.disconnect()
            for bus in world.server.buses:
                bus.reconnect()
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            assert world.words() == [f"{KEY} r1 programmed answered", f"{OTHER} r1 programmed answered"]

    async def test_what_happens_while_the_bus_is_away_is_said_afterwards(self, world: World) -> None:
        world.answers[KEY] = False
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.UNANSWERED))
            for bus in world.server.buses:
                bus.disconnect()
            world.answers[KEY] = True
            await eventually(lambda: (said := world.node.word(KEY)) is not None and said.probe is Probe.ANSWERED)
            assert world.is_realized(1, Probe.UNANSWERED)
            for bus in world.server.buses:
                bus.reconnect()
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))

    async def test_lost_acknowledgements_and_publishes_are_repeated(self, world: World) -> None:
        async with world.programmer():
            await eventually(lambda: world.said_of_node() is not None)
            world.server.lose_publishes(2)
            world.store(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            world.server.lose_acks(1)
            world.store(a_wish(KEY, revision=2))
            await eventually(lambda: world.is_realized(2, Probe.ANSWERED))

    async def test_a_purged_removal_is_not_said_again(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY, None))
            await eventually(lambda: world.is_removed(1))
            await world.bus.purge_subject(DESIRED.name, subjects.desired("default", KEY))
            await world.bus.purge_subject(REALIZED.name, subjects.realized("default", "node-1", KEY))
            world.server.restart_followers()
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            assert world.realized() is None


class TestRestarts:
    async def test_a_restart_changes_nothing_and_says_nothing(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await world.wish(a_wish(OTHER, None))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and world.is_removed(1, OTHER))
            await world.node.save()
        before = world.words()
        async with world.programmer():
            await world.wish(a_wish("192.0.2.9:80/tcp"))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, parse_key("192.0.2.9:80/tcp")))
            assert world.engine.changes == 1
        assert world.words() == [*before, "192.0.2.9:80/tcp r1 programmed answered"]

    async def test_what_was_let_go_does_not_rise_again(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
            await world.wish(a_wish(KEY, None, revision=2))
            await eventually(lambda: world.is_removed(2))
            await world.node.save()  # the file has both lines
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            await world.node.save()
        world.plane.clear()
        async with world.programmer(bus=False):
            await eventually(lambda: OTHER in world.plane)
            assert set(world.plane) == {OTHER}

    async def test_what_was_let_go_a_moment_ago_does_not_rise_again(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
            await world.wish(a_wish(KEY, None, revision=2))
            await eventually(lambda: world.is_removed(2))
        # The hub has no use for the wish any more, nor for the word, and may give the address to somebody else.
        await world.bus.purge_subject(DESIRED.name, subjects.desired("default", KEY))
        await world.bus.purge_subject(REALIZED.name, subjects.realized("default", "node-1", KEY))
        async with world.programmer():
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            assert set(world.plane) == {OTHER}

    async def test_without_the_hub_the_state_file_serves(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            await world.node.save()
        world.plane.clear()  # the data plane restarted too
        async with world.programmer(bus=False):
            await eventually(lambda: set(world.plane) == {KEY, OTHER})

    async def test_without_disk_and_hub_what_the_data_plane_holds_stays(self, world: World, tmp_path: Path) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        world.disk = tmp_path / "lost"
        world.server.delete_stream(DESIRED.name)
        async with world.programmer(wait=False):
            await world.bus.ensure_stream(DESIRED)
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.node.word(OTHER) is None and OTHER in world.node)
            assert list(world.plane) == [KEY]  # nobody has explained it, so nothing moves
            await world.wish(a_wish(KEY, revision=2))
            await eventually(lambda: set(world.plane) == {KEY, OTHER})

    async def test_P2_what_a_lost_disk_forgot_is_not_taken_from_the_past(self, world: World, tmp_path: Path) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY, ["10.0.0.2:31000"], generation=5, revision=9))
            await eventually(lambda: world.is_realized(9, Probe.ANSWERED))
        world.disk = tmp_path / "lost"
        await world.wish(a_wish(KEY, ["10.0.0.1:31000"], generation=4, revision=99))
        async with world.programmer(wait=False):
            await eventually(lambda: world.node.has_replayed)
            assert KEY not in world.node
            await world.wish(a_wish(KEY, ["10.0.0.3:31000"], generation=6, revision=1))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            assert "10.0.0.3" in world.engine.dump()

    async def test_a_damaged_state_file_is_rebuilt_from_the_stream(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
        (file,) = world.disk.glob("desired.jsonl")
        file.write_bytes(file.read_bytes()[:-40])
        async with world.programmer():
            assert list(world.plane) == [KEY]
            await world.node.save()
        assert file.exists()
        assert list(world.disk.glob("*.damaged-*"))
        async with world.programmer(bus=False):
            assert list(world.plane) == [KEY]

    async def test_an_old_copy_of_the_state_file_is_noticed_and_takes_nothing_back(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY, ["10.0.0.1:31000"], revision=1))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
            (file,) = world.disk.glob("desired.jsonl")
            old_copy = file.read_bytes()
            await world.wish(a_wish(KEY, ["10.0.0.3:31000"], revision=3))
            await eventually(lambda: world.is_realized(3, Probe.ANSWERED))
            await world.node.save()
        file.write_bytes(old_copy)
        world.server.delete_stream(DESIRED.name)
        await world.bus.ensure_stream(DESIRED)
        await world.wish(a_wish(KEY, ["10.0.0.2:31000"], revision=2))
        before = BEHIND._value.get()
        async with world.programmer():
            assert BEHIND._value.get() == before + 1
            assert "10.0.0.2" not in world.engine.dump()
            await world.wish(a_wish(KEY, ["10.0.0.3:31000"], revision=3))
            await eventually(lambda: "10.0.0.3" in world.engine.dump())

    async def test_a_damaged_file_alone_is_no_reason_to_act(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            await world.node.save()
        (file,) = world.disk.glob("desired.jsonl")
        file.write_bytes(file.read_bytes().replace(b'"192.0.2.1"', b'"192.0.2.7"'))
        world.holdings_unknown = True
        world.plane.clear()
        async with world.programmer(bus=False, wait=False):
            with pytest.raises(AssertionError):
                await eventually(lambda: world.plane, 0.6)

    async def test_a_removal_is_said_again_if_the_hub_lost_the_word(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY, None))
            await eventually(lambda: world.is_removed(1))
            await world.node.save()
        world.server.delete_stream(REALIZED.name)
        await world.bus.ensure_stream(REALIZED)
        async with world.programmer():
            await eventually(lambda: world.is_removed(1))

    async def test_a_removal_that_the_hub_has_purged_is_not_said_again(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(OTHER))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            await world.node.save()
            world.server.lose_publishes(1)
            world.store(a_wish(KEY, None))
            await eventually(lambda: KEY in world.node)
            await world.node.save()
            await eventually(lambda: world.is_removed(1))
            await world.node.save()
        await world.bus.purge_subject(DESIRED.name, subjects.desired("default", KEY))
        await world.bus.purge_subject(REALIZED.name, subjects.realized("default", "node-1", KEY))
        async with world.programmer():
            await world.wish(a_wish(OTHER, revision=2))
            await eventually(lambda: world.is_realized(2, Probe.ANSWERED, OTHER))
            assert world.realized() is None

    async def test_a_node_that_knows_nothing_writes_no_file_that_says_so(self, world: World, tmp_path: Path) -> None:
        world.plane[KEY] = a_virtual_server(KEY)
        world.disk = tmp_path / "lost"
        async with world.programmer(bus=False, wait=False):
            await world.node.save()
        assert list(world.disk.iterdir()) == []
        assert KEY in world.plane

    @pytest.mark.parametrize("acknowledged", [True, False])
    async def test_a_removal_interrupted_anywhere_is_finished(self, world: World, acknowledged: bool) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            world.engine.is_away = not acknowledged
            world.server.lose_publishes(10)
            world.store(a_wish(KEY, None, revision=2))
            await eventually(lambda: (KEY in world.plane) is not acknowledged)
            await world.node.save()
        world.server.faults.clear()
        async with world.programmer():
            await eventually(lambda: world.is_removed(2))
            assert KEY not in world.plane


class Backend:
    """A real server on the loopback that counts the connections it takes."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def die(self) -> None:
        assert self._server is not None
        self._server.close()

    def __str__(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await reader.read(1)


@contextlib.asynccontextmanager
async def _backends(count: int) -> AsyncIterator[list[Backend]]:
    backends = [Backend() for _ in range(count)]
    for backend in backends:
        await backend.start()
    try:
        yield sorted(backends, key=lambda backend: backend.port)
    finally:
        for backend in backends:
            backend.die()


class KubeNode:
    """A node as kube-proxy makes it: a node port, and a health check port that says whether a ready pod is here."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.has_pod = True
        self.asked = 0
        self.servers: list[asyncio.Server] = []

    async def start(self, node_port: int = 0, health_port: int = 0) -> tuple[int, int]:
        """On these ports, or on free ones; on which."""
        for serve, port in ((self._serve, node_port), (self._answer, health_port)):
            self.servers.append(await asyncio.start_server(serve, self.address, port))
        first, second = (server.sockets[0].getsockname()[1] for server in self.servers)
        return first, second

    def die(self) -> None:
        for server in self.servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await reader.read(1)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            word = b"200 OK" if self.has_pod else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}" % word)
            await writer.drain()


@contextlib.asynccontextmanager
async def _kube_nodes() -> AsyncIterator[tuple[list[KubeNode], VirtualServer]]:
    """Three nodes on the same ports, and a virtual server over them."""
    nodes = [KubeNode(f"127.0.0.{number}") for number in (1, 2, 3)]
    try:
        node_port, health_port = await nodes[0].start()
        for node in nodes[1:]:
            await node.start(node_port, health_port)
        server = a_virtual_server(KEY, [f"{node.address}:{node_port}" for node in nodes])
        yield nodes, msgspec.structs.replace(server, health_check_port=health_port)
    finally:
        for node in nodes:
            node.die()


@contextlib.contextmanager
def _silent_port() -> Iterator[int]:
    """A port whose queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class TestHealth:
    """Real servers are real here, and checked as in the product but for the intervals."""

    @pytest.fixture(autouse=True)
    def _quick_checks(self, world: World) -> None:
        world.allow_loopback = True
        world.checks = Checks(
            pace=Pace(
                sweep_seconds=0.05,
                sweeps_per_second=1000.0,
                batch_seconds=0.001,
                retry=Backoff(initial=0.02, cap=0.05),
                retries_per_second=1000.0,
                confirm_seconds=0.02,
            ),
            settle_seconds=0.01,
            tell_seconds=0.05,
        )

    def _wish(
        self,
        backends: list[Backend],
        key: VirtualServerKey = KEY,
        revision: int = 1,
        policy: FailurePolicy = FailurePolicy.OPEN,
    ) -> VirtualServerDesired:
        wish = a_wish(key, [str(backend) for backend in backends], revision=revision)
        assert wish.server is not None
        return msgspec.structs.replace(wish, server=msgspec.structs.replace(wish.server, failure_policy=policy))

    def _weights(self, world: World, key: VirtualServerKey = KEY) -> list[int]:
        """By port."""
        server = world.plane.get(key)
        return [real_server.weight for real_server in server.real_servers] if server else []

    def _is_said(self, world: World, healthy: int, *, of: int, brake: bool = False) -> bool:
        realized = world.realized()
        said = realized and (realized.state, realized.healthy, realized.real_servers, realized.brake)
        return said == (RealizedState.PROGRAMMED, healthy, of, brake)

    async def test_a_dead_backend_gets_no_new_connections_and_does_when_it_returns(self, world: World) -> None:
        async with _backends(3) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            assert self._is_said(world, 3, of=3)
            backends[1].die()
            await eventually(lambda: self._weights(world) == [1, 0, 1])
            await eventually(lambda: self._is_said(world, 2, of=3))
            await backends[1].start()
            await eventually(lambda: self._weights(world) == [1, 1, 1])
            await eventually(lambda: self._is_said(world, 3, of=3))
            assert world.words() == 3 * [f"{KEY} r1 programmed answered"]

    async def test_ETP_4_a_node_that_says_no_gets_no_new_connections_whatever_its_node_port_says(
        self, world: World
    ) -> None:
        async with _kube_nodes() as (nodes, server), world.programmer():
            await world.wish(msgspec.structs.replace(a_wish(KEY), server=server))
            await eventually(lambda: self._is_said(world, 3, of=3))
            nodes[1].has_pod = False
            await eventually(lambda: self._weights(world) == [1, 0, 1] and self._is_said(world, 2, of=3))
            nodes[1].has_pod = True
            await eventually(lambda: self._weights(world) == [1, 1, 1] and self._is_said(world, 3, of=3))
            nodes[2].servers[0].close()
            await eventually(lambda: self._weights(world) == [1, 1, 0])
            nodes[0].servers[1].close()  # nobody answers for the node: out as well, but for the brake
            await eventually(lambda: self._is_said(world, 1, of=3, brake=True))

    async def test_ETP_5_without_a_health_check_port_nobody_is_asked_any_more(self, world: World) -> None:
        async with _kube_nodes() as (nodes, server), world.programmer():
            await world.wish(msgspec.structs.replace(a_wish(KEY), server=server))
            await eventually(lambda: all(node.asked > 1 for node in nodes))
            nodes[1].has_pod = False
            await eventually(lambda: self._weights(world) == [1, 0, 1])
            plain = msgspec.structs.replace(server, health_check_port=0)
            await world.wish(msgspec.structs.replace(a_wish(KEY, revision=2), server=plain))
            await eventually(lambda: self._weights(world) == [1, 1, 1])
            await eventually(lambda: world.is_realized(2, Probe.ANSWERED))
            asked = [node.asked for node in nodes]
            backend = Backend()
            await backend.start()
            await world.wish(self._wish([backend], OTHER_TCP))
            await eventually(lambda: backend.connections > 20)  # so many rounds later
            assert [node.asked for node in nodes] == asked
            backend.die()

    async def test_when_all_die_the_last_set_stays(self, world: World) -> None:
        async with _backends(3) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            for backend in backends:
                backend.die()
            await eventually(lambda: self._is_said(world, 0, of=3, brake=True))
            assert self._weights(world) == [1, 1, 1]
            await backends[0].start()
            await eventually(lambda: self._is_said(world, 1, of=3, brake=True))
            await backends[1].start()
            await eventually(lambda: self._is_said(world, 2, of=3))
            await eventually(lambda: self._weights(world) == [1, 1, 0])

    async def test_the_only_backend_is_never_drained(self, world: World) -> None:
        async with _backends(1) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            backends[0].die()
            await eventually(lambda: self._is_said(world, 0, of=1, brake=True))
            assert (self._weights(world), world.engine.changes) == ([1], 1)

    async def test_a_closed_policy_serves_none_and_says_that_nobody_answers(self, world: World) -> None:
        async with _backends(2) as backends, world.programmer():
            await world.wish(self._wish(backends, policy=FailurePolicy.CLOSED))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            for backend in backends:
                backend.die()
            await eventually(lambda: self._weights(world) == [0, 0])
            await eventually(lambda: world.is_realized(1, Probe.UNANSWERED) and self._is_said(world, 0, of=2))
            await backends[0].start()
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and self._is_said(world, 1, of=2))
            assert self._weights(world) == [1, 0]

    async def test_of_two_that_die_one_after_the_other_the_last_is_kept(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(braking, "WINDOW_SECONDS", 0.2)
        async with _backends(2) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            backends[0].die()
            await eventually(lambda: self._weights(world) == [0, 1])
            before = backends[1].connections
            await eventually(lambda: backends[1].connections > before + 10)  # and the window is over
            backends[1].die()
            await eventually(lambda: self._is_said(world, 0, of=2, brake=True))
            assert self._weights(world) == [0, 1]

    async def test_a_new_wish_knows_who_is_dead(self, world: World) -> None:
        async with _backends(3) as backends, world.programmer():
            await world.wish(self._wish(backends[:2]))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            backends[0].die()
            await eventually(lambda: self._weights(world) == [0, 1])
            changes = world.engine.changes
            await world.wish(self._wish(backends, revision=2))
            await eventually(lambda: world.is_realized(2, Probe.ANSWERED))
            assert self._weights(world) == [0, 1, 1]
            assert world.engine.changes == changes + 1
            assert self._is_said(world, 2, of=3)
            await world.wish(self._wish(backends[1:], revision=3))
            await eventually(lambda: world.is_realized(3, Probe.ANSWERED))
            assert self._is_said(world, 2, of=2)

    async def test_what_two_virtual_servers_share_is_checked_once(self, world: World) -> None:
        async with _backends(2) as (shared, single), world.programmer():
            other = parse_key("192.0.2.2:80/tcp")
            await world.wish(self._wish([shared, single]))
            await world.wish(self._wish([shared], other))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, other))
            await eventually(lambda: single.connections >= 30)
            assert 20 <= shared.connections <= 45
            shared.die()
            await eventually(lambda: self._weights(world).count(0) == 1)
            await eventually(lambda: (said := world.realized(other)) is not None and said.brake)

    async def test_a_removed_virtual_server_is_checked_no_more(self, world: World) -> None:
        async with _backends(2) as (gone, stays), world.programmer():
            await world.wish(self._wish([gone]))
            await world.wish(self._wish([stays], parse_key("192.0.2.2:80/tcp")))
            await eventually(lambda: gone.connections > 3)
            await world.wish(a_wish(KEY, None, revision=2))
            await eventually(lambda: world.is_removed(2))
            before, more = gone.connections, stays.connections + 10
            await eventually(lambda: stays.connections > more)
            assert gone.connections <= before + 1, "but for one under way"

    async def test_nothing_is_said_while_nothing_changes(self, world: World) -> None:
        async with _backends(2) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            backends[0].die()
            await eventually(lambda: self._is_said(world, 1, of=2))
            words, changes, more = len(world.words()), world.engine.changes, backends[1].connections + 20
            await eventually(lambda: backends[1].connections > more)
            assert (len(world.words()), world.engine.changes) == (words, changes)

    async def test_a_flapping_backend_is_not_said_faster_than_agreed(self, world: World) -> None:
        world.checks = msgspec.structs.replace(world.checks, tell_seconds=0.5)
        async with _backends(3) as backends, world.programmer():
            await world.wish(self._wish(backends))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            began, changes = asyncio.get_running_loop().time(), world.engine.changes
            for _ in range(5):
                backends[0].die()
                await eventually(lambda: self._weights(world) == [0, 1, 1])
                await backends[0].start()
                await eventually(lambda: self._weights(world) == [1, 1, 1])
            assert world.engine.changes == changes + 10
            assert len(world.words()) <= 1 + (asyncio.get_running_loop().time() - began) / 0.5

    @pytest.mark.parametrize("how", ["refusing", "silent"])
    async def test_a_restart_does_not_bring_back_who_is_dead(self, world: World, how: str) -> None:
        world.checks = msgspec.structs.replace(world.checks, timeout_seconds=0.2)
        with _silent_port() as silent:
            async with _backends(2) as backends:
                lost = f"127.0.0.1:{silent}" if how == "silent" else str(backends[0])
                async with world.programmer():
                    if how == "refusing":
                        backends[0].die()
                    await world.wish(a_wish(KEY, [lost, str(backends[1])]))
                    await eventually(lambda: self._weights(world).count(0) == 1 and self._is_said(world, 1, of=2))
                    await world.node.save()
                words = world.words()
                async with world.programmer():
                    await eventually(lambda: world.node.word(KEY) is not None)
                    more = backends[1].connections + 10
                    await eventually(lambda: backends[1].connections > more)
                    assert world.engine.changes == 0
                assert world.words() == words

    async def test_a_start_waits_no_longer_than_agreed_for_who_keeps_silent(self, world: World) -> None:
        world.checks = msgspec.structs.replace(world.checks, timeout_seconds=20.0, first_round_seconds=0.1)
        with _silent_port() as silent:
            async with _backends(1) as backends:
                async with world.programmer():
                    await world.wish(a_wish(KEY, [f"127.0.0.1:{silent}", str(backends[0])]))
                    await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
                    await world.node.save()
                world.plane.clear()
                async with world.programmer():
                    await eventually(lambda: self._weights(world) == [1, 1])

    async def test_of_udp_nothing_is_checked_and_nothing_said(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(OTHER, ["127.0.0.1:9"]))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER))
            realized = world.realized(OTHER)
            assert realized is not None
            assert (realized.real_servers, realized.healthy, realized.brake) == (1, None, False)


@pytest.mark.parametrize("came", [True, False])
async def test_whatever_happens_to_the_data_plane_all_is_looked_at_anew(world: World, came: bool) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        world.answers[KEY] = False
        world.node.set_connected(came)
        await eventually(lambda: world.is_realized(1, Probe.UNANSWERED))


async def test_the_node_says_what_it_is_and_when_it_is_not_ready(world: World) -> None:
    async with world.programmer():
        await eventually(lambda: (said := world.said_of_node()) is not None and said.ready)
        said = world.said_of_node()
        assert said is not None
        assert (said.node, said.group, said.engine) == ("node-1", "default", "fake")
        assert said.capabilities == tuple(sorted(FakeEngine.capabilities))
        world.node.set_connected(False)
        await eventually(lambda: (said := world.said_of_node()) is not None and not said.ready)


async def test_the_node_says_how_often_it_mended_what_others_changed(world: World) -> None:
    async with world.programmer():
        await eventually(lambda: (said := world.said_of_node()) is not None and said.repairs == 0)
        world.node.note_repairs(2)
        world.node.note_repairs(3)
        await eventually(lambda: (said := world.said_of_node()) is not None and said.repairs == 5)
