from typing import Any

from msgspec.structs import replace

from fleetlb.contracts.objects import AddressPool, BalancerGroup, BalancerNode, PoolCounts
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.kube.errors import NotFound
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.statuses import Statuses
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_world

TENANT, POOL, GROUP = StatusKey("tenant", "acme"), StatusKey("pool", "default"), StatusKey("group", "default")


class Written:
    """Statuses as they were written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.writes: list[dict[str, Any]] = []
        self.gone = False
        self.emptied: list[str] = []
        self.statuses = Statuses(world.bench, self, self._empty)

    async def _empty(self, group: str) -> None:
        self.emptied.append(group)

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        return self._write(tenant, status)  # type: ignore[no-any-return]

    async def set_pool_status(self, pool: AddressPool, status: dict[str, Any]) -> AddressPool:
        written = self._write(pool, status)
        ipv4 = PoolCounts(**status["ipv4"])
        ipv6 = PoolCounts(**status["ipv6"])
        conditions = tuple(status["conditions"])
        return replace(written, status=replace(pool.status, ipv4=ipv4, ipv6=ipv6, conditions=conditions))  # type: ignore[no-any-return]

    async def set_group_status(self, group: BalancerGroup, status: dict[str, Any]) -> BalancerGroup:
        return self._write(group, status)  # type: ignore[no-any-return]

    def _write(self, item: Any, status: dict[str, Any]) -> Any:
        if self.gone:
            raise NotFound("gone")
        self.writes.append(status)
        return self.world.kept.stamp(item)


async def test_a_pools_counts_are_written_when_they_changed() -> None:
    written = Written(a_world())
    written.world.folding.claim_set(a_claim())
    await written.statuses.reconcile(POOL)
    await written.statuses.reconcile(POOL)
    (status,) = written.writes
    assert status["ipv4"] == {"total": 8, "used": 1, "quarantined": 0, "free": 7}
    assert status["ipv6"] == {"total": 0, "used": 0, "quarantined": 0, "free": 0}
    assert status["conditions"][0].last_transition_time == "2027-01-15T08:00:00Z"
    written.world.folding.claim_gone(a_claim())
    await written.statuses.reconcile(POOL)
    assert written.writes[1]["ipv4"]["used"] == 0


async def test_a_tenants_usage_is_written_in_full() -> None:
    written = Written(a_world())
    await written.statuses.reconcile(TENANT)
    assert written.writes == []
    written.world.folding.claim_set(a_claim())
    await written.statuses.reconcile(TENANT)
    assert written.writes == [{"usage": {"loadBalancers": 1, "addresses": 1, "ports": 1}}]


async def test_a_groups_nodes_are_written_as_heard() -> None:
    written = Written(a_world())
    written.world.memory.realized.note_node(
        "default", NodeRealized(node="node-1", group="default", engine="envoy", ready=True, capabilities=("tcp",))
    )
    await written.statuses.reconcile(GROUP)
    (status,) = written.writes
    assert status["nodes"] == (BalancerNode(name="node-1", capabilities=("tcp",), ready=True),)
    assert status["conditions"][0].status == "True"


async def test_what_is_gone_or_not_ours_to_write_is_left() -> None:
    written = Written(a_world())
    for kind in ("tenant", "pool", "group"):
        await written.statuses.reconcile(StatusKey(kind, "unknown"))
    written.gone = True
    await written.statuses.reconcile(POOL)
    written.gone = False
    written.world.authority.acting = False
    await written.statuses.reconcile(POOL)
    assert written.writes == []
