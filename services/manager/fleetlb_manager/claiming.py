"""Makes addresses ours: one create in the API server each, which one writer wins (ADR 3).

The book in memory only proposed; a lost race is folded and the caller chooses again. Safe beside a second
manager.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from prometheus_client import Counter

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import TENANT_LABEL, AddressClaim, AddressClaimSpec, ClaimPhase, ClaimShare, LoadBalancer
from fleetlb.domain.addresses import claim_name
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb_manager.choices import Choice, Holding
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.shares import is_served, judge_share, narrowed, port_texts, share_of, widened, with_share
from fleetlb_manager.workbench import Workbench

LOST_RACES = Counter("fleetlb_claims_lost_total", "Claims that somebody else had made first.")


class ClaimStore(Protocol):
    """Claims in the API server."""

    async def create(self, claim: AddressClaim) -> AddressClaim:
        """Take an address. Raises AlreadyExists when it has an owner."""

    async def read(self, address: str) -> AddressClaim:
        """Who has an address. Raises NotFound."""

    async def set_shares(self, claim: AddressClaim, spec: AddressClaimSpec, generation: int) -> AddressClaim:
        """Change who has which ports of the address. Raises Conflict, NotFound."""


Guard = Callable[[str], Awaitable[None]]
"""Returns once a pool, by its name, cannot be removed unnoticed. Raises Transient."""


class Claiming:
    """Claims the addresses of a choice."""

    def __init__(self, bench: Workbench, store: ClaimStore, chooser: Chooser, guard: Guard) -> None:
        """`chooser` is told which proposals are settled; `guard` is asked before a claim is made."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._authority = bench.authority
        self._store = store
        self._chooser = chooser
        self._guard = guard

    async def claim_all(self, key: ServiceKey, service: TenantService, choice: Choice) -> bool:
        """Make every address of a choice ours, with the ports of the wish, alone or beside those whom it shares with;
        False when somebody else was faster."""
        wanted = share_of(key, service)
        for holding in choice.holdings:
            claim = self._memory.claims.at(holding.address)
            if claim is None:
                await self._guard(holding.pool)
                claim = await self._claim(_new_claim(wanted, service, holding, self._authority.generation))
            self._chooser.settle(key, holding.address)
            if judge_share(claim.spec, wanted, service.sharing_key) is not None:
                LOST_RACES.inc()
                return False
            lingering = self._lingering(claim) if service.sharing_key and not claim.spec.sharing_key else ()
            share = widened(claim.spec, wanted, service.sharing_key)
            spec = with_share(claim.spec, share, service.sharing_key, lingering)
            if spec != claim.spec:
                await self._set_shares(claim, spec)
        return True

    async def narrow(self, key: ServiceKey, item: LoadBalancer) -> None:
        """Give up the ports that the object does not name any more: others may have them only after it says so."""
        ports = port_texts(item.spec.service.ports)
        for address in item.spec.addresses:
            claim = self._memory.claims.at(address)
            if claim is not None and claim.spec.phase is ClaimPhase.BOUND:
                spec = narrowed(claim.spec, key, ports)
                if spec != claim.spec:
                    await self._set_shares(claim, spec)

    def _lingering(self, claim: AddressClaim) -> tuple[str, ...]:
        """Ports that streams speak of and nobody has: others may come now, and must not have them yet."""
        slots = self._memory.slots_at(claim.spec.address)
        groups = claim.spec.groups
        left = sorted({slot.key for slot in slots if slot.group in groups and not is_served(claim, slot)})
        return tuple(f"{key.port}/{key.protocol}" for key in left)

    async def _claim(self, wanted: AddressClaim) -> AddressClaim:
        """The claim of an address as it is after we have tried to make it."""
        try:
            claim = await self._store.create(wanted)
        except AlreadyExists as problem:
            try:
                claim = await self._store.read(wanted.spec.address)
            except NotFound:
                raise Transient(f"claim {wanted.metadata.name} came and went") from problem
        self._folding.claim_set(claim)
        return claim

    async def _set_shares(self, claim: AddressClaim, spec: AddressClaimSpec) -> None:
        try:
            changed = await self._store.set_shares(claim, spec, self._authority.generation)
        except (Conflict, NotFound) as problem:
            await self._look_again(claim)
            raise Transient(f"claim {claim.metadata.name} changed meanwhile") from problem
        self._folding.claim_set(changed)

    async def _look_again(self, claim: AddressClaim) -> None:
        try:
            self._folding.claim_set(await self._store.read(claim.spec.address))
        except NotFound:
            self._folding.claim_gone(claim)


def _new_claim(wanted: ClaimShare, service: TenantService, holding: Holding, generation: int) -> AddressClaim:
    tenant = wanted.owner.tenant
    return AddressClaim(
        metadata=ObjectMeta(name=claim_name(holding.address), labels={TENANT_LABEL: tenant}),
        spec=AddressClaimSpec(
            address=holding.address,
            pool=holding.pool,
            group=holding.group,
            owner=wanted.owner,
            ports=wanted.ports,
            sharing_key=service.sharing_key,
            generation=generation,
        ),
    )
