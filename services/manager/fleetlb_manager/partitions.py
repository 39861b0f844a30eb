"""For which tenants this process acts: a Lease for each partition, and what all of them depend on (ADR 11).

Wiring; decides nothing. The first Lease is that of the fleet: by it the managers agree on the number of partitions, and
on it stands whether the store has gone back in time.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from fleetlb.domain.partitions import FLEET, partition_of
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.continuity import Continuity, Marks
from fleetlb.kube.lease_terms import Lease
from fleetlb.kube.leases import Clock, LeaseHolder
from fleetlb.kube.partition_leases import lease_name
from fleetlb_manager.agreeing import Agreeing, Agreement
from fleetlb_manager.leading import Leadership, PartitionAuthority
from fleetlb_manager.spreading import HintBus, Spreading

DISPUTE_SECONDS = 5.0
"""So long a Lease is left to others that is held while the managers do not agree."""


class Candidate(NamedTuple):
    """Who would hold the Leases, and where they are."""

    namespace: str
    identity: str
    clock: Clock


class Partitions:
    """The authorities of this process."""

    def __init__(
        self,
        cluster: Cluster,
        candidate: Candidate,
        number: int,
        *,
        marks: Marks,
        synced: Callable[[], Awaitable[None]],
        refresh: Callable[[], Awaitable[None]],
        on_lost: Callable[[int], None],
    ) -> None:
        """`synced`, `refresh`: see `Leadership`; `on_lost` hears of each partition that is not acted for any more."""
        self._cluster = cluster
        self._candidate = candidate
        self._refresh = refresh
        self._on_lost = on_lost
        self.number = number
        self.agreement = Agreement(number)
        self.leases = tuple(self._lease(partition) for partition in range(number))
        self.continuity = Continuity(cluster, self.leases[FLEET], marks, on_open=lambda _: self.leadership.look())
        self._agreeing = Agreeing(
            cluster,
            self.leases[FLEET],
            self.agreement,
            self._new_holder,
            on_agreed=lambda: self.leadership.look(),
        )
        self.leadership = Leadership(
            self.leases, synced=synced, refresh=self._read_anew, objection=lambda: self.objection
        )
        self.leases[FLEET].on_seen = partial(self._see, self.leases[FLEET].on_seen)
        for lease in self.leases[1:]:
            lease.restraint = lambda: bool(self.agreement.objection)

    @property
    def objection(self) -> str:
        """Why nothing may be done under any Lease, and the cure; empty: nothing is in the way."""
        return self.continuity.objection or self.agreement.objection

    @property
    def fleet(self) -> PartitionAuthority:
        """The authority over what is no tenant's."""
        return self.leadership.authorities[FLEET]

    def of(self, tenant: str) -> PartitionAuthority:
        """The authority over a tenant."""
        return self.leadership.authorities[partition_of(tenant, self.number)]

    def runs(
        self, resume: Callable[[tuple[int, ...]], None], bus: HintBus
    ) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
        """What must run for ever, by name."""
        work: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "leadership": lambda: self.leadership.run(resume),
            "lease": self.continuity.run,
            "agreement": self._agreeing.run,
        }
        for lease in self.leases[1:]:
            work[f"lease {lease.name}"] = partial(self._hold, lease)
        if self.number > 1:
            spreading = Spreading(
                bus,
                self.leases,
                self._candidate.identity,
                self._candidate.clock,
                may_take=lambda: not self.objection,
            )
            work["spreading"] = spreading.run
        return work

    async def _hold(self, lease: LeaseHolder) -> object:
        return await self.continuity.guard(lease.run())

    def _lease(self, partition: int) -> LeaseHolder:
        namespace, identity, clock = self._candidate
        lease = LeaseHolder(
            self._cluster,
            namespace=namespace,
            name=lease_name(partition),
            identity=identity,
            clock=clock,
            on_acquired=lambda _: self.leadership.look(),
            on_lost=lambda: self._lost(partition),
        )
        lease.on_raised = lambda generation: self.leadership.authorities[partition].raised(generation)
        return lease

    def _new_holder(self, name: str) -> LeaseHolder:
        namespace, identity, clock = self._candidate
        return LeaseHolder(self._cluster, namespace=namespace, name=name, identity=identity, clock=clock)

    def _lost(self, partition: int) -> None:
        self.leadership.authorities[partition].end()
        self._on_lost(partition)

    def _see(self, also: Callable[[Lease], None], lease: Lease) -> None:
        also(lease)
        before = self.objection
        self.agreement.see(lease)
        if self.agreement.objection:
            for held in self.leases[1:]:
                if held.is_valid():
                    held.hand_over(DISPUTE_SECONDS)
        if self.objection or before:
            self.leadership.look()

    async def _read_anew(self) -> None:
        await self._agreeing.read()
        await self._refresh()
