"""The only writer of `desired`: publishes virtual servers, lets go of those nobody may serve, purges what is gone.

One worker per slot, so that a publish and a purge of one subject never cross. Last gate before the balancer nodes: a
server is published only while its address is bound to its owner (A1, A7), whatever a caller asked for before.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import structlog

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.contracts.v1 import Owner, Signed, VirtualServerDesired
from fleetlb.domain.bars import is_late
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Ack, StreamMissing
from fleetlb_manager.claims import is_wanted, owner_of
from fleetlb_manager.identities import AllowanceKey, ServiceKey, Slot
from fleetlb_manager.letting_go import Step, decide_removal, highest_generation
from fleetlb_manager.shares import is_shareable, leaving_slots, owner_at, slots_of
from fleetlb_manager.timestamps import to_microseconds
from fleetlb_manager.virtual_server_tables import Content, Published
from fleetlb_manager.workbench import Workbench

log = structlog.get_logger(__name__)

NOBODY = Owner(tenant="", cluster_uid="", service_uid="")
"""Owner in a tombstone for a virtual server that nobody is known to have owned."""


DESIRED = "fleetlb.v1.desired.{group}.{virtual-server}"
ASK_AGAIN_SECONDS = 30.0
"""A node that has not acknowledged a removal for so long is asked once more."""
RAISE_SECONDS = 0.2
"""Until the Lease says a higher generation, most likely."""
REMAKE_SECONDS = 10.0
"""For so long a claim that vanished without having been released may be made again: its Service still wants it, and
letting go at once would cut what lives."""


Signer = Callable[[Signed], bytes]
"""A message as the bytes that are sent, with the signature that nodes ask for."""


class Publisher(Protocol):
    """What is needed of a bus."""

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        """Put a message into its stream."""

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        """Remove the messages of one subject up to a sequence, which stays out of the purge if it is 0."""


class _Pending(NamedTuple):
    content: Content
    journey: Journey


class Publishing:
    """What should be published and is not yet, and the worker that does it."""

    def __init__(
        self,
        bench: Workbench,
        bus: Publisher,
        *,
        allow: Callable[[AllowanceKey], Awaitable[None]],
        bar: Callable[[AllowanceKey], Awaitable[bool]],
        on_stream_missing: Callable[[], None] = lambda: None,
    ) -> None:
        """`allow` returns when nodes can know that the owner may have it; `bar`, when they begin nothing more that an
        earlier term asks for, and is True if that had to be said; `on_stream_missing`: a stream must be made first."""
        self._allow = allow
        self._bar = bar
        self._memory = bench.memory
        self._marks = bench.marks
        self._authority = bench.authority
        self._clock = bench.clock
        self._monotonic = bench.clock.monotonic
        self._tracing = bench.tracing
        self._bus = bus
        self._on_stream_missing = on_stream_missing
        self._pending: dict[Slot, _Pending] = {}
        self._in_flight: set[Slot] = set()
        self._asked: dict[Slot, float] = {}
        self._missed: dict[Slot, float] = {}

    def want(self, slot: Slot, content: Content, journey: Journey = NOT_TRAVELLED) -> bool:
        """A slot should hold this; False, and nothing happens, if the stream says so already, or is about to."""
        if slot not in self._in_flight and self._stands(slot, content):
            self._pending.pop(slot, None)
            return False
        before = self._pending.get(slot)
        if before is not None and before.content == content:
            self._marks.slot(slot)  # its worker may have waited for something that has come since
            return False
        self._pending[slot] = _Pending(content, journey.overtaking(before.journey) if before else journey)
        self._marks.slot(slot)
        return True

    async def reconcile(self, slot: Slot) -> float | None:
        """Do what is left to do for one slot; the seconds until it must be looked at again. Raises Transient."""
        if not self._authority.acting or not self._is_replayed(slot.group):
            return None
        pending = self._pending.get(slot)
        if pending is not None:
            await self._allow(AllowanceKey(slot.group, pending.content.owner.tenant))
            if not self._authority.acting:
                return None
            pending = self._pending.get(slot)
        claim = self._memory.claims.at(slot.key.address)
        if claim is not None and not _is_unowned(claim, slot):
            self._missed.pop(slot, None)
        if is_wanted(claim, slot):
            if pending is not None and claim is not None:
                await self._serve(slot, pending, claim)
            return None
        self._pending.pop(slot, None)
        left = self._time_to_remake(slot) if claim is None or _is_unowned(claim, slot) else 0.0
        return left if left > 0 else await self._let_go(slot, claim)

    def _time_to_remake(self, slot: Slot) -> float:
        """Seconds for which what is served without a claim still stands."""
        published = self._memory.desired.get(slot)
        if published is None or published.removed:
            self._missed.pop(slot, None)
            return 0.0
        now = self._monotonic()
        return self._missed.setdefault(slot, now) + REMAKE_SECONDS - now

    async def _serve(self, slot: Slot, pending: _Pending, claim: AddressClaim) -> None:
        if _service_of(pending.content.owner) != owner_at(claim, slot):
            del self._pending[slot]  # planned before the address changed hands
            return
        self._memory.let_go.discard(slot)
        self._asked.pop(slot, None)
        content = pending.content
        if self._stands(slot, content):
            del self._pending[slot]
            return
        message = VirtualServerDesired(
            key=slot.key,
            generation=self._generation(slot, content.owner.tenant),
            revision=self._memory.desired.next_revision(),
            owner=content.owner,
            load_balancer=content.load_balancer,
            server=content.server,
            reason=content.reason,
            hops=pending.journey.hops,
        )
        self._in_flight.add(slot)
        try:
            await self._publish(slot, message, content.digest, pending.journey)
        finally:
            self._in_flight.discard(slot)
        if self._pending.get(slot) is pending:
            del self._pending[slot]

    async def _let_go(self, slot: Slot, claim: AddressClaim | None) -> float | None:
        step = decide_removal(
            self._memory.desired.get(slot),
            self._memory.realized.get(slot),
            self._memory.nodes_of(slot.group),
            proof_needed=self._is_proof_needed(slot, claim),
        )
        if step is Step.WAIT:
            left = self._asked.setdefault(slot, self._monotonic()) + ASK_AGAIN_SECONDS - self._monotonic()
            if left > 0:
                return left
            step = Step.TOMBSTONE  # a node may have answered into a stream that was lost
        if step is Step.TOMBSTONE:
            await self._bury(slot, claim)
            return ASK_AGAIN_SECONDS
        if step is Step.PURGE:
            if claim is not None and await self._bar(AllowanceKey(slot.group, claim.spec.owner.tenant)):
                return await self.reconcile(slot)  # something may have come meanwhile
            await self._purge(slot)
            if claim is not None and _is_given_up(claim, slot):
                self._memory.let_go.add(slot)
            self._marks.claim(slot.key.address)  # it may have been given up, and wait for this, since the run began
        self._asked.pop(slot, None)
        return None

    async def _bury(self, slot: Slot, claim: AddressClaim | None) -> None:
        self._asked[slot] = self._monotonic()
        owner = (owner_at(claim, slot) or owner_of(claim)) if claim is not None else None
        asked = self._memory.observations.service(owner) if owner else None
        journey = asked.journey if asked else NOT_TRAVELLED
        message = VirtualServerDesired(
            key=slot.key,
            generation=self._generation(slot),
            revision=self._memory.desired.next_revision(),
            owner=owner_of_service(owner) if owner else NOBODY,
            hops=journey.hops,
        )
        await self._publish(slot, message, "", journey)

    def _generation(self, slot: Slot, tenant: str = "") -> int:
        """Ours, where nothing of a higher one stands or is on its way: an address or a tenant may come from a partition
        whose terms have those, and a node that lost its disk knows no more of it.

        Raises Transient until ours is above it, which only the holder of the Lease can bring about.
        """
        highest = highest_generation(self._memory.desired.get(slot), self._memory.realized.get(slot))
        bars = self._memory.allowances.bars(AllowanceKey(slot.group, tenant))
        highest = max(highest, self._memory.claims.freed_generation, *(bar.generation for bar in bars))
        if highest > self._authority.generation:
            self._authority.rise_above(highest)
            raise Transient(f"{slot}: generation {highest} stands there", retry_after=RAISE_SECONDS)
        return self._authority.generation

    def _stands(self, slot: Slot, content: Content) -> bool:
        """Whether the stream says so, in time, and no node stands by a wish of a higher generation."""
        published = self._memory.desired.get(slot)
        if published is None or published.removed or published.digest != content.digest:
            return False
        bars = self._memory.allowances.bars(AllowanceKey(slot.group, content.owner.tenant))
        if is_late(bars, published.generation, published.sequence):
            return False
        return published.generation >= highest_generation(published, self._memory.realized.get(slot))

    def _is_proof_needed(self, slot: Slot, claim: AddressClaim | None) -> bool:
        """A claim that is released waits for the word of every node about each of its virtual servers, in this run; so
        does one that some have left, about theirs, and one that moves, about those in the group before."""
        if claim is None or not _is_given_up(claim, slot) or slot in self._memory.let_go:
            return False
        return slot in slots_of(claim)

    async def _publish(self, slot: Slot, message: VirtualServerDesired, digest: str, journey: Journey) -> None:
        # Never the same revision twice: after an unknown outcome the content may be another one by then.
        name = f"{slot}-{message.generation}-{message.revision}"
        trace, began = self._tracing.follow(journey.trace), to_microseconds(self._clock.wall())
        try:
            ack = await self._bus.publish(subjects.desired(*slot), codec.encode(message), message_id=name, trace=trace)
        except StreamMissing:
            self._on_stream_missing()
            raise
        self._tracing.record_publish(trace, journey.trace, DESIRED, began, to_microseconds(self._clock.wall()))
        published = Published(message.generation, message.revision, digest, message.server is None, ack.sequence)
        self._memory.desired.note(slot, published)
        if published.removed:
            self._marks.slot(slot)

    async def _purge(self, slot: Slot) -> None:
        """The tombstone first: what remains if the run ends in between says that nothing is served."""
        published = self._memory.desired.get(slot)
        if published is not None:
            stream = streams.desired_stream(slot.group).name
            await self._purge_subject(stream, subjects.desired(*slot), published.sequence)
            self._memory.desired.forget(slot)
        for node, said in list(self._memory.realized.get(slot).items()):
            subject = subjects.realized(slot.group, node, slot.key)
            await self._purge_subject(streams.realized_stream(slot.group).name, subject, said.sequence)
            self._memory.realized.forget(slot, node, said)

    async def _purge_subject(self, stream: str, subject: str, through: int) -> None:
        """A purge carries no generation, and may come late: it takes nothing that came after what was seen."""
        if not self._authority.acting:
            raise Transient(f"{subject}: the right to purge is gone")
        await self._bus.purge_subject(stream, subject, through)

    def _is_replayed(self, group: str) -> bool:
        specs = streams.desired_stream(group), streams.allowed_stream(group), streams.realized_stream(group)
        return {spec.name for spec in specs} <= self._memory.replayed


def _is_given_up(claim: AddressClaim, slot: Slot) -> bool:
    """Whether a claim waits until every node has let go of a virtual server."""
    is_withdrawn = slot.group == claim.spec.withdrawn_from
    return is_withdrawn or claim.spec.phase is ClaimPhase.RELEASING or slot in leaving_slots(claim)


def _is_unowned(claim: AddressClaim, slot: Slot) -> bool:
    """Whether nobody has, or has given up, a virtual server of a shared address: who has it may have lost the claim
    that it was in, and come into the one that another has made since."""
    return is_shareable(claim) and slot.group in claim.spec.carriers and owner_at(claim, slot) is None


def owner_of_service(key: ServiceKey) -> Owner:
    """A Service as the owner in a message."""
    return Owner(tenant=key.tenant, cluster_uid=key.cluster, service_uid=key.uid)


def _service_of(owner: Owner) -> ServiceKey:
    return ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid)
