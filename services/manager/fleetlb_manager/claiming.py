"""Makes addresses ours: one create in the API server each, which one writer wins (ADR 3).

The book in memory only proposed; a lost race is folded and the caller chooses again. Safe beside a second
manager.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from prometheus_client import Counter

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import TENANT_LABEL, AddressClaim, AddressClaimSpec, ClaimOwner, ClaimPhase
from fleetlb.domain.addresses import claim_name
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb_manager.choosing import Choice, Chooser, Holding
from fleetlb_manager.claims import owner_of, port_texts
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.workbench import Workbench

LOST_RACES = Counter("fleetlb_claims_lost_total", "Claims that somebody else had made first.")


class ClaimStore(Protocol):
    """Claims in the API server."""

    async def create(self, claim: AddressClaim) -> AddressClaim:
        """Take an address. Raises AlreadyExists when it has an owner."""

    async def read(self, address: str) -> AddressClaim:
        """Who has an address. Raises NotFound."""

    async def set_ports(self, claim: AddressClaim, ports: tuple[str, ...], generation: int) -> AddressClaim:
        """Change which virtual servers the claim stands for. Raises Conflict, NotFound."""


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
        """Make every address of a choice ours, with the ports of the wish; False when somebody else was faster."""
        ports = port_texts(service.ports)
        for holding in choice.holdings:
            claim = self._memory.claims.at(holding.address)
            if claim is None or owner_of(claim) != key:
                await self._guard(holding.pool)
                claim = await self._claim(_new_claim(key, service, holding, ports, self._authority.generation))
                self._chooser.settle(key, holding.address)
            if owner_of(claim) != key or claim.spec.phase is not ClaimPhase.BOUND:
                LOST_RACES.inc()
                return False
            if claim.spec.ports != ports:
                await self._set_ports(claim, ports)
        return True

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

    async def _set_ports(self, claim: AddressClaim, ports: tuple[str, ...]) -> None:
        try:
            changed = await self._store.set_ports(claim, ports, self._authority.generation)
        except (Conflict, NotFound) as problem:
            await self._look_again(claim)
            raise Transient(f"claim {claim.metadata.name} changed meanwhile") from problem
        self._folding.claim_set(changed)

    async def _look_again(self, claim: AddressClaim) -> None:
        try:
            self._folding.claim_set(await self._store.read(claim.spec.address))
        except NotFound:
            self._folding.claim_gone(claim)


def _new_claim(
    key: ServiceKey, service: TenantService, holding: Holding, ports: tuple[str, ...], generation: int
) -> AddressClaim:
    owner = ClaimOwner(
        tenant=key.tenant,
        cluster_uid=key.cluster,
        service_uid=key.uid,
        namespace=service.namespace,
        name=service.name,
    )
    return AddressClaim(
        metadata=ObjectMeta(name=claim_name(holding.address), labels={TENANT_LABEL: key.tenant}),
        spec=AddressClaimSpec(
            address=holding.address,
            pool=holding.pool,
            group=holding.group,
            owner=owner,
            ports=ports,
            generation=generation,
        ),
    )
