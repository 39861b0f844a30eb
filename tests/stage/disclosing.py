"""What it takes that backends are told who the client is: PROXY protocol on Envoy, direct routing on the kernel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec

from fleetlb.contracts.objects import BalancerGroup
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import BALANCER_GROUPS
from fleetlb.testkit.namespaces import Namespace, connect
from tests.e2e.fleet import Fleet
from tests.stage.hub import GROUP
from tests.stage.talking import Servers
from tests.stage.tenants import Tenant


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """A way to tell them, within which a tenant's Services are made."""

    annotations: dict[str, str] = {}
    """For the Service."""
    words: str
    """What the Service then says of it."""
    tenant: Tenant
    servers: Servers
    is_direct: bool = False

    async def listen(self, vip: str, port: int) -> None:
        """Have the tenant's nodes serve under the address itself, where they get packets as the client sent them."""
        if self.is_direct:
            for machine in self.tenant.machines.values():
                await self.servers.start(f"{self.tenant.name} {machine.name}", machine.place, vip, Protocol.TCP, port)


@asynccontextmanager
async def disclosing(fleet: Fleet, tenant: Tenant) -> AsyncIterator[Disclosure]:
    """Within, the Services of a tenant can have it. Of IPv4 alone."""
    servers = Servers()
    if tenant.network.engine is EngineName.ENVOY:
        words = "the client's in a PROXY protocol header"
        annotations = {"fleetlb.dev/proxy-protocol": "v2"}
        yield Disclosure(annotations=annotations, words=words, tenant=tenant, servers=servers)
        return
    pool = fleet.environment.pools["default"].cidr
    for number, machine in enumerate(tenant.machines.values(), start=1):
        _let_answer_directly(tenant, cast(Namespace, machine.place), number, pool)
    await _forward(fleet, Forwarding.DIRECT)
    try:
        yield Disclosure(words="backends see the client's address", tenant=tenant, servers=servers, is_direct=True)
    finally:
        await servers.close()
        await _forward(fleet, None)


def _let_answer_directly(tenant: Tenant, node: Namespace, number: int, pool: str) -> None:
    """A way of its own to the clients, and the pool's addresses as its own, of which it tells nobody."""
    place, address = tenant.network.client(0, Family.IPV4)
    client = cast(Namespace, place)
    for namespace in (node, client):
        for scope in ("all", "default"):
            namespace.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
    inside, outside = [f"10.30.{number}.2/24"], [f"10.30.{number}.1/24"]
    connect(node, "direct", inside, client, f"direct{number}", outside)
    network = f"{address.rpartition('.')[0]}.0/24"
    node.route(network, f"10.30.{number}.1")
    node.run("ip", "route", "add", "local", pool, "dev", "lo")


async def _forward(fleet: Fleet, forwarding: Forwarding | None) -> BalancerGroup:
    body: Any = {"spec": {"forwarding": forwarding}}
    return await fleet.management.patch(BALANCER_GROUPS, GROUP, body, kind=PatchKind.MERGE)
