"""One manager: its real folding, following, workers and beginning of a term, around what is kept.

Watch events and messages wait in queues until they are delivered, so that a process can act on an old picture.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from fleetlb.contracts import codec
from fleetlb.domain.partitions import FLEET
from fleetlb.runtime.bus import Ack, Message
from fleetlb_manager.allowing import Allowing
from fleetlb_manager.assembly import Manager
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.clusters import Clusters
from fleetlb_manager.draining import Draining
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.following import Following
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.instructing import Instructing
from fleetlb_manager.memory import Memory
from fleetlb_manager.parking import Parking
from fleetlb_manager.planning import Planner
from fleetlb_manager.publishing import Publishing
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.serving import Serving
from fleetlb_manager.statuses import Statuses
from fleetlb_manager.tenancy import Tenancy
from fleetlb_manager.workbench import Workbench
from tests.random.driving import Driver, Gate, gated
from tests.random.keeping import Everything, StatusesInMemory
from tests.unit.fleetlb_manager.manager_world import (
    Always,
    ClaimsInMemory,
    ClustersInMemory,
    HandClock,
    LoadBalancersInMemory,
    Marked,
)

Event = tuple[str, Any, Any]
_KINDS = {
    "tenant": "tenant",
    "pool": "pool",
    "group": "group",
    "claim": "claim",
    "load balancer": "load_balancer",
    "cluster": "cluster",
}


class _Followed(NamedTuple):
    """A stream as the product follows it."""

    prefix: str
    on_message: Callable[[Message], None]
    on_replayed: Callable[[], None]
    on_restart: Callable[[], None]


class _Silent:
    """Takes any call and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Process:
    """A manager from its start to its end."""

    def __init__(self, kept: Everything, clock: HandClock, seed: int, *, warm: bool) -> None:
        """`warm`: its streams were replayed before it began to act."""
        self.kept = kept
        self.clock = clock
        self.generation = kept.next_generation()
        self.gate = Gate()
        self.driver = Driver(seed, clock.monotonic)
        self.authority = Always(self.generation)
        self.memory = Memory()
        self.marks = Marked()
        self.watched: deque[Event] = deque()
        self.inbox: deque[Callable[[], None]] = deque()
        self.looked: dict[ServiceKey, int] = {}
        """Services that were judged, and how much was written before they first were."""
        self._followed: dict[str, _Followed] = {}
        self._wire()
        kept.listeners.append(self._on_change)
        for kind, objects in kept.objects().items():
            for item in list(objects.values()):
                self._fold(kind, None, item)
        if warm:
            self.deliver()
        self.marks.clear()
        self._take_marks()
        self._resume()

    def _wire(self) -> None:
        kept, memory, gate = self.kept, self.memory, self.gate
        self.folding = ObjectFolding(memory, self.marks)
        bench = Workbench(memory, self.folding, self.marks, self.authority, self.clock)
        claims = gated(ClaimsInMemory(kept), gate, fenced=True)
        load_balancers = gated(LoadBalancersInMemory(kept), gate, fenced=True)
        store = gated(StatusesInMemory(kept), gate, fenced=True)
        bus = gated(_Bus(self), gate, fenced=False)
        chooser = Chooser(memory.book, memory.lines, memory.capabilities, self.folding.address_free)
        self.chooser = chooser
        allowing, draining = Allowing(bench, bus, sign=codec.encode), Draining(bench, store, chooser)
        publishing = Publishing(bench, bus, allow=allowing.ensure, bar=allowing.bar)
        releasing = Releasing(bench, claims, load_balancers, bus, chooser)
        serving = Serving(
            bench,
            load_balancers,
            chooser=chooser,
            claiming=Claiming(bench, claims, chooser, draining.guard),
            releasing=releasing,
            planner=Planner(bench, publishing),
        )
        clusters = Clusters(bench, gated(ClustersInMemory(kept), gate, fenced=True), bus)
        messages = MessageFolding(
            memory, self.marks, cast(Parking, _Silent()), self.clock.monotonic, is_ours=lambda _: True
        )
        self.following = Following(
            memory,
            messages,
            self.marks,
            self,
            cast(Any, _Silent()),
            may_create=lambda _: True,
            tasks=cast(Any, SimpleNamespace(create_task=_begin)),
        )
        tenancy = Tenancy(memory, self.marks, allow_loopback=False)
        self.driver.workers = {
            "tenancy": cast(Any, tenancy.reconcile),
            "service": cast(Any, serving.reconcile),
            "slot": publishing.reconcile,
            "allowance": cast(Any, allowing.reconcile),
            "claim": releasing.reconcile_claim,
            "cluster": clusters.reconcile,
            "pool": draining.reconcile,
            "status": cast(Any, Statuses(bench, store, Instructing(bench, bus, sign=codec.encode).reconcile).reconcile),
        }

    def _take_marks(self) -> None:
        """The driver works off the marks themselves."""
        marks = self.marks
        self._tenancies: dict[Any, None] = {}
        marks.tenancy = lambda: self._tenancies.update({"all": None})  # type: ignore[method-assign]
        self.driver.queued = cast(
            Any,
            {
                "tenancy": self._tenancies,
                "service": marks.services,
                "slot": marks.slots,
                "allowance": marks.allowances,
                "claim": marks.claims,
                "cluster": marks.clusters,
                "pool": marks.pools,
                "status": marks.statuses,
            },
        )

    def _resume(self) -> None:
        """Exactly what a manager does when its term begins."""
        given = SimpleNamespace(clock=self.clock)
        stand_in = SimpleNamespace(
            memory=self.memory,
            queues=self.marks,
            streams=_Silent(),
            partitions=SimpleNamespace(number=1),
            _accounts=_Silent(),
            _given=given,
        )
        Manager.resume(cast(Manager, stand_in), (FLEET,))

    # Objects.

    def _on_change(self, kind: str, before: object, now: object) -> None:
        self.watched.append((kind, before, now))

    def _fold(self, kind: str, before: Any, now: Any) -> None:
        if now is not None:
            getattr(self.folding, f"{_KINDS[kind]}_set")(now)
        else:
            getattr(self.folding, f"{_KINDS[kind]}_gone")(before)
        if kind == "tenant" and now is not None:
            self.following.tenant(now)
        elif kind == "group" and now is not None:
            self.following.group(now)

    # Streams.

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: Callable[[Message], None],
        *,
        on_replayed: Callable[[], None],
        on_restart: Callable[[], None],
    ) -> None:
        """The product begins to follow a stream."""
        self._followed[stream] = _Followed(subject_filter.removesuffix(">"), on_message, on_replayed, on_restart)
        self._replay(self._followed[stream])

    def reconnect(self) -> None:
        """The bus was away: every stream is replayed; what was on its way is not delivered."""
        self.inbox.clear()
        for followed in self._followed.values():
            followed.on_restart()
            self._replay(followed)

    def _replay(self, followed: _Followed) -> None:
        for subject, body in self.kept.streams.items():
            if subject.startswith(followed.prefix):
                message = Message(subject, body, self.kept.sequences[subject])
                self.inbox.append(partial(followed.on_message, message))
        self.inbox.append(followed.on_replayed)

    def hear(self, subject: str, body: bytes, sequence: int) -> None:
        """A stream that is followed has a new message."""
        for followed in self._followed.values():
            if subject.startswith(followed.prefix):
                self.inbox.append(partial(followed.on_message, Message(subject, body, sequence)))

    # Progress.

    def deliver(self, *, objects: bool = True, messages: bool = True) -> None:
        """What happened outside comes in."""
        while objects and self.watched:
            self._fold(*self.watched.popleft())
        while messages and self.inbox:
            self.inbox.popleft()()

    def step(self) -> bool:
        """Work on one key. False: nothing to do, unless it waits for a time or for what is held."""
        task = self.driver.next()
        if task is None:
            return False
        self.driver.begin(task)
        if task.kind == "service" and self._is_judged(task.key):
            self.looked.setdefault(task.key, len(self.kept.effects))
        return True

    def _is_judged(self, key: ServiceKey) -> bool:
        """Whether a run about a Service can come to a verdict: right after the start it cannot."""
        return key.tenant in self.memory.registrations and self.memory.observations.service(key) is not None

    def lose_right(self) -> None:
        """Its Lease is over; runs that it left halfway may wake up later."""
        self.gate.acting = self.authority.acting = False
        self.kept.listeners.remove(self._on_change)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is left to do now."""
        waits = self.watched or self.inbox or self.driver.held or self.driver.retries
        return not waits and not any(self.driver.queued.values())


def _begin(work: Coroutine[Any, Any, None], *, name: str) -> None:
    """A task of the product that only says what it follows."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError(f"{name} waits")


class _Bus:
    """The bus as a manager's workers see it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        sequence = self._process.kept.on_published(subject, body)
        self._process.kept.effect(f"publish {subject}")
        return Ack("stream", sequence)

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        self._process.kept.purge(subject, through)
        self._process.kept.effect(f"purge {subject}")

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        self._process.kept.on_notified(subject)
        self._process.kept.effect(f"notify {subject}")
