"""On how many partitions the managers of a fleet agree: the number stands on the first Lease (ADR 11).

Invariant: nobody acts who was told another number than stands there. It is changed by who holds the Leases of all
partitions that there were, so that nobody acts under the old number any more. Whoever acts has read it since it was
given its Lease, and as long as that is held the number cannot change.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.lease_terms import Lease
from fleetlb.kube.leases import TYPED_LEASES, LeaseHolder
from fleetlb.kube.partition_leases import MANAGER_LEASE, lease_name, partitions_of, partitions_patch

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
"""So long the first Lease is kept from others while those of another number still hold theirs."""
ABSTAIN_SECONDS = 60.0

log = structlog.get_logger(__name__)
NewHolder = Callable[[str], LeaseHolder]
"""A candidate for the Lease of this name, under this process's identity."""


class Agreement:
    """What this process was told, and what stands on the first Lease."""

    def __init__(self, partitions: int) -> None:
        """Nothing was read yet."""
        self.partitions = partitions
        self.found = 0
        """As it was last read; 0: not yet."""
        self._version = 0

    @property
    def objection(self) -> str:
        """Why nothing may be done, and the cure; empty: all agree."""
        if self.found == self.partitions:
            return ""
        if not self.found:
            return f"the Lease {MANAGER_LEASE} was not read yet"
        return (
            f"FLEETLB_PARTITIONS: this manager was told {self.partitions}, and the fleet has {self.found}: give every"
            " manager the same number. It changes once every manager that was told the old one has ended"
        )

    def see(self, lease: Lease | None) -> None:
        """The first Lease, as it was read; one that is older than what was read before changes nothing."""
        if lease is None or lease.version >= self._version:
            self._version = lease.version if lease is not None else 0
            self.found = partitions_of(lease)


class Agreeing:
    """Reads the number, and changes it when it may."""

    def __init__(
        self,
        cluster: Cluster,
        first: LeaseHolder,
        agreement: Agreement,
        new_holder: NewHolder,
        *,
        on_agreed: Callable[[], None],
    ) -> None:
        """`first`: this process's candidate for the first Lease; `on_agreed`: the number is ours now."""
        self._on_agreed = on_agreed
        self._cluster = cluster
        self._first = first
        self._agreement = agreement
        self._new_holder = new_holder

    async def read(self) -> None:
        """See the number as it is now. Raises ApiError."""
        try:
            lease = await self._cluster.get(TYPED_LEASES, MANAGER_LEASE, self._first.namespace)
        except NotFound:
            self._agreement.see(None)
        else:
            self._agreement.see(lease)

    async def run(self) -> NoReturn:
        """Write our number, whenever the first Lease is ours and nobody acts under another one."""
        while True:
            if self._first.is_valid() and self._agreement.objection:
                try:
                    await self._change()
                except FleetlbError as problem:
                    log.warning("the number of partitions cannot be changed yet", problem=str(problem))
            await asyncio.sleep(LOOK_SECONDS)

    async def _change(self) -> None:
        await self.read()
        others = [self._new_holder(lease_name(number)) for number in range(1, self._agreement.found)]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._change_holding(others)
        except TimeoutError:
            log.warning("others act under another number of partitions", problem=self._agreement.objection)
            self._first.hand_over(ABSTAIN_SECONDS)

    async def _change_holding(self, others: list[LeaseHolder]) -> None:
        """Change the number while these are held by this process. Raises FleetlbError."""
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(_hold(holder), name=f"hold {holder.name}") for holder in others]
            try:
                problem = await self._change_once_held(others)
            finally:
                for run in runs:
                    run.cancel()
        if problem is not None:
            raise problem

    async def _change_once_held(self, others: list[LeaseHolder]) -> FleetlbError | None:
        """What went wrong, as a value: raised among tasks it would come out as a group."""
        try:
            for holder in others:
                await holder.held.wait()
            lease = await self._cluster.get(TYPED_LEASES, MANAGER_LEASE, self._first.namespace)
            if self._first.is_valid() and all(holder.is_valid() for holder in others):
                await self._write(lease)
        except FleetlbError as problem:
            return problem
        return None

    async def _write(self, lease: Lease) -> None:
        before, now = partitions_of(lease), self._agreement.partitions
        body, namespace = partitions_patch(lease, now), self._first.namespace
        changed = await self._cluster.patch(
            TYPED_LEASES, MANAGER_LEASE, body, kind=PatchKind.MERGE, namespace=namespace
        )
        self._agreement.see(changed)
        log.info("the fleet has another number of partitions", before=before, now=now)
        self._on_agreed()


async def _hold(holder: LeaseHolder) -> None:
    try:
        await holder.run()
    except FleetlbError as problem:  # that the store went back is seen at the first Lease as well
        log.warning("a lease cannot be held", lease=holder.name, problem=str(problem))
