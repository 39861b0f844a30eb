"""Pools, balancer groups, load balancers and claims, as objects of `fleetlb.dev/v1alpha1`. Tenants: `tenants`.

The CRDs in deploy/crds are generated from these types (fleetlb.contracts.crds). Domain values stand in them unchanged.
"""

import enum
from typing import Annotated

import msgspec

from fleetlb.contracts.object_meta import Name, ObjectMeta, Part, Text
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Condition, Refusal
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.domain.routing import BgpSpeaking, RouteAttributes, RouterSession
from fleetlb.domain.services import TenantService
from fleetlb.domain.virtual_servers import (
    DEFAULT_DRAIN_SECONDS,
    MAX_DRAIN_SECONDS,
    Announcement,
    Forwarding,
    Scheduler,
)

TENANT_LABEL = "fleetlb.dev/tenant"
CLUSTER_LABEL = "fleetlb.dev/origin-cluster"
NAMESPACE_LABEL = "fleetlb.dev/origin-namespace"
NAME_LABEL = "fleetlb.dev/origin-name"

POOL_FINALIZER = "fleetlb.dev/addresses-in-use"
"""Keeps an AddressPool that is deleted until nobody has an address of it."""

MAX_PRIORITY = 1_000_000_000
RangeText = Annotated[str, msgspec.Meta(max_length=90)]
"""A CIDR or `first-last`."""


class AddressPoolSpec(Part, frozen=True, kw_only=True):
    """A range that VIPs come from."""

    addresses: Annotated[tuple[RangeText, ...], msgspec.Meta(min_length=1, max_length=64)]
    """CIDRs and `first-last` ranges; may grow and shrink live."""
    exclude: Annotated[tuple[RangeText, ...], msgspec.Meta(max_length=64)] = ()
    """CIDRs, `first-last` ranges and single addresses that are never given out nor routed to balancer nodes, such as
    those of gateways, of the nodes themselves, and of networks and their broadcasts."""
    priority: Annotated[int, msgspec.Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """Where several pools would do, the highest is asked first; equal ones by name."""
    selector: PoolSelector = PoolSelector()
    """For which Services new addresses come from here, of tenants that are granted the pool; those held stay."""
    auto_assign: bool = True
    """False: used only when a Service asks for the pool or one of its addresses."""
    avoid_buggy_ips: bool = msgspec.field(name="avoidBuggyIPs", default=False)
    """Never give out IPv4 addresses that end in .0 or .255."""
    quarantine_seconds: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 60
    """How long a released address rests before somebody else may get it."""
    group: Name = "default"
    """The balancer group that carries the pool's addresses."""
    announcement: Announcement = Announcement.NONE
    """How the network learns on which nodes the addresses live. `none`: it sends them there as it is, or the one
    node's kernel answers ARP. `layer2`: one node of the group answers ARP and neighbour solicitations for each. `bgp`:
    every node that carries one tells its routers. The last two need a group with engine ipvs."""
    bgp: RouteAttributes | None = None
    """What the pool's routes carry, and which peers hear of them, where that is not as `spec.bgp.attributes` of the
    group says; what it leaves open is. Only with announcement `bgp`."""


class PoolCounts(Part, frozen=True, kw_only=True):
    """Addresses of one family; totals beyond 2^53 are shown as 2^53."""

    total: int = 0
    used: int = 0
    quarantined: int = 0
    free: int = 0


class AddressPoolStatus(Part, frozen=True, kw_only=True):
    """Counts that equal the claims."""

    ipv4: PoolCounts = PoolCounts()
    ipv6: PoolCounts = PoolCounts()
    conditions: tuple[Condition, ...] = ()


class AddressPool(Part, frozen=True, kw_only=True):
    """A range of VIPs."""

    metadata: ObjectMeta
    spec: AddressPoolSpec
    status: AddressPoolStatus = AddressPoolStatus()


class BalancerGroupSpec(Part, frozen=True, kw_only=True):
    """Nodes that share VIPs."""

    engine: EngineName
    nodes: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=64)]
    """Every node that carries the group's VIPs: an address is published, and freed, when all of them say so."""
    draining: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] = ()
    """Nodes that are to be emptied: they give way to all others and go on with the connections that they have.
    `fleetlb node drain` and `undrain` write this."""
    forwarding: Forwarding = Forwarding.MASQUERADE
    """How packets get to the tenants' nodes; anything but masquerade needs the engine ipvs."""
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION
    """For Services that ask for none."""
    drain_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_DRAIN_SECONDS)] = DEFAULT_DRAIN_SECONDS
    """How long the connections of a backend that is taken away may go on."""
    bgp: BgpSpeaking | None = None
    """What its nodes tell routers of the VIPs of pools with announcement `bgp`; needs the engine ipvs."""


class BalancerNode(Part, frozen=True, kw_only=True):
    """One node as last heard."""

    name: str
    version: str = ""
    capabilities: tuple[str, ...] = ()
    ready: bool = False
    draining: bool = False
    virtual_servers: int = 0
    sessions: tuple[RouterSession, ...] = ()
    """With the routers that it tells by BGP."""


class BalancerGroupStatus(Part, frozen=True, kw_only=True):
    """The group's nodes as last heard."""

    nodes: tuple[BalancerNode, ...] = ()
    conditions: tuple[Condition, ...] = ()


class BalancerGroup(Part, frozen=True, kw_only=True):
    """Balancer nodes sharing VIPs."""

    metadata: ObjectMeta
    spec: BalancerGroupSpec
    status: BalancerGroupStatus = BalancerGroupStatus()


class IpMode(enum.StrEnum):
    """`status.loadBalancer.ingress[].ipMode` (KEP-1860)."""

    VIP = "VIP"
    PROXY = "Proxy"


class LoadBalancerSpec(Part, frozen=True, kw_only=True):
    """A tenant's wish after validation, and its addresses. Written by the manager alone."""

    tenant: str
    cluster_uid: str = msgspec.field(name="clusterUID")
    wish: str
    """Digest of the wish that the spec or its refusal answers."""
    service: TenantService
    """The wish in force: with a refusal beside addresses, the last one that was granted."""
    group: str = ""
    pool: str = ""
    addresses: tuple[str, ...] = ()
    ip_mode: IpMode = IpMode.PROXY
    keeps_client_address: bool = False
    """Whether backends see who the client is."""
    refusal: Refusal | None = None
    waits_for: tuple[str, ...] = ()
    """What would have to become free, such as `pool/default/IPv4`: every manager keeps the order of all who wait."""
    trace: str = ""
    """W3C trace context of the change that the spec or its refusal answers."""

    def says_the_same(self, other: "LoadBalancerSpec") -> bool:
        """Whether two specs say the same, whichever change led to them."""
        return msgspec.structs.replace(self, trace=other.trace) == other

    @property
    def is_short(self) -> bool:
        """Whether a granted wish has fewer addresses than it would like to have."""
        return 0 < len(self.addresses) < len(self.service.ip_families)


class NodeRevision(Part, frozen=True, kw_only=True):
    """What one balancer node said of the load balancer."""

    node: str
    generation: int = 0
    """The LoadBalancer generation that the node has acknowledged on every port."""
    state: str = ""


class AnnouncedAddress(Part, frozen=True, kw_only=True):
    """Who tells the network of one address, as the nodes say."""

    address: str
    by: Announcement
    nodes: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    """The interfaces on which it is answered for, or the routers that are told."""
    since: str = ""
    reached_from: tuple[str, ...] = ()
    """Nodes that called it at the one that announces it, and were answered."""


class LoadBalancerStatus(Part, frozen=True, kw_only=True):
    """The verdict. Written by the status service alone."""

    observed_generation: int = 0
    addresses: tuple[str, ...] = ()
    """Addresses that have been published to the tenant."""
    nodes: tuple[NodeRevision, ...] = ()
    conditions: tuple[Condition, ...] = ()
    announced: tuple[AnnouncedAddress, ...] = ()
    """Addresses that a balancer node answers for on layer 2, or tells routers of."""
    announced_by: str = ""
    """That in short, such as `layer2: node-1` or `bgp: 3 nodes`."""


class LoadBalancer(Part, frozen=True, kw_only=True):
    """One tenant Service in the management cluster; named by the Service's UID."""

    metadata: ObjectMeta
    spec: LoadBalancerSpec
    status: LoadBalancerStatus = LoadBalancerStatus()


class ClaimPhase(enum.StrEnum):
    """Life of a claim: Bound, then Releasing until every node has let go, then Quarantined, then deleted."""

    BOUND = "Bound"
    RELEASING = "Releasing"
    QUARANTINED = "Quarantined"


class ClaimOwner(Part, frozen=True, kw_only=True):
    """Whose address it is. Identity is tenant + cluster UID + Service UID; the names are for readers."""

    tenant: Text
    cluster_uid: str = msgspec.field(name="clusterUID")
    service_uid: Text = msgspec.field(name="serviceUID")
    namespace: str
    name: str


class ClaimShare(Part, frozen=True, kw_only=True):
    """Ports of an address and whose they are."""

    owner: ClaimOwner
    ports: tuple[str, ...] = ()
    """`port/PROTOCOL`."""


MAX_SHARERS = 63
"""Services that share an address, beside its owner."""


class AddressClaimSpec(Part, frozen=True, kw_only=True):
    """The lock on one address. No port of it stands twice among `ports`, `sharers` and `leaving`."""

    address: Text
    pool: str
    owner: ClaimOwner
    """Of several who share the address, the one whose it counts as."""
    ports: tuple[str, ...] = ()
    """`port/PROTOCOL`, the owner's; with those below enough to name every virtual server of the address after a
    crash."""
    sharing_key: Annotated[str, msgspec.Meta(max_length=63)] = ""
    """Under which other Services of the tenant may join; empty: nobody may."""
    sharers: Annotated[tuple[ClaimShare, ...], msgspec.Meta(max_length=MAX_SHARERS)] = ()
    """Who has joined, in the order in which they did; the first is the owner after the owner."""
    leaving: tuple[ClaimShare, ...] = ()
    """Ports given up whose virtual servers not every balancer node has let go of: nobody else may have them yet."""
    generation: int = 0
    """Fencing generation of the manager that wrote the claim."""
    phase: ClaimPhase = ClaimPhase.BOUND
    released_at: str = ""
    """When quarantine began (RFC 3339)."""
    group: str = "default"
    """The balancer group that carries the address, and announces it."""
    moving_to: str = ""
    """Another group whose nodes are to carry it as well, before the first one lets go of it."""
    moving_back: bool = False
    """That move was called off: the other group's nodes let go of it."""
    moving_from: str = ""
    """The group that carried it before, and not every node of which has let go of it."""

    @property
    def carriers(self) -> tuple[str, ...]:
        """The groups whose nodes are to serve the address, the one that announces it first."""
        return (self.group, self.moving_to) if self.moving_to and not self.moving_back else (self.group,)

    @property
    def withdrawn_from(self) -> str:
        """The group whose nodes are to let go of it, while it stays; empty: none."""
        return self.moving_from or (self.moving_to if self.moving_back else "")

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group whose nodes may serve it."""
        return tuple(group for group in (self.group, self.moving_to, self.moving_from) if group)

    @property
    def is_moving(self) -> bool:
        """Whether nodes of more than one group may serve it."""
        return bool(self.moving_to or self.moving_from)


class AddressClaim(Part, frozen=True, kw_only=True):
    """One address, one owner and its sharers: named by the address, so that the API server's uniqueness is the lock
    (ADR 3)."""

    metadata: ObjectMeta
    spec: AddressClaimSpec
