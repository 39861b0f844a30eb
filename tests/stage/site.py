"""The network of a fleet on the kernel's IPVS: one balancer node, clients on one side, tenants' nodes on the other.

    client ── balancer node ─┬─ acme node-1, acme node-2
                             └─ globex node-1, globex node-2

No tenant's node has a route but to its own link, so nothing that it answers arrives unless the balancer node has put an
address of that link in the place of the client's. The balancer node starts with addresses alone: what it must forward
with, the fleet has to set up.
"""

import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.testkit.namespaces import Namespace, connect
from fleetlb_cli.local.layout import TenantPlace
from tests.stage.networks import Network, TenantNode

TENANTS = ("acme", "globex")
POOL = {Family.IPV4: "10.77.0.0/24", Family.IPV6: "fd77::/112"}
CLIENTS = {
    Family.IPV4: ("10.10.0.2", "10.10.0.3", "10.10.0.4", "10.10.0.5"),
    Family.IPV6: ("fd10::2", "fd10::3", "fd10::4", "fd10::5"),
}


class Site(Network):
    """All the namespaces. Use it as a context manager; the thread that made it is on the balancer node within."""

    engine = EngineName.IPVS
    ip_mode = "VIP"
    spare_addresses = "10.78.0.0/29"
    families = (Family.IPV4, Family.IPV6)
    patience = 90.0
    write_counters = ("fleetlb_ipvs_writes_total", "fleetlb_filter_writes_total")

    def __init__(self) -> None:
        """Raises OSError without the right to make network namespaces."""
        self._stack = contextlib.ExitStack()
        self.balancer = self._stack.enter_context(Namespace("balancer"))
        self._client = self._stack.enter_context(Namespace("client"))
        ours = ("10.10.0.1/24", "fd10::1/64")
        theirs = [f"{v4}/24" for v4 in CLIENTS[Family.IPV4]] + [f"{v6}/64" for v6 in CLIENTS[Family.IPV6]]
        connect(self.balancer, "clients", ours, self._client, "balancer", theirs)
        for gateway in ("10.10.0.1", "fd10::1"):
            self._client.default_route(gateway)
        self._nodes = {
            tenant: {f"node-{number}": self._node(tenant, index, number) for number in (1, 2)}
            for index, tenant in enumerate(TENANTS, start=1)
        }

    def __enter__(self) -> Self:
        self._stack.enter_context(self.balancer.entered())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def options(self) -> list[str]:
        """What `fleetlb local up` must be told of it."""
        options = ["--engine", "ipvs", "--tenants", ",".join(TENANTS)]
        for cidr in POOL.values():
            options += ["--pool-cidr", cidr]
        for index, tenant in enumerate(TENANTS, start=1):
            options += ["--node-cidr", f"{tenant}=10.2{index}.0.0/16", "--node-cidr", f"{tenant}=fd2{index}::/48"]
        return options

    def nodes(self, tenant: str, place: TenantPlace) -> dict[str, TenantNode]:
        """Two nodes, each in a namespace of its own."""
        return self._nodes[tenant]

    @contextlib.asynccontextmanager
    async def obstructed(self, key: VirtualServerKey, machine: TenantNode) -> AsyncIterator[None]:
        """The node's address is one for broadcasts here, and no real server of the kernel's may have such a one."""
        route = ["broadcast", machine.addresses[Family.IPV4], "dev", "lo", "table", "local"]
        self.balancer.run("ip", "route", "add", *route)
        try:
            yield
        finally:
            self.balancer.run("ip", "route", "del", *route)

    def client(self, number: int, family: Family) -> tuple[Namespace, str]:
        """All clients are one machine with several addresses."""
        return self._client, CLIENTS[family][number]

    def _node(self, tenant: str, index: int, number: int) -> TenantNode:
        namespace = self._stack.enter_context(Namespace(f"{tenant} node-{number}"))
        v4, v6 = f"10.2{index}.{number}", f"fd2{index}:0:0:{number}:"
        outside, inside = (f"{v4}.1/24", f"{v6}:1/64"), (f"{v4}.2/24", f"{v6}:2/64")
        connect(self.balancer, f"{tenant}{number}", outside, namespace, "balancer", inside)
        return TenantNode(
            name=f"node-{number}",
            addresses={Family.IPV4: f"{v4}.2", Family.IPV6: f"{v6}:2"},
            gateways={Family.IPV4: f"{v4}.1", Family.IPV6: f"{v6}:1"},
            place=namespace,
        )
