"""Pools, grants and quotas that a platform team gives for a while."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.contracts.tenants import Quotas
from fleetlb.domain.conditions import READY
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, TENANTS
from fleetlb.kube.resources import Resource
from tests.e2e.fleet import Fleet, TenantCluster, eventually

NOTICE_SECONDS = 60.0
POOL = "fleetlb.dev/pool"
"""The annotation that asks for one."""


@asynccontextmanager
async def pool_for(
    fleet: Fleet, tenant: TenantCluster, name: str, *addresses: str, **spec: Any
) -> AsyncIterator[dict[str, str]]:
    """Within, a pool that only a tenant may use; yields the annotations that request it.

    It is used on request alone, and its addresses do not rest, unless the spec says otherwise. The tenant's Services
    end with the block.
    """
    wanted = AddressPoolSpec(addresses=addresses, **({"auto_assign": False, "quarantine_seconds": 0} | spec))
    before = (await fleet.management.get(TENANTS, tenant.name)).spec
    await fleet.management.apply(ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name=name), spec=wanted))
    await set_tenant(fleet, tenant.name, pools=[*before.pools, name], groups=[*{*before.groups, wanted.group}])
    try:
        yield {POOL: name}
    finally:
        await tenant.clean()
        await set_tenant(fleet, tenant.name, pools=[*before.pools], groups=[*before.groups])
        with contextlib.suppress(NotFound):
            await fleet.management.delete(ADDRESS_POOLS, name)
        await until_pool_gone(fleet, name)


async def change_pool(fleet: Fleet, name: str, **spec: object) -> None:
    """Fields of a pool's spec, in JSON's own words; None takes one back. Returns once the manager goes by it."""
    await _change(fleet, ADDRESS_POOLS, name, spec)


async def until_pool_gone(fleet: Fleet, name: str) -> None:
    """Wait for the end of a deleted pool: that of its last address, quarantine and all."""

    async def is_gone() -> bool:
        return name not in [pool.metadata.name for pool in await fleet.management.list(ADDRESS_POOLS)]

    await eventually(is_gone, f"the end of pool {name}", NOTICE_SECONDS)


@asynccontextmanager
async def quotas_of(fleet: Fleet, tenant: TenantCluster, **quotas: int) -> AsyncIterator[None]:
    """Within, a tenant has these quotas: `load_balancers`, `addresses`, `ports`."""
    before = (await fleet.management.get(TENANTS, tenant.name)).spec.quotas
    assert before == Quotas(), "somebody else's quota"
    camel = {"load_balancers": "loadBalancers"}
    wanted = {camel.get(name, name): bound for name, bound in quotas.items()}
    async with granted(fleet, tenant, quotas=wanted):
        yield


@asynccontextmanager
async def granted(fleet: Fleet, tenant: TenantCluster, **spec: object) -> AsyncIterator[None]:
    """Within, fields of a Tenant's spec that have defaults say something else, in JSON's own words."""
    await set_tenant(fleet, tenant.name, **spec)
    try:
        yield
    finally:
        await set_tenant(fleet, tenant.name, **dict.fromkeys(spec))


async def set_tenant(fleet: Fleet, tenant: str, **spec: object) -> None:
    """Fields of a Tenant's spec, in JSON's own words; None takes one back. Returns once the manager goes by it."""
    await _change(fleet, TENANTS, tenant, spec)


async def _change(fleet: Fleet, resource: Resource[Any], name: str, spec: dict[str, object]) -> None:
    generation = (
        await fleet.management.patch(resource, name, {"spec": spec}, kind=PatchKind.MERGE)
    ).metadata.generation

    async def is_noticed() -> bool:
        conditions = (await fleet.management.get(resource, name)).status.conditions
        return any(c.type == READY and c.observed_generation >= generation for c in conditions)

    await eventually(is_noticed, f"a manager that knows the new spec of {name}", NOTICE_SECONDS)


def of_addresses(*addresses: str) -> dict[str, str]:
    """The annotations that request addresses."""
    return {"fleetlb.dev/addresses": ",".join(addresses)}
