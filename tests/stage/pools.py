"""A pool of addresses of a test's own, and a tenant that may use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.contracts.objects import AddressPool, AddressPoolSpec, ObjectMeta, Quotas
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, TENANTS
from tests.e2e.fleet import Fleet
from tests.stage.tenants import Tenant

POOL = "fleetlb.dev/pool"
"""The annotation that asks for it."""


@asynccontextmanager
async def pool_for(fleet: Fleet, tenant: Tenant, name: str, addresses: str) -> AsyncIterator[dict[str, str]]:
    """Within, a pool that only a tenant may use, and only on request; yields the annotations that request it.

    The tenant's Services end with the block.
    """
    spec = AddressPoolSpec(addresses=(addresses,), auto_assign=False, quarantine_seconds=0)
    before = (await fleet.management.get(TENANTS, tenant.name)).spec.pools
    await fleet.management.apply(ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name=name), spec=spec))
    await _grant(fleet, tenant.name, {"pools": [*before, name]})
    try:
        yield {POOL: name}
    finally:
        await tenant.clean()
        await _grant(fleet, tenant.name, {"pools": list(before)})
        await fleet.management.delete(ADDRESS_POOLS, name)


@asynccontextmanager
async def quotas_of(fleet: Fleet, tenant: Tenant, **quotas: int) -> AsyncIterator[None]:
    """Within, a tenant has these quotas: `load_balancers`, `addresses`, `ports`."""
    before = (await fleet.management.get(TENANTS, tenant.name)).spec.quotas
    assert before == Quotas(), "somebody else's quota"
    camel = {"load_balancers": "loadBalancers"}
    await _grant(fleet, tenant.name, {"quotas": {camel.get(name, name): bound for name, bound in quotas.items()}})
    try:
        yield
    finally:
        await _grant(fleet, tenant.name, {"quotas": None})


async def _grant(fleet: Fleet, tenant: str, spec: dict[str, object]) -> None:
    await fleet.management.patch(TENANTS, tenant, {"spec": spec}, kind=PatchKind.MERGE)
