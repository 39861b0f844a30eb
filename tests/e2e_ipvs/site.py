"""The network of the fleet under test: one balancer node, clients on one side, tenants' nodes on the other.

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

import msgspec

from fleetlb.domain.addresses import Family
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.testkit.namespaces import Namespace, connect
from fleetlb_cli.demo.dialling import Answer
from tests.e2e_ipvs.talking import Conversation, Talk, ask, open_conversation

TENANTS = ("acme", "globex")
POOL = {Family.IPV4: "10.77.0.0/24", Family.IPV6: "fd77::/112"}
CLIENTS = {
    Family.IPV4: ("10.10.0.2", "10.10.0.3", "10.10.0.4", "10.10.0.5"),
    Family.IPV6: ("fd10::2", "fd10::3", "fd10::4", "fd10::5"),
}


class TenantNode(msgspec.Struct, frozen=True):
    """A node of a tenant's cluster."""

    name: str
    addresses: dict[Family, str]
    gateways: dict[Family, str]
    """The balancer node's addresses on the same link: who seems to have sent what is masqueraded."""
    namespace: Namespace


class Site:
    """All the namespaces. Use it as a context manager; the thread that made it is on the balancer node within."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.balancer = self._stack.enter_context(Namespace("balancer"))
        self._client = self._stack.enter_context(Namespace("client"))
        ours = ("10.10.0.1/24", "fd10::1/64")
        theirs = [f"{v4}/24" for v4 in CLIENTS[Family.IPV4]] + [f"{v6}/64" for v6 in CLIENTS[Family.IPV6]]
        connect(self.balancer, "clients", ours, self._client, "balancer", theirs)
        for gateway in ("10.10.0.1", "fd10::1"):
            self._client.default_route(gateway)
        self.nodes = {
            tenant: {f"node-{number}": self._node(tenant, index, number) for number in (1, 2)}
            for index, tenant in enumerate(TENANTS, start=1)
        }

    def __enter__(self) -> Self:
        self._stack.enter_context(self.balancer.entered())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @staticmethod
    def node_cidrs(tenant: str) -> tuple[str, str]:
        """Where a tenant's nodes live."""
        index = TENANTS.index(tenant) + 1
        return f"10.2{index}.0.0/16", f"fd2{index}::/48"

    async def ask(self, key: VirtualServerKey, client: int = 0, seconds: float = 10.0) -> Answer:
        """What a client is answered on a fresh connection, or by a datagram of a fresh port."""
        return await ask(self._talk(key, client), seconds)

    @contextlib.asynccontextmanager
    async def conversation(self, key: VirtualServerKey, client: int = 0) -> AsyncIterator[Conversation]:
        """A connection that stays open. Raises OSError, TimeoutError."""
        async with open_conversation(self._talk(key, client)) as conversation:
            yield conversation

    def _talk(self, key: VirtualServerKey, client: int) -> Talk:
        family = Family.IPV6 if ":" in key.address else Family.IPV4
        return Talk(self._client, CLIENTS[family][client], key)

    def _node(self, tenant: str, index: int, number: int) -> TenantNode:
        namespace = self._stack.enter_context(Namespace(f"{tenant} node-{number}"))
        v4, v6 = f"10.2{index}.{number}", f"fd2{index}:0:0:{number}:"
        outside, inside = (f"{v4}.1/24", f"{v6}:1/64"), (f"{v4}.2/24", f"{v6}:2/64")
        connect(self.balancer, f"{tenant}{number}", outside, namespace, "balancer", inside)
        return TenantNode(
            name=f"node-{number}",
            addresses={Family.IPV4: f"{v4}.2", Family.IPV6: f"{v6}:2"},
            gateways={Family.IPV4: f"{v4}.1", Family.IPV6: f"{v6}:1"},
            namespace=namespace,
        )
