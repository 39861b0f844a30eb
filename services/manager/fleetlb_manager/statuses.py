"""Writes what the manager says of Tenants, AddressPools and BalancerGroups: seldom, and only what changed.

A mark is acted on after a second, with everything that changed meanwhile; so a thousand new claims cost a handful of
writes. Nothing waits for a status.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from fleetlb.contracts.objects import AddressPool, BalancerGroup
from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.conditions import Condition, all_say_the_same, transition
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb_manager import timestamps
from fleetlb_manager.balancer_groups import nodes_as_heard
from fleetlb_manager.counting import group_condition, in_full, pool_conditions, pool_status, tenant_usage
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.moves import lacks_of
from fleetlb_manager.workbench import Workbench

COALESCE_SECONDS = 1.0

log = structlog.get_logger(__name__)


class StatusStore(Protocol):
    """Status subresources in the API server. Each raises Conflict, NotFound."""

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        """Say how a Tenant is."""

    async def set_pool_status(self, pool: AddressPool, status: dict[str, Any]) -> AddressPool:
        """Say how full a pool is."""

    async def set_group_status(self, group: BalancerGroup, status: dict[str, Any]) -> BalancerGroup:
        """Say how a group's nodes are."""


class Statuses:
    """Keeps statuses equal to memory."""

    def __init__(self, bench: Workbench, store: StatusStore, instruct: Callable[[str], Awaitable[None]]) -> None:
        """Nothing written yet. `instruct` tells a group's nodes what they must know of it."""
        self._instruct = instruct
        self._memory = bench.memory
        self._folding = bench.folding
        self._authority = bench.authority
        self._clock = bench.clock
        self._store = store

    async def reconcile(self, key: StatusKey) -> None:
        """Write one status if it is not what it should be."""
        if not self._authority.acting:
            return
        try:
            if key.kind == "tenant":
                await self._tenant(key.name)
            elif key.kind == "pool":
                await self._pool(key.name)
            else:
                await self._instruct(key.name)
                await self._group(key.name)
        except (NotFound, Conflict):
            log.debug("an object changed while its status was written", object=str(key))

    async def _tenant(self, name: str) -> None:
        tenant = self._memory.tenants.get(name)
        if tenant is None:
            return
        usage = tenant_usage(self._memory.usage.of(name))
        if tenant.status.usage != usage:
            self._folding.tenant_set(await self._store.set_tenant_status(tenant, {"usage": in_full(usage)}))

    async def _pool(self, name: str) -> None:
        pool = self._memory.pools.get(name)
        if pool is None or name not in self._memory.book.pools:
            return
        wanted = pool_status(self._memory.book, name)
        use, carriers = self._memory.claims.of_pools.of(name), self._memory.carriers_of(pool.spec.group)
        told = self._memory.pools_told(pool.spec.group)
        lacks = lacks_of(self._memory, (address for address, _ in use.elsewhere_named))
        conditions = pool_conditions(pool, self._memory.book, use, carriers, told, lacks)
        known = pool.status
        if (known.ipv4, known.ipv6) == (wanted.ipv4, wanted.ipv6) and all_say_the_same(known.conditions, conditions):
            return
        status = {
            "ipv4": in_full(wanted.ipv4),
            "ipv6": in_full(wanted.ipv6),
            "conditions": [self._stamped(known.conditions, condition) for condition in conditions],
        }
        self._folding.pool_set(await self._store.set_pool_status(pool, status))

    async def _group(self, name: str) -> None:
        group = self._memory.groups.get(name)
        if group is None:
            return
        heard = self._memory.realized.nodes(name)
        nodes = nodes_as_heard(group, heard)
        condition = group_condition(group, heard)
        if group.status.nodes == nodes and all_say_the_same(group.status.conditions, (condition,)):
            return
        status = {
            "nodes": nodes,
            "conditions": [self._stamped(group.status.conditions, condition)],
        }
        self._folding.group_set(await self._store.set_group_status(group, status))

    def _stamped(self, before: tuple[Condition, ...], condition: Condition) -> Condition:
        return transition(before, condition, timestamps.to_text(self._clock.wall()))
