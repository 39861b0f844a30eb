"""Giving up a Service and its addresses, in steps that can be interrupted anywhere and are then begun again:

    claims Releasing → tombstones → every node has let go → purged → claims Quarantined → object gone → `released`
                                                                     └→ after a time: claim deleted, address free

The claim is the memory of the release: it names every virtual server of its address. Nothing is freed on silence.
A Service that shares its address only leaves the claim, in the same steps: its ports stand there as `leaving` until
every node has let go of them, and the others keep the address.
"""

from typing import Protocol

import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.journeys import NOT_TRAVELLED
from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, ClaimPhase, LoadBalancer
from fleetlb.contracts.v1 import ServiceReleased
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb_manager import timestamps
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claims import owner_of
from fleetlb_manager.identities import ServiceKey, Slot
from fleetlb_manager.moving import Moving
from fleetlb_manager.runs import Run
from fleetlb_manager.shares import leaving_slots, left_by, let_go_of, slots_in, slots_of
from fleetlb_manager.workbench import Workbench

log = structlog.get_logger(__name__)


class ClaimStore(Protocol):
    """Claims in the API server."""

    async def read(self, address: str) -> AddressClaim:
        """Who has an address. Raises NotFound."""

    async def set_phase(
        self, claim: AddressClaim, phase: ClaimPhase, generation: int, released_at: str = ""
    ) -> AddressClaim:
        """Move the claim on in its life. Raises Conflict when it changed since."""

    async def set_shares(self, claim: AddressClaim, spec: AddressClaimSpec, generation: int) -> AddressClaim:
        """Change who has which ports of the address. Raises Conflict, NotFound."""

    async def set_place(self, claim: AddressClaim, spec: AddressClaimSpec) -> AddressClaim:
        """Change which groups carry the address. Raises Conflict, NotFound."""

    async def delete(self, claim: AddressClaim) -> None:
        """Free the address. Raises Conflict, NotFound."""


class LoadBalancerStore(Protocol):
    """LoadBalancers in the API server."""

    async def delete(self, item: LoadBalancer) -> None:
        """Remove this very object. Raises Conflict, NotFound."""


class Notifier(Protocol):
    """The one thing needed of a bus."""

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        """Send to whoever listens."""


class Releasing:
    """Releases Services and their claims."""

    def __init__(
        self,
        bench: Workbench,
        claims: ClaimStore,
        load_balancers: LoadBalancerStore,
        bus: Notifier,
        chooser: Chooser,
    ) -> None:
        """`chooser` is told of Services that want no address any more."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._authority = bench.authority
        self._clock = bench.clock
        self._tracing = bench.tracing
        self._claims = claims
        self._moving = Moving(bench, claims)
        self._load_balancers = load_balancers
        self._bus = bus
        self._chooser = chooser

    async def release_service(self, key: ServiceKey) -> None:
        """Do what can be done now to give up a Service; the rest follows when its claims have moved on."""
        self._chooser.abandon(key, self._memory.claims.of(key))
        self._folding.call_next(self._memory.lines.leave(key))
        for claim in self._memory.claims.of(key):
            if claim.spec.phase is ClaimPhase.BOUND:
                await self.begin(key, claim.spec.address)
        if any(claim.spec.phase is ClaimPhase.RELEASING for claim in self._memory.claims.of(key)):
            return
        load_balancer = self._memory.load_balancers.get(key)
        if load_balancer is not None:
            await self._delete_object(load_balancer)
        await self._say_released(key)

    async def begin(self, key: ServiceKey, address: str) -> None:
        """From now on no node may serve a Service at an address; those whom it shares with stay."""
        claim = self._memory.claims.at(address)
        if claim is None or claim.spec.phase is not ClaimPhase.BOUND:
            return
        spec = left_by(claim.spec, key)
        if spec.phase is ClaimPhase.RELEASING:
            await self._move(claim, ClaimPhase.RELEASING)
        elif spec != claim.spec:
            await self._set_shares(claim, spec)

    async def reconcile_claim(self, address: str) -> float | None:
        """Move one claim on; the seconds until it can be moved further, if that is a matter of time."""
        claim = self._memory.claims.at(address)
        if claim is None or not self._authority.acting:
            return None
        if claim.spec.phase is ClaimPhase.QUARANTINED:
            return await self._end_quarantine(claim)
        if claim.spec.phase is ClaimPhase.BOUND:
            await self._end_leaving(claim)
            await self._moving.reconcile(address)
            return None
        waiting = [slot for slot in self._slots(claim) if slot not in self._memory.let_go]
        for slot in waiting:
            self._marks.slot(slot)
        if not waiting:
            await self._quarantine(claim)
        return None

    async def _end_leaving(self, claim: AddressClaim) -> None:
        """Forget those who left a shared address, once every node has let go of what was theirs."""
        for slot in (slot for share in claim.spec.leaving for slot in slots_in(claim, share)):
            if slot not in self._memory.let_go:
                self._marks.slot(slot)
        spec = let_go_of(claim, self._memory.let_go)
        if spec != claim.spec:
            await self._set_shares(claim, spec)
            still = {slot for share in spec.leaving for slot in slots_in(claim, share)}
            self._memory.let_go -= leaving_slots(claim) - still
            log.info("every node has let go of ports of a shared address", address=spec.address)

    async def _set_shares(self, claim: AddressClaim, spec: AddressClaimSpec) -> None:
        try:
            changed = await self._claims.set_shares(claim, spec, self._authority.generation)
        except (Conflict, NotFound) as problem:
            await self._look_again(claim, problem)
        else:
            self._folding.claim_set(changed)

    def _slots(self, claim: AddressClaim) -> list[Slot]:
        """What the claim names, and what any stream still says of its address."""
        return list(dict.fromkeys((*slots_of(claim), *self._memory.slots_at(claim.spec.address))))

    async def _quarantine(self, claim: AddressClaim) -> None:
        slots = self._slots(claim)
        if self._quarantine_seconds(claim) <= 0:
            await self._delete(claim)
        else:
            now = timestamps.to_exact_text(self._clock.wall())
            await self._move(claim, ClaimPhase.QUARANTINED, now)
        self._memory.let_go.difference_update(slots)
        log.info("every node has let go of an address", address=claim.spec.address, service=str(owner_of(claim)))

    async def _end_quarantine(self, claim: AddressClaim) -> float | None:
        since = timestamps.to_seconds(claim.spec.released_at)
        if since is not None:
            now = self._clock.wall()
            left = self._quarantine_seconds(claim) - max(0.0, now - since)
            if left > 0:
                return left
        await self._delete(claim)
        return None

    def _quarantine_seconds(self, claim: AddressClaim) -> float:
        """As the pool says now; without its pool nobody else can get the address anyway."""
        pool = self._memory.book.pools.get(claim.spec.pool)
        return pool.quarantine_seconds if pool else 0.0

    async def _move(self, claim: AddressClaim, phase: ClaimPhase, released_at: str = "") -> None:
        try:
            moved = await self._claims.set_phase(claim, phase, self._authority.generation, released_at)
        except (Conflict, NotFound) as problem:
            await self._look_again(claim, problem)
        else:
            self._folding.claim_set(moved)

    async def _delete(self, claim: AddressClaim) -> None:
        try:
            await self._claims.delete(claim)
        except NotFound:
            pass
        except Conflict as problem:
            await self._look_again(claim, problem)
        self._folding.claim_gone(claim)

    async def _look_again(self, claim: AddressClaim, problem: Exception) -> None:
        """What was decided was decided on an old picture: get the new one and decide again."""
        try:
            self._folding.claim_set(await self._claims.read(claim.spec.address))
        except NotFound:
            self._folding.claim_gone(claim)
        raise Transient(f"claim {claim.metadata.name} changed meanwhile", retry_after=0.02) from problem

    async def _delete_object(self, item: LoadBalancer) -> None:
        try:
            await self._load_balancers.delete(item)
        except NotFound:
            pass
        except Conflict as problem:
            raise Transient(f"load balancer {item.metadata.name} is another one now") from problem
        self._folding.load_balancer_gone(item)

    async def _say_released(self, key: ServiceKey) -> None:
        """The tenant may let its Service go, unless it wants it again: once for each time that it asks."""
        account = self._memory.account_of(key.tenant)
        observed = self._memory.observations.service(key)
        wanted_again = observed is not None and observed.service is not None and not self._memory.is_absent(key)
        if not account or wanted_again or (observed is not None and observed.answered):
            return
        journey, now = observed.journey if observed else NOT_TRAVELLED, timestamps.to_microseconds(self._clock.wall())
        run = Run(self._tracing.follow(journey.trace), journey.hops[-1].at if journey.hops else now)
        body = codec.encode(
            ServiceReleased(generation=self._authority.generation, hops=journey.then("release", now).hops)
        )
        await self._bus.notify(subjects.released(account, key.cluster, key.uid), body, trace=run.trace)
        run.tell(self._tracing, key, journey, now)
        self._memory.observations.answered(key)
