"""Moves addresses from one balancer group to another, one step at a time, each of which stands in the claim.

Level-triggered: what the next step is follows from the claim, its pool and what nodes said (`places`, `moves`), so it
goes on after any crash, and turns where the pool is changed meanwhile.
"""

from typing import Protocol

import structlog

from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, ClaimPhase
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb_manager.claims import owner_of
from fleetlb_manager.identities import Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.moves import Party, may_leave, party_of, ready_to_go, standing_in, target_of
from fleetlb_manager.places import next_place
from fleetlb_manager.shares import live_shares, service_of, slots_of
from fleetlb_manager.workbench import Workbench

log = structlog.get_logger(__name__)


class ClaimStore(Protocol):
    """Claims in the API server."""

    async def read(self, address: str) -> AddressClaim:
        """Who has an address. Raises NotFound."""

    async def set_place(self, claim: AddressClaim, spec: AddressClaimSpec) -> AddressClaim:
        """Change which groups carry the address. Raises Conflict, NotFound."""


class Moving:
    """Moves one address at a time."""

    def __init__(self, bench: Workbench, claims: ClaimStore) -> None:
        """`claims`: where they are."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._claims = claims

    async def reconcile(self, address: str) -> None:
        """Take the next step with an address, if it moves or should. Raises Transient."""
        claim = self._memory.claims.at(address)
        if claim is None or claim.spec.phase is not ClaimPhase.BOUND:
            return
        party = party_of(self._memory, claim)
        target = target_of(self._memory, party)
        waiting = [slot for slot in self._withdrawn(claim) if slot not in self._memory.let_go]
        for slot in waiting:
            self._marks.slot(slot)
        specs = [party.specs.get(service_of(share.owner)) for share in live_shares(claim.spec)]
        spec = next_place(
            claim.spec,
            target.group,
            standing_in(specs),
            is_let_go=not waiting,
            may_leave=may_leave(self._memory, claim, specs),
        )
        if spec != claim.spec:
            await self._write(claim, spec)
        if target.lack:
            self._marks.status(StatusKey("pool", claim.spec.pool))
        self._call(party, target.group)

    def _withdrawn(self, claim: AddressClaim) -> list[Slot]:
        """What the nodes of the group before are to let go of: what the claim names, and what any stream says."""
        group = claim.spec.withdrawn_from
        known = dict.fromkeys((*slots_of(claim), *self._memory.slots_at(claim.spec.address)))
        return [slot for slot in known if slot.group == group]

    async def _write(self, claim: AddressClaim, spec: AddressClaimSpec) -> None:
        withdrawn = self._withdrawn(claim)
        try:
            changed = await self._claims.set_place(claim, spec)
        except (Conflict, NotFound) as problem:
            await self._look_again(claim, problem)
        else:
            self._memory.let_go.difference_update(withdrawn)
            self._folding.claim_set(changed)
            log.info(
                "an address is on its way to another group",
                address=spec.address,
                service=str(owner_of(claim)),
                groups=spec.groups,
                carried_by=spec.group,
            )

    async def _look_again(self, claim: AddressClaim, problem: Exception) -> None:
        try:
            self._folding.claim_set(await self._claims.read(claim.spec.address))
        except NotFound:
            self._folding.claim_gone(claim)
        raise Transient(f"claim {claim.metadata.name} changed meanwhile", retry_after=0.02) from problem

    def _call(self, party: Party, group: str) -> None:
        """Those that have to come along look too, whatever their own pools say, and those that waited for this."""
        for other in party.claims:
            if other.spec.groups == (other.spec.group,) and other.spec.group != group:
                self._marks.claim(other.spec.address)
        for service in ready_to_go(self._memory, party, group):
            self._marks.service(service)
