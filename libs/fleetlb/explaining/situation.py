"""All that is known of one Service, at about one moment. Values."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import (
    GroupInstructed,
    NodePresent,
    ServiceObserved,
    VipCarried,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.planning import keys_of
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.holding import Held
from fleetlb.kube.shown_services import Service


class Said(msgspec.Struct, frozen=True):
    """What a node last said of a virtual server, and the trace context that it was sent with."""

    word: VirtualServerRealized
    trace: str
    at: float
    """When the hub had it, in seconds since 1970."""


class Carrying(msgspec.Struct, frozen=True):
    """What a node last said of a VIP that is announced."""

    word: VipCarried
    at: float
    """When the hub had it, in seconds since 1970."""


class Presence(msgspec.Struct, frozen=True):
    """What a node last said of its part in who announces VIPs."""

    word: NodePresent
    at: float
    """When the hub had it, in seconds since 1970."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """One Service."""

    tenant_name: str
    namespace: str
    name: str
    now: float
    """Seconds since 1970."""
    tenant: Tenant | None
    is_tenant_seen: bool = False
    """Whether the tenant's own cluster was looked at."""
    service: Service | None = None
    """As its tenant sees it; None: there is none, or nobody looked."""
    observed: ServiceObserved | None = None
    """What the hub last heard of it."""
    watcher_heard: float | None = None
    """When the tenant's watcher last said that it lives, in seconds since 1970."""
    balancer: LoadBalancer | None = None
    claims: tuple[AddressClaim, ...] = ()
    group: BalancerGroup | None = None
    desired: Mapping[VirtualServerKey, VirtualServerDesired]
    realized: Mapping[str, Mapping[VirtualServerKey, Said]]
    """Node to what it said."""
    pool: AddressPool | None = None
    other: BalancerGroup | None = None
    """The group that an address of it moves to, or comes from."""
    desired_there: Mapping[VirtualServerKey, VirtualServerDesired] = {}
    realized_there: Mapping[str, Mapping[VirtualServerKey, Said]] = {}
    """What that group is asked for, and what its nodes said."""
    carried: Mapping[str, Mapping[str, Carrying]] = {}
    """Node to address to what it said; of addresses that nodes announce on layer 2 alone, as is `present`."""
    present: Mapping[str, Presence] = {}
    instructed: GroupInstructed | None = None
    """What the group's nodes were told of it; looked at only where routes of a pool carry attributes of its own."""
    manager: Held
    status: Held

    @property
    def title(self) -> str:
        """The Service as people know it."""
        return f"{self.tenant_name}/{self.namespace}/{self.name}"

    @property
    def uid(self) -> str:
        """Of the Service; empty if nobody knows it."""
        if self.balancer is not None:
            return self.balancer.metadata.name
        return self.service.metadata.uid if self.service is not None else ""

    def virtual_servers(self) -> tuple[VirtualServerKey, ...]:
        """Every virtual server of it."""
        if self.balancer is None:
            return ()
        return keys_of(self.balancer.spec.addresses, self.balancer.spec.service.ports)

    def words(self) -> Iterator[tuple[str, VirtualServerKey, Said | None]]:
        """What each node of its group said of each of its virtual servers."""
        nodes = self.group.spec.nodes if self.group else ()
        for node in nodes:
            for key in self.virtual_servers():
                yield node, key, self.realized.get(node, {}).get(key)


def spelled(seconds: float) -> str:
    """A time in seconds since 1970 as people and objects spell it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
