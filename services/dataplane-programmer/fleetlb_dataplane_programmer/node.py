"""One balancer node at work: wishes from the bus go to the engine, its outcomes to the prober and back to the bus.

Everything here returns at once. What to do is decided by the ledger; reading, writing, probing and publishing are
done elsewhere, in their own time.
"""

import asyncio
from collections.abc import Callable

import structlog

import fleetlb
from fleetlb.contracts import subjects
from fleetlb.contracts.streams import desired_stream
from fleetlb.contracts.v1 import (
    GroupInstructed,
    NodeRealized,
    RealizedState,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.errors import Poison
from fleetlb.domain.routing import RouterSession
from fleetlb.domain.traces import trace_id
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.checking import Checks
from fleetlb_dataplane_programmer.completing import Holdings, Knowledge, may_complete
from fleetlb_dataplane_programmer.deciding import KEPT_TOKEN, Apply, Decision, Ignored, Next, Refused, Remove, word_for
from fleetlb_dataplane_programmer.emptying import Draining
from fleetlb_dataplane_programmer.engine import Engine, OnOutcome, Outcome
from fleetlb_dataplane_programmer.guarding import Guard
from fleetlb_dataplane_programmer.health import Verdict
from fleetlb_dataplane_programmer.heeding import FILE, Heeder
from fleetlb_dataplane_programmer.identity import Identity
from fleetlb_dataplane_programmer.instructions import is_out
from fleetlb_dataplane_programmer.measuring import STANDING, WISHES, Stopwatch
from fleetlb_dataplane_programmer.programming import Ledger
from fleetlb_dataplane_programmer.reading import read_wish
from fleetlb_dataplane_programmer.records import AllowanceRecord, Record
from fleetlb_dataplane_programmer.remembering import Memory, StateFile
from fleetlb_dataplane_programmer.sweeping import Dial, Pace, Sweeper
from fleetlb_dataplane_programmer.telling import CROWDED_GRACE_SECONDS, GRACE_SECONDS, Teller

_NODE_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_FLOOR_SECONDS = 1.0


class Node:
    """The programming loop."""

    def __init__(
        self,
        identity: Identity,
        make_engine: Callable[[OnOutcome], Engine],
        state_file: StateFile[Record],
        *,
        dial: Dial,
        holdings: Holdings,
        pace: Pace = Pace(),  # noqa: B008 (frozen)
        checks: Checks = Checks(),  # noqa: B008 (frozen)
        tracing: Tracing = OFF,
    ) -> None:
        """`holdings` tells what the data plane holds already; `pace` is that of probes, `checks` of real servers."""
        self._identity = identity
        self._now_us = tracing.now
        self._stopwatch = Stopwatch(tracing.now)
        self._holdings = holdings
        allowances = Allowances(operator_key=identity.operator_key, own_addresses=identity.own_addresses)
        self._ledger = Ledger(identity.node, allow_loopback=identity.allow_loopback, allowances=allowances)
        self._heeder = Heeder(
            allowances,
            state_file.beside(FILE, AllowanceRecord),
            group=identity.group,
            operator_key=identity.operator_key,
            on_news=lambda tenant: self._judge_again(tenant) if allowances.knows(tenant) else None,
        )
        self._engine = make_engine(self._on_outcome)
        self._memory = Memory(state_file, record=self._ledger.record, records=self._ledger.records)
        self._guard = Guard(self._on_verdict, checks)
        self._tell_seconds = checks.tell_seconds
        self._sweeper = Sweeper(self._ledger, dial, self._on_word, now_us=tracing.now, pace=pace)
        self._teller = Teller(
            self._ledger,
            group=identity.group,
            node=identity.node,
            describe=self._describe,
            keep=self._memory.keep,
            on_let_go=self._memory.note,
            tracing=tracing,
        )
        self._draining = Draining()
        self._sessions: tuple[RouterSession, ...] = ()
        self._is_out = False
        self._ready = False
        self._repairs = 0
        self._remembered = False
        self._replayed_at: float | None = None
        self._news = asyncio.Event()
        self._log = structlog.get_logger()

    @property
    def has_replayed(self) -> bool:
        """Whether the desired stream was read to its end once."""
        return self._replayed_at is not None

    def __contains__(self, key: VirtualServerKey) -> bool:
        return key in self._ledger

    def word(self, key: VirtualServerKey) -> VirtualServerRealized | None:
        """What this node says of a key, whether the hub has heard it or not."""
        return self._ledger.realized(key)

    def targets_on(self, address: str) -> list[VirtualServer]:
        """The virtual servers of an address that this node serves, and that have a real server to answer."""
        return self._ledger.targets_on(address)

    def recall(self) -> None:
        """Take up what the state file holds. Blocks; to be called once, before anything else."""
        self._heeder.recall()
        recovered = self._memory.load()
        if recovered is None:
            return
        self._remembered = not recovered.damage
        for record in recovered.records:
            self._do(record.desired.key, self._ledger.recall(record))
        STANDING.set(len(self._ledger))
        if recovered.damage:
            for record in recovered.records:
                self._memory.note(record.desired.key)

    async def follow(self, bus: Bus) -> None:
        """Take wishes and tell what becomes of them, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._teller.follow(bus), name="follow realized")
            tasks.create_task(self._heeder.follow(bus), name="follow allowed")
            # What this node realized before is a floor: an older wish must not come first, should the disk be lost.
            # And what tenants may have comes before what they want, or it would be judged twice.
            await self._teller.wait_for_hub(_FLOOR_SECONDS)
            await self._heeder.wait_for_hub(_FLOOR_SECONDS)
            await bus.replay_and_follow(
                desired_stream(self._identity.group).name,
                subjects.desired_of(self._identity.group),
                self._on_message,
                on_replayed=self._on_replayed,
                on_restart=self._ledger.forget_what_was_asked,
            )

    async def run(self) -> None:
        """Check, probe, publish and remember, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._guard.run(), name="health")
            tasks.create_task(self._memory.run(), name="state file")
            tasks.create_task(self._heeder.memory.run(), name="state file of allowances")
            tasks.create_task(self._sweeper.run(), name="probes")
            tasks.create_task(self._teller.run(), name="realized")

    async def complete(self) -> None:
        """Return once the engine may act, having told it so.

        Until then it changes nothing, so what a predecessor drained stays drained while a first round of checks finds
        out anew who is dead; that may take no longer than `Checks.first_round_seconds`.
        """
        began = asyncio.get_running_loop().time()
        while not may_complete(await self._knowledge(began)):
            self._news.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
        await self._guard.first_round()
        self._log.info(
            "complete", virtual_servers=len(self._ledger), remembered=self._remembered, replayed=self.has_replayed
        )
        self._engine.complete()
        self._heeder.memory.allow()
        self._memory.allow()

    async def save(self) -> None:
        """Write the state files now."""
        await self._heeder.memory.flush()
        await self._memory.flush()

    def set_connected(self, connected: bool) -> None:
        """The data plane came or went."""
        self._ready = connected
        self._teller.tell_node()
        self._sweeper.look_at_all()

    def note_repairs(self, count: int) -> None:
        """So much of what this node carries was changed by others, and is mended."""
        self._repairs += count
        self._teller.tell_node()

    def note_draining(self, draining: Draining) -> None:
        """Whether the node is to be emptied, and how far that is."""
        self._draining = draining
        self._teller.tell_node()

    def note_sessions(self, sessions: tuple[RouterSession, ...]) -> None:
        """How those with routers are."""
        if sessions != self._sessions:
            is_news = [(each.peer, each.up) for each in sessions] != [(each.peer, each.up) for each in self._sessions]
            self._sessions = sessions
            self._teller.tell_node(0.0 if is_news else _NODE_SECONDS)

    def heed(self, said: GroupInstructed) -> None:
        """What was let go of while this node was none of its group did not wait for it, and its words on that are gone:
        whoever hears them again has it let go, too."""
        was_out, self._is_out = self._is_out, is_out(said, self._identity.node)
        if self._is_out and not was_out:
            self._log.warning("this node is none of its group any more: it announces nothing", group=said.group)
            self._teller.tell_everything_again()

    async def _knowledge(self, began: float) -> Knowledge:
        held = await self._holdings()
        now = asyncio.get_running_loop().time()
        return Knowledge(
            has_remembered=self._remembered,
            waited_seconds=now - began,
            replayed_seconds=None if self._replayed_at is None else now - self._replayed_at,
            strangers=None if held is None else sum(1 for key in held if key not in self._ledger),
        )

    def _on_replayed(self) -> None:
        if self._replayed_at is None:
            self._replayed_at = asyncio.get_running_loop().time()
        self._news.set()

    def _on_message(self, message: Message) -> None:
        if not message.data:
            return  # a purge
        try:
            desired = read_wish(message)
        except Poison as problem:
            WISHES.labels("unreadable").inc()
            self._log.error("a wish cannot be read", subject=message.subject[:256], problem=str(problem))
            return
        decision = self._ledger.fold(desired, self._now_us(), message.trace, message.stream_sequence)
        WISHES.labels(word_for(decision)).inc()
        if isinstance(decision, Ignored):
            self._on_ignored(desired, decision)
            return
        self._take(desired.key, decision)
        self._teller.tell_node(_NODE_SECONDS)
        STANDING.set(len(self._ledger))
        self._news.set()

    def _judge_again(self, tenant: str) -> None:
        """What is served was or was not meant to be: the allowance of a tenant says so now."""
        for key, decision in self._ledger.judge_again(tenant):
            self._take(key, decision)

    def _take(self, key: VirtualServerKey, decision: Decision) -> None:
        self._do(key, decision)
        self._memory.note(key)

    def _on_ignored(self, desired: VirtualServerDesired, ignored: Ignored) -> None:
        """Whoever asks for what is done already, or from the past, does not know what stands here."""
        if ignored is Ignored.STALE:
            self._log.warning("a wish from the past", key=str(desired.key), generation=desired.generation)
            self._teller.tell_again(desired.key)
        elif desired.server is None:
            self._teller.tell(desired.key)

    def _do(self, key: VirtualServerKey, decision: Decision) -> None:
        match decision:
            case Apply(server, token):
                self._apply(server, token)
            case Remove(key, token):
                self._remove(key, token)
            case Refused(message, kept, is_served):
                trace = trace_id(self._ledger.journey(key).trace)
                self._log.warning("a wish is refused", key=str(key), problem=message, trace_id=trace)
                if kept is not None:
                    self._apply(kept, KEPT_TOKEN)
                elif is_served:
                    self._remove(key, KEPT_TOKEN)
                self._teller.tell(key)

    def _apply(self, server: VirtualServer, token: int) -> None:
        """Ask the engine for what stands now, without the real servers that are out."""
        self._ledger.take_verdict(server.key, self._guard.watch(server))
        self._stopwatch.asked()
        self._engine.apply(self._ledger.serving(server.key) or server, token)

    def _remove(self, key: VirtualServerKey, token: int) -> None:
        self._guard.forget(key)
        self._stopwatch.asked()
        self._engine.remove(key, token)

    def _on_verdict(self, key: VirtualServerKey, verdict: Verdict) -> None:
        """Real servers fell or rose under the same wish."""
        serving = self._ledger.take_verdict(key, verdict)
        if serving is not None:
            self._stopwatch.asked()
            self._engine.apply(serving.server, serving.token)
        self._teller.tell_within(key, self._tell_seconds)

    def _on_outcome(self, key: VirtualServerKey, outcome: Outcome) -> None:
        before = self._ledger.journey(key)
        following = self._ledger.take_outcome(key, outcome, self._now_us())
        self._stopwatch.answered(outcome, before, self._ledger.journey(key))
        if following is Next.PROBE:
            self._sweeper.look_at(key)
            self._teller.tell_within(key, CROWDED_GRACE_SECONDS if self._sweeper.has_backlog else GRACE_SECONDS)
        elif following is Next.TELL:
            self._teller.tell(key)
        if outcome.state.value != RealizedState.PROGRAMMED.value:
            STANDING.set(len(self._ledger))
            self._teller.tell_node(_NODE_SECONDS)

    def _on_word(self, key: VirtualServerKey) -> None:
        self._teller.tell(key)

    def _describe(self) -> NodeRealized:
        return NodeRealized(
            node=self._identity.node,
            group=self._identity.group,
            engine=self._engine.name,
            capabilities=tuple(sorted(self._engine.capabilities | self._identity.announces)),
            version=fleetlb.__version__,
            ready=self._ready,
            virtual_servers=len(self._ledger),
            repairs=self._repairs,
            draining=self._draining.is_asked,
            connections=self._draining.connections,
            announced=self._draining.announced,
            sessions=self._sessions,
        )
