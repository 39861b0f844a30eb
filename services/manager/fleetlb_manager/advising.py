"""Answers operators who ask what would be decided, before they do something. Changes nothing.

Every manager is asked; the one that acts for whom it is about answers, so that what is said is what it would do next.
"""

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.plans import (
    PoolPlanAnswered,
    PoolPlanRequested,
    ServicesPlanAnswered,
    ServicesPlanRequested,
)
from fleetlb.domain.errors import Poison, Transient
from fleetlb.runtime.bus import Bus
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.delegating import Authorities
from fleetlb_manager.foretelling import foretell_service
from fleetlb_manager.foretelling_pools import foretell_pool
from fleetlb_manager.identities import ClusterKey
from fleetlb_manager.rehearsing import Rehearsal
from fleetlb_manager.workbench import Workbench


class Advising:
    """Rehearses what it is asked about, each time on a copy of its own."""

    def __init__(self, bench: Workbench, chooser: Chooser, authorities: Authorities) -> None:
        """`chooser`: the one that chooses for real."""
        self._bench = bench
        self._chooser = chooser
        self._authorities = authorities

    async def begin(self, bus: Bus) -> None:
        """Answer from now on."""
        await bus.serve(subjects.PLAN_SERVICES, self.services)
        await bus.serve(subjects.PLAN_POOL, self.pool)

    async def services(self, subject: str, data: bytes) -> bytes | None:
        """What would become of Services; None if that is for another manager to say."""
        try:
            asked = codec.decode(ServicesPlanRequested, data)
        except Poison as problem:
            return codec.encode(ServicesPlanAnswered(problem=str(problem)))
        if not self._authorities.of(asked.tenant).acting:
            return None
        return codec.encode(self._services(asked))

    async def pool(self, subject: str, data: bytes) -> bytes | None:
        """The same for an AddressPool."""
        if not self._authorities.fleet.acting:
            return None
        try:
            asked = codec.decode(PoolPlanRequested, data)
            return codec.encode(foretell_pool(self._rehearsal(), asked.name, asked.spec))
        except (Poison, ValueError) as problem:
            return codec.encode(PoolPlanAnswered(problem=str(problem)))

    def _rehearsal(self) -> Rehearsal:
        return Rehearsal(self._bench, self._chooser)

    def _services(self, asked: ServicesPlanRequested) -> ServicesPlanAnswered:
        if asked.tenant not in self._bench.memory.registrations:
            return ServicesPlanAnswered(problem=f"there is no tenant {asked.tenant}")
        rehearsal, cluster = self._rehearsal(), ClusterKey(asked.tenant, asked.cluster)
        try:
            plans = [foretell_service(rehearsal, cluster, each, at) for at, each in enumerate(asked.services)]
        except Transient as problem:
            return ServicesPlanAnswered(problem=f"{problem}; ask again in a moment")
        return ServicesPlanAnswered(plans=tuple(plans))
