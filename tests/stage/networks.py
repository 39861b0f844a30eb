"""Where a fleet under test stands: who dials its addresses, and where its tenants' nodes are. One for each engine.

Tests written against `Network` run on every engine. What differs between engines is said here and nowhere else.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.demo.dialling import Answer
from fleetlb_cli.local.layout import TenantPlace
from tests.stage.talking import Conversation, Place, Talk, ask, open_conversation


class TenantNode(msgspec.Struct, frozen=True):
    """A node of a tenant's cluster."""

    name: str
    addresses: dict[Family, str]
    gateways: dict[Family, str]
    """From where the balancer node dials it: who seems to have sent what is handed on in the balancer node's name."""
    place: Place


class Network(Protocol):
    """Clients on one side, tenants' nodes on the other, the balancer node between them."""

    engine: EngineName
    ip_mode: str
    """What a Service says of how its address is reached."""
    families: tuple[Family, ...]
    patience: float
    """Seconds until whatever is waited for must have come true."""
    write_counters: tuple[str, ...]
    """The programmer's counters that grow with whatever it changes in its data plane."""

    @property
    def spare_addresses(self) -> str:
        """A few addresses outside of the fleet's pool, as a range, for pools of a test's own."""

    def nodes(self, tenant: str, place: TenantPlace) -> Mapping[str, TenantNode]:
        """A tenant's nodes by name: node-1 and node-2."""

    def client(self, number: int, family: Family) -> tuple[Place, str]:
        """Where one of four clients is, and its address."""

    def obstructed(self, key: VirtualServerKey, machine: TenantNode) -> contextlib.AbstractAsyncContextManager[None]:
        """Within, the data plane refuses a virtual server that is new, or that has this node as a new backend."""

    async def ask(self, key: VirtualServerKey, client: int = 0, seconds: float = 10.0) -> Answer:
        """What a client is answered on a fresh connection, or by a datagram of a fresh port."""
        return await ask(self._talk(key, client), seconds)

    @contextlib.asynccontextmanager
    async def conversation(self, key: VirtualServerKey, client: int = 0) -> AsyncIterator[Conversation]:
        """A connection that stays open. Raises OSError, TimeoutError."""
        async with open_conversation(self._talk(key, client)) as conversation:
            yield conversation

    def _talk(self, key: VirtualServerKey, client: int) -> Talk:
        place, address = self.client(client, Family.IPV6 if ":" in key.address else Family.IPV4)
        return Talk(place, address, key)
