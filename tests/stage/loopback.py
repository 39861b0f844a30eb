"""The network of a fleet on Envoy: everybody on the loopback, each at an address of its own.

Must not know what is tested.
"""

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.local.layout import Environment, TenantPlace
from tests.stage.networks import Network, TenantNode

CLIENTS = ("127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5")
_FIRST_NODE, _FIRST_CLIENT = 11, 201


class Here:
    """The machine itself."""

    def entered(self) -> contextlib.AbstractContextManager[object]:
        """One is here already."""
        return contextlib.nullcontext()


class Loopback(Network):
    """IPv6 is there if the fleet has it: the loopback has one address of that family, and others need root."""

    engine = EngineName.ENVOY
    ip_mode = "Proxy"
    patience = 30.0
    write_counters = ("fleetlb_envoy_pushed_resources_total", "fleetlb_envoy_removed_resources_total")

    def __init__(self, environment: Environment) -> None:
        self._cidr = environment.pools["default"].cidr
        self._cidr6 = environment.pools["default"].cidr6
        self.families = (Family.IPV4,) if self._cidr6 is None else (Family.IPV4, Family.IPV6)

    @property
    def spare_addresses(self) -> str:
        """The pool is the first /20 of a /16 that is the fleet's own."""
        first, second = self._cidr.split(".")[:2]
        return f"{first}.{second}.255.240/29"

    def nodes(self, tenant: str, place: TenantPlace) -> dict[str, TenantNode]:
        """The first addresses of the range that the fleet chose for the tenant."""
        ranges = {Family.IPV4: place.node_cidr, Family.IPV6: place.node_cidr6}
        nodes = {}
        for number in (1, 2):
            addresses = {
                family: str(ipaddress.ip_network(cidr)[_FIRST_NODE + number - 1])
                for family, cidr in ranges.items()
                if cidr is not None
            }
            gateways = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
            nodes[f"node-{number}"] = TenantNode(f"node-{number}", addresses, gateways, Here())
        return nodes

    @contextlib.asynccontextmanager
    async def obstructed(self, key: VirtualServerKey, machine: TenantNode) -> AsyncIterator[None]:
        """Somebody else listens there, so Envoy cannot."""
        with socket.create_server((key.address, key.port)):
            yield

    def client(self, number: int, family: Family) -> tuple[Here, str]:
        """An address that nobody else uses; of IPv6 one at the end of the pool, where every address is local."""
        if family is Family.IPV4:
            return Here(), CLIENTS[number]
        assert self._cidr6 is not None, "the fleet has no IPv6"
        return Here(), str(ipaddress.ip_network(self._cidr6)[-_FIRST_CLIENT - number])
