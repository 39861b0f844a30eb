"""The work queues behind the marks: which worker a mark wakes, how many run side by side, and how soon.

Must not know what the workers do.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from fleetlb.runtime.workers import Reconciler
from fleetlb_manager.fairness import Turns
from fleetlb_manager.identities import AllowanceKey, ClusterKey, ServiceKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.statuses import COALESCE_SECONDS

ALL_TENANTS = "all"


class Work(NamedTuple):
    """What is done about a key of each kind."""

    service: Callable[[ServiceKey], Awaitable[float | None]]
    slot: Callable[[Slot], Awaitable[float | None]]
    allowance: Callable[[AllowanceKey], Awaitable[float | None]]
    claim: Callable[[str], Awaitable[float | None]]
    cluster: Callable[[ClusterKey], Awaitable[float | None]]
    account: Callable[[str], Awaitable[float | None]]
    tenancy: Callable[[str], Awaitable[float | None]]
    pool: Callable[[str], Awaitable[float | None]]
    status: Callable[[StatusKey], Awaitable[float | None]]


class Queues:
    """One queue per kind of key. Marks are taken from the start; work is done while `runs` are running."""

    def __init__(self) -> None:
        """Empty queues."""
        self._work: Work | None = None
        self._services: Reconciler[ServiceKey] = Reconciler(self._service, name="services", concurrency=32)
        self._slots: Reconciler[Slot] = Reconciler(self._slot, name="virtual-servers", concurrency=32)
        self._allowances: Reconciler[AllowanceKey] = Reconciler(self._allowance, name="allowances", concurrency=8)
        self._claims: Reconciler[str] = Reconciler(self._claim, name="claims", concurrency=8)
        self._clusters: Reconciler[ClusterKey] = Reconciler(self._cluster, name="clusters", concurrency=8)
        self._accounts: Reconciler[str] = Reconciler(self._account, name="accounts", concurrency=4)
        self._tenancy: Reconciler[str] = Reconciler(self._judge_tenants, name="tenancy", concurrency=1)
        self._pools: Reconciler[str] = Reconciler(self._pool, name="pools", concurrency=1)
        self._statuses: Reconciler[StatusKey] = Reconciler(self._status, name="statuses", concurrency=2)
        self._turns = Turns(self._services.add)

    def begin(self, work: Work) -> None:
        """From now on this is what is done."""
        self._work = work

    def runs(self) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
        """What must run for ever, by name."""
        return {
            "services": self._services.run,
            "virtual-servers": self._slots.run,
            "allowances": self._allowances.run,
            "claims": self._claims.run,
            "clusters": self._clusters.run,
            "accounts": self._accounts.run,
            "tenancy": self._tenancy.run,
            "pools": self._pools.run,
            "statuses": self._statuses.run,
        }

    def idle(self) -> bool:
        """Whether nothing is queued or running; what waits for a time does not count."""
        tenants = (self._services, self._slots, self._claims, self._clusters, self._accounts, self._tenancy)
        return not self._turns.waiting() and all(
            queue.idle() for queue in (*tenants, self._pools, self._statuses, self._allowances)
        )

    def service(self, key: ServiceKey) -> None:
        """See `Marks`."""
        self._turns.add(key)

    def slot(self, slot: Slot) -> None:
        """See `Marks`."""
        self._slots.add(slot)

    def allowance(self, key: AllowanceKey) -> None:
        """See `Marks`."""
        self._allowances.add(key)

    def claim(self, address: str) -> None:
        """See `Marks`."""
        self._claims.add(address)

    def cluster(self, key: ClusterKey) -> None:
        """See `Marks`."""
        self._clusters.add(key)

    def account(self, tenant: str) -> None:
        """See `Marks`."""
        self._accounts.add(tenant)

    def tenancy(self) -> None:
        """See `Marks`."""
        self._tenancy.add(ALL_TENANTS)

    def pool(self, name: str) -> None:
        """See `Marks`."""
        self._pools.add(name)

    def status(self, key: StatusKey) -> None:
        """See `Marks`."""
        self._statuses.add_after(key, COALESCE_SECONDS)

    async def _service(self, key: ServiceKey) -> float | None:
        try:
            return await self._begun.service(key)
        finally:
            self._turns.done(key)

    async def _slot(self, slot: Slot) -> float | None:
        return await self._begun.slot(slot)

    async def _allowance(self, key: AllowanceKey) -> float | None:
        return await self._begun.allowance(key)

    async def _claim(self, address: str) -> float | None:
        return await self._begun.claim(address)

    async def _cluster(self, key: ClusterKey) -> float | None:
        return await self._begun.cluster(key)

    async def _account(self, tenant: str) -> float | None:
        return await self._begun.account(tenant)

    async def _judge_tenants(self, which: str) -> float | None:
        return await self._begun.tenancy(which)

    async def _pool(self, name: str) -> float | None:
        return await self._begun.pool(name)

    async def _status(self, key: StatusKey) -> float | None:
        return await self._begun.status(key)

    @property
    def _begun(self) -> Work:
        if self._work is None:
            raise RuntimeError("the queues run before their work is known")
        return self._work
