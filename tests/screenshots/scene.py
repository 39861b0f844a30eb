"""A fleet in which something of everything happens: Services that serve, wait, are refused and fail."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fleetlb.contracts.object_meta import GROUP, ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from tests.e2e.fleet import Fleet, TenantCluster, next_node_port, tcp
from tests.stage.pools import pool_for

SERVING = {
    "acme": ("web", "api", "checkout", "search", "images", "mail", "metrics"),
    "globex": ("shop", "billing", "ledger", "gateway"),
}


class Scene(NamedTuple):
    """What is there, and what happens next."""

    acme: TenantCluster
    globex: TenantCluster

    async def go_on(self) -> None:
        """A few changes, one after the other."""
        await self.acme.delete("metrics")
        for tenant, name in ((self.acme, "chat"), (self.globex, "queue"), (self.acme, "video")):
            await serving(tenant, name)
        await self.acme.patch("web", {"spec": {"sessionAffinity": "ClientIP"}})
        await self.globex.patch("shop", {"spec": {"loadBalancerSourceRanges": ["203.0.113.0/24"]}})
        await serving(self.globex, "reports", backend=False)


async def serving(tenant: TenantCluster, name: str, *, backend: bool = True, **more: object) -> None:
    """A Service on port 443 that shows an address; `backend`: somebody answers it."""
    port = next_node_port()
    if backend:
        await tenant.serve(tcp=(port,))
    await tenant.create(name, [tcp(443, port)], **more)
    await (tenant.serving(name) if backend else tenant.reason(name, "fleetlb.dev/Serving", "ProbeUnanswered"))


@asynccontextmanager
async def set_up(fleet: Fleet) -> AsyncIterator[Scene]:
    """Both tenants with their Services, and two pools more, one of which is full."""
    base = str(ipaddress.ip_network(fleet.environment.pools["default"].cidr).network_address).rsplit(".", 2)[0]
    async with contextlib.AsyncExitStack() as stack:
        acme = await stack.enter_async_context(fleet.tenant("acme", "prod"))
        globex = await stack.enter_async_context(fleet.tenant("globex", "retail"))
        gold = await stack.enter_async_context(pool_for(fleet, acme, "gold", f"{base}.254.0/29"))
        spare = AddressPoolSpec(addresses=(f"{base}.253.0/27",), auto_assign=False)
        await fleet.management.apply(ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name="spare"), spec=spare))
        stack.push_async_callback(fleet.management.delete, ADDRESS_POOLS, "spare")
        for tenant in (acme, globex):
            for name in SERVING[tenant.name]:
                await serving(tenant, name)
        for number in range(1, 9):
            await serving(acme, f"edge-{number}", annotations=gold)
        await acme.create("edge-9", [tcp(80, next_node_port())], annotations=gold)
        await acme.create("archive", [tcp(80, next_node_port())], annotations={f"{GROUP}/addresses": "198.51.100.7"})
        await acme.reason("edge-9", "fleetlb.dev/Provisioned", "PoolExhausted")
        yield Scene(acme, globex)
