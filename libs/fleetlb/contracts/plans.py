"""What an operator asks the manager before doing something, and the answer: what would be decided. Changes nothing.

Requests and replies in the hub's own account, where no tenant is heard; no stream keeps them.
"""

from typing import Annotated

import msgspec

from fleetlb.contracts.object_meta import Name
from fleetlb.contracts.objects import AddressPoolSpec, PoolCounts
from fleetlb.contracts.v1 import Message, Whole
from fleetlb.domain.conditions import Refusal
from fleetlb.domain.services import TenantService
from fleetlb.domain.virtual_servers import VirtualServerKey

MAX_PLANNED = 64
"""Services that one question may ask about."""


class PlannedAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An address that a Service would have."""

    address: str
    pool: str
    why: str
    """Why this one, in words."""


class PlannedPort(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A virtual server that balancer nodes would be told of."""

    key: VirtualServerKey
    real_servers: Whole = 0
    reason: str = ""
    """Why it would have no real server, when it would have none."""


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What would become of one Service."""

    uid: str = ""
    """Of the Service of that name that is there; empty: it would be a new one."""
    refusal: Refusal | None = None
    """Why it would not be granted. What it has already, it would keep."""
    addresses: tuple[PlannedAddress, ...] = ()
    before: tuple[str, ...] = ()
    """Addresses that it has now."""
    missing: Refusal | None = None
    """Why a family that it would like to have would be missing."""
    group: str = ""
    nodes: tuple[str, ...] = ()
    """The balancer nodes of the group."""
    ports: tuple[PlannedPort, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is worth knowing, a sentence each."""


class ServicesPlanRequested(Message, frozen=True, kw_only=True):
    """What would become of these Services of one cluster, were they written in this order?"""

    tenant: Name
    cluster: Name
    """UID of the cluster; one that no watcher has told of yet will do."""
    services: Annotated[tuple[TenantService, ...], msgspec.Meta(min_length=1, max_length=MAX_PLANNED)]


class ServicesPlanAnswered(Message, frozen=True, kw_only=True):
    """One plan for each of the Services, in their order; none, and why that cannot be said now."""

    plans: tuple[ServicePlan, ...] = ()
    problem: str = ""


class PlannedService(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A Service that waits, and would get addresses."""

    tenant: str
    namespace: str
    name: str
    addresses: tuple[str, ...]


class PoolPlanRequested(Message, frozen=True, kw_only=True):
    """What would become of an AddressPool, were this its spec?"""

    name: Name
    spec: AddressPoolSpec


class PoolPlanAnswered(Message, frozen=True, kw_only=True):
    """The difference that it would make; or, and nothing else, why it could not be so."""

    problem: str = ""
    is_new: bool = False
    changes: tuple[str, ...] = ()
    """Fields that differ beside the ranges: `priority: 0 -> 10`."""
    gained: tuple[str, ...] = ()
    """Ranges that could be given out and cannot be now."""
    lost: tuple[str, ...] = ()
    ipv4_before: PoolCounts = PoolCounts()
    ipv4: PoolCounts = PoolCounts()
    ipv6_before: PoolCounts = PoolCounts()
    ipv6: PoolCounts = PoolCounts()
    outside: Whole = 0
    """Addresses in use that the pool would not give out any more: they would be served on."""
    outside_named: tuple[str, ...] = ()
    """The first of them, with whose they are."""
    served: tuple[PlannedService, ...] = ()
    """Who waits, and would get addresses, in that order."""
    waiting: Whole = 0
    """How many would wait on."""
    notes: tuple[str, ...] = ()
