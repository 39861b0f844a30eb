"""What the page shows, as values; their JSON is what its scripts read. Knows no object of Kubernetes and no message."""

import enum

import msgspec

from fleetlb.contracts.objects import PoolCounts
from fleetlb.contracts.tenants import Quotas, TenantUsage
from fleetlb.domain.conditions import Condition
from fleetlb.explaining.explanations import Explanation
from fleetlb.explaining.passages import Passage


class State(enum.StrEnum):
    """How a load balancer is."""

    SERVING = "serving"
    PENDING = "pending"
    """The hub is still at it."""
    NOT_SERVING = "not serving"
    REFUSED = "refused"
    """Its newest wish is; an earlier one may be served."""
    UNKNOWN = "unknown"
    """Not all that its group's nodes have said was read yet."""


class Kind(enum.StrEnum):
    """What surrounds load balancers."""

    TENANT = "tenant"
    GROUP = "group"
    POOL = "pool"
    PROCESS = "process"
    HUB = "hub"


class Picture(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of all that is shown."""


class NodeMark(Picture, frozen=True):
    """What one balancer node made of a load balancer."""

    node: str
    state: str


class ServicePicture(Picture, frozen=True):
    """One load balancer."""

    uid: str
    tenant: str
    cluster: str
    namespace: str
    name: str
    group: str
    pool: str
    addresses: tuple[str, ...]
    ports: tuple[str, ...]
    state: State
    reason: str
    message: str
    since: str
    """RFC 3339; empty: not known."""
    nodes: tuple[NodeMark, ...]


class Change(Picture, frozen=True):
    """One line of the feed."""

    at: int
    """Microseconds since 1970."""
    uid: str
    tenant: str
    namespace: str
    name: str
    state: State | None
    """None: it is gone."""
    text: str
    trace: str = ""
    stations: tuple[Passage, ...] = ()
    """How the news came; empty where nobody took its time."""


class ServiceChanged(Picture, frozen=True):
    """A load balancer is other than it was."""

    tenant: str
    uid: str
    service: ServicePicture | None
    change: Change | None = None
    """None: nothing that a reader of the feed would want to know."""


class NodePicture(Picture, frozen=True):
    """A balancer node as the manager last heard of it."""

    name: str
    ready: bool
    version: str
    virtual_servers: int


class GroupPicture(Picture, frozen=True):
    """A balancer group."""

    name: str
    engine: str
    forwarding: str
    nodes: tuple[NodePicture, ...]


class PoolPicture(Picture, frozen=True):
    """An address pool."""

    name: str
    group: str
    ready: bool
    reason: str
    ipv4: PoolCounts
    ipv6: PoolCounts


class TenantPicture(Picture, frozen=True):
    """A tenant."""

    name: str
    ready: bool
    reason: str
    suspended: bool
    usage: TenantUsage
    quotas: Quotas


class ProcessPicture(Picture, frozen=True):
    """Who does the work of the manager, or of the status service."""

    name: str
    holder: str
    """Of its Lease; empty: nobody."""
    objection: str
    """Why it does nothing all the same."""


class HubPicture(Picture, frozen=True):
    """Whether the rest is up to date."""

    name: str
    problem: str
    """Why pools and processes could not be looked at; empty: they were."""


Thing = GroupPicture | PoolPicture | TenantPicture | ProcessPicture | HubPicture


class ThingChanged(Picture, frozen=True):
    """Something around load balancers is other than it was."""

    kind: Kind
    name: str
    value: Thing | None


class FleetPicture(Picture, frozen=True):
    """Everything that a view has, as of one place in the feed."""

    id: str
    """Where the feed goes on from here."""
    at: int
    """Microseconds since 1970."""
    tenant: str
    """Whose view it is; empty: an operator's."""
    services: tuple[ServicePicture, ...]
    things: tuple[ThingChanged, ...]
    recent: tuple[Change, ...]


class ServerDetail(Picture, frozen=True):
    """What a node said of one virtual server."""

    key: str
    node: str
    state: str
    probe: str
    real_servers: int
    healthy: int | None
    message: str


class BackendDetail(Picture, frozen=True):
    """Where connections of a virtual server go."""

    key: str
    address: str
    port: int
    weight: int
    node: str


class ServiceDetail(Picture, frozen=True):
    """All of one load balancer."""

    service: ServicePicture
    conditions: tuple[Condition, ...]
    servers: tuple[ServerDetail, ...]
    backends: tuple[BackendDetail, ...]
    more_backends: int
    """How many there are beyond those."""
    why: Explanation
    stations: tuple[Passage, ...]
    """Of its last change."""
    command: str
    """What to type for the same."""
