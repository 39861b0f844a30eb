import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import realized_stream
from fleetlb.contracts.v1 import NodeRealized, Probe, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.runtime.bus import NO_HEADERS, Ack, Callback, MessageHandler
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.wishes import a_wish
from fleetlb_dataplane_programmer.deciding import Apply, Remove
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.programming import Ledger
from fleetlb_dataplane_programmer.telling import Teller

KEY = parse_key("192.0.2.1:443/tcp")
STREAM = realized_stream("default")


class NotingBus(FakeBus):
    """Notes the ids under which it was asked to publish; acknowledgements and replays may be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.acknowledging = asyncio.Event()
        self.acknowledging.set()
        self.replaying = asyncio.Event()
        self.replaying.set()

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        self.ids.append(message_id)
        ack = await super().publish(subject, body, message_id=message_id, trace=trace, headers=headers)
        await self.acknowledging.wait()
        return ack

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        await self.replaying.wait()
        await super().replay_and_follow(
            stream, subject_filter, on_message, on_replayed=on_replayed, on_restart=on_restart
        )


class Bench:
    """A ledger whose engine acknowledges everything, and a teller on a fake bus."""

    def __init__(self, bus: NotingBus | None = None) -> None:
        self.bus = bus or NotingBus()
        self.ledger = Ledger("node-1", allow_loopback=False)
        self.let_go: list[VirtualServerKey] = []
        self.disk_takes = True
        self.description = NodeRealized(node="node-1", group="default", engine="fake")
        self.teller = Teller(
            self.ledger,
            group="default",
            node="node-1",
            describe=lambda: self.description,
            keep=self.keep,
            on_let_go=self.let_go.append,
        )

    async def keep(self) -> bool:
        return self.disk_takes

    def program(self, revision: int = 1, *, answered: bool = True, gone: bool = False) -> None:
        decision = self.ledger.fold(a_wish(KEY, None if gone else ("10.0.0.1:1",), revision=revision), now=1)
        assert isinstance(decision, Apply | Remove)
        state = State.REMOVED if gone else State.PROGRAMMED
        self.ledger.take_outcome(KEY, Outcome(state=state, token=decision.token), now=2)
        if answered:
            self.ledger.take_probe(KEY, decision.token, True, now=3)
        self.teller.tell(KEY)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.teller.run()), tasks.create_task(self.teller.follow(self.bus))]
            await self.teller.wait_for_hub(5)
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    def words(self) -> list[tuple[int, Probe]]:
        return [
            (realized.revision, realized.probe)
            for subject, body in self.bus.published
            if not subject.endswith(".node")
            for realized in [codec.decode(VirtualServerRealized, body)]
        ]

    def said_of_node(self) -> list[NodeRealized]:
        return [codec.decode(NodeRealized, body) for subject, body in self.bus.published if subject.endswith(".node")]


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.bus.ensure_stream(STREAM)
    return bench


async def test_a_word_is_published_once(bench: Bench) -> None:
    async with bench.running():
        bench.program()
        for _ in range(5):
            bench.teller.tell(KEY)
            await asyncio.sleep(0)
        bench.program(revision=2)
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED), (2, Probe.ANSWERED)])


async def test_what_the_hub_may_have_forgotten_is_said_again(bench: Bench) -> None:
    async with bench.running():
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
        bench.teller.tell_everything_again()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)] * 2)


async def test_nothing_is_published_before_it_is_known_what_the_hub_holds(bench: Bench) -> None:
    first = Bench(bench.bus)
    async with first.running():
        first.program()
        await eventually(lambda: first.words() == [(1, Probe.ANSWERED)])
    bench.bus.replaying.clear()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(bench.teller.run()),
            tasks.create_task(bench.teller.follow(bench.bus)),
        ]
        bench.program()
        bench.teller.tell_node()
        for _ in range(20):
            await asyncio.sleep(0)
        assert bench.words() == [(1, Probe.ANSWERED)]
        bench.bus.replaying.set()
        await bench.teller.wait_for_hub(5)
        bench.program(revision=2)
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED), (2, Probe.ANSWERED)])
        for task in running:
            task.cancel()


async def test_what_may_have_gone_into_a_lost_stream_is_said_again(bench: Bench) -> None:
    async with bench.running():
        await eventually(lambda: bench.said_of_node() != [])
        bench.bus.acknowledging.clear()
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
        bench.bus.server.delete_stream(STREAM.name)
        await bench.bus.ensure_stream(STREAM)
        await bench.bus.ensure_stream(STREAM)
        await eventually(lambda: bench.bus.server.streams[STREAM.name].followers)
        bench.bus.acknowledging.set()
        stored = bench.bus.server.streams[STREAM.name].messages
        await eventually(lambda: subjects.realized("default", "node-1", KEY) in stored)


async def test_a_probe_not_yet_repeated_does_not_replace_one_that_was_answered(bench: Bench) -> None:
    async with bench.running():
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
    successor = Bench(bench.bus)
    async with successor.running():
        successor.program(answered=False)
        for _ in range(20):
            await asyncio.sleep(0)
        successor.program(revision=2, answered=False)
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED), (2, Probe.PENDING)])


async def test_a_better_word_within_the_grace_takes_its_place(bench: Bench) -> None:
    async with bench.running():
        decision = bench.ledger.fold(a_wish(KEY), now=1)
        assert isinstance(decision, Apply)
        bench.ledger.take_outcome(KEY, Outcome(state=State.PROGRAMMED, token=decision.token), now=2)
        bench.teller.tell_within(KEY, 60)
        bench.ledger.take_probe(KEY, decision.token, True, now=3)
        bench.teller.tell(KEY)
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])


async def test_a_foreign_word_under_our_name_is_corrected(bench: Bench) -> None:
    async with bench.running():
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
        subject, body = bench.bus.published[-1]
        forged = body.replace(b'"answered"', b'"unanswered"')
        await FakeBus(bench.bus.server).publish(subject, forged, message_id="")
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)] * 2)


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense"])
async def test_an_unreadable_word_under_our_name_is_corrected_at_the_next_replay(bench: Bench, body: bytes) -> None:
    await bench.bus.publish(subjects.realized("default", "node-1", KEY), body, message_id="")
    bench.bus.published.clear()
    async with bench.running():
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])


async def test_an_unknown_outcome_is_repeated_under_the_same_id(bench: Bench) -> None:
    async with bench.running():
        await eventually(lambda: bench.said_of_node() != [])
        bench.bus.server.lose_publishes(2)
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
        first, *repeated = [name for name in bench.bus.ids if "192.0.2.1" in name]
        assert repeated == [first, first]
        bench.program(revision=2)
        await eventually(lambda: bench.words()[-1] == (2, Probe.ANSWERED))
        assert bench.bus.ids[-1] != first


async def test_a_lost_acknowledgement_needs_no_repetition_when_the_stream_shows_the_word(bench: Bench) -> None:
    async with bench.running():
        bench.bus.server.lose_acks(1)
        bench.program(answered=False, gone=True)
        await eventually(lambda: bench.let_go == [KEY])
        assert len(bench.words()) == 1


async def test_two_runs_never_use_the_same_id(bench: Bench) -> None:
    """The server drops a message whose id it has seen, whatever is in it."""
    for probe in (True, False, True):
        run = Bench(bench.bus)
        async with run.running():
            run.program(answered=probe)
            if not probe:
                entry = run.ledger.get(KEY)
                assert entry is not None
                for _ in range(3):
                    run.ledger.take_probe(KEY, entry.token, False, now=4)
                run.teller.tell(KEY)
            wanted = Probe.ANSWERED if probe else Probe.UNANSWERED
            await eventually(lambda wanted=wanted: bench.words()[-1:] == [(1, wanted)])  # type: ignore[misc]
    stored = bench.bus.server.streams[STREAM.name].messages[subjects.realized("default", "node-1", KEY)][-1]
    assert codec.decode(VirtualServerRealized, stored.data).probe is Probe.ANSWERED


async def test_the_end_of_a_key_is_told_when_the_hub_knows(bench: Bench) -> None:
    async with bench.running():
        bench.bus.server.lose_publishes(1)
        bench.program(answered=False, gone=True)
        await eventually(lambda: bench.let_go == [KEY])
        assert len(bench.words()) == 1


async def test_what_the_node_is_is_said_when_it_changes(bench: Bench) -> None:
    async with bench.running():
        await eventually(lambda: bench.said_of_node() == [bench.description])
        first = bench.description
        bench.teller.tell_node()
        bench.description = NodeRealized(node="node-1", group="default", engine="fake", ready=True)
        bench.teller.tell_node()
        await eventually(lambda: bench.said_of_node() == [first, bench.description])


async def test_waiting_for_the_hub_ends() -> None:
    bench = Bench()
    await bench.teller.wait_for_hub(0.01)
    assert bench.words() == []


async def test_a_removal_is_not_said_before_it_is_kept(bench: Bench) -> None:
    async with bench.running():
        bench.program()
        await eventually(lambda: bench.words() == [(1, Probe.ANSWERED)])
        bench.disk_takes = False
        bench.program(revision=2, gone=True, answered=False)
        bench.teller.tell_node()
        await eventually(bench.said_of_node)
        assert bench.words() == [(1, Probe.ANSWERED)]
        bench.disk_takes = True
        await eventually(lambda: bench.let_go == [KEY])
        assert bench.words() == [(1, Probe.ANSWERED), (2, Probe.PENDING)]
