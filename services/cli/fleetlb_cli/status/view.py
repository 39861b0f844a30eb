"""A whole fleet as an operator sees it, and what is wrong with it. Values; their JSON is what `-o json` prints."""

import enum

import msgspec

from fleetlb.contracts.objects import PoolCounts
from fleetlb.domain.conditions import Status


class State(enum.StrEnum):
    """How a load balancer is."""

    SERVING = "serving"
    PENDING = "pending"
    """The hub is still at it."""
    NOT_SERVING = "not serving"
    REFUSED = "refused"
    """Its newest wish is; an earlier one may be served."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of all that is shown."""


class Trouble(Seen, frozen=True, kw_only=True):
    """One thing that is wrong."""

    about: str
    text: str
    next: str
    """The command that tells more, or mends it."""


class ProcessView(Seen, frozen=True, kw_only=True):
    """Who does the work of the manager, or of the status service."""

    name: str
    holder: str
    """Of its Lease; empty: nobody."""
    objection: str = ""
    """Why it does nothing all the same: the gate of a restore is closed."""


class NatsView(Seen, frozen=True, kw_only=True):
    """The bus."""

    url: str
    problem: str = ""
    """Why it cannot be asked; empty: it answers."""


class TenantView(Seen, frozen=True, kw_only=True):
    """A tenant."""

    name: str
    ready: Status
    state: str
    """`served`, `suspended`, or how far its removal is."""
    load_balancers: dict[State, int]
    addresses: int
    clusters: int
    silent_watchers: tuple[str, ...] = ()
    """Clusters whose watchers have not been heard lately."""


class NodeView(Seen, frozen=True, kw_only=True):
    """A balancer node."""

    name: str
    ready: bool
    """As the manager last heard."""
    following: bool | None
    """Whether it follows the hub right now; null: not known without NATS."""
    version: str
    virtual_servers: int
    untold: dict[str, str] = {}
    """Routers that it should tell by BGP and does not, and why."""

    @property
    def is_well(self) -> bool:
        """Whether nothing speaks against it."""
        return self.ready and self.following is not False and not self.untold


class GroupView(Seen, frozen=True, kw_only=True):
    """A balancer group."""

    name: str
    engine: str
    forwarding: str
    nodes: tuple[NodeView, ...]


class PoolView(Seen, frozen=True, kw_only=True):
    """An address pool."""

    name: str
    group: str
    priority: int
    ready: Status
    reason: str
    ipv4: PoolCounts
    ipv6: PoolCounts


class FleetView(Seen, frozen=True, kw_only=True):
    """Everything."""

    taken_at: str
    """RFC 3339."""
    serving: bool
    """Whether nothing is wrong."""
    nats: NatsView
    processes: tuple[ProcessView, ...]
    tenants: tuple[TenantView, ...]
    groups: tuple[GroupView, ...]
    pools: tuple[PoolView, ...]
    troubles: tuple[Trouble, ...]
