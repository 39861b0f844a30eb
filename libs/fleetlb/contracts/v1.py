"""The messages on the bus, version 1. Each holds the full state of one key and wraps domain values unchanged.

Evolution rules: proto-schemas/README.md. Times (`Hop.at`) are microseconds since 1970 by the writer's clock; nothing
is decided by them.
"""

import enum
from typing import Annotated

import msgspec

from fleetlb.contracts.objects import IpMode
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.announcing import VipReached
from fleetlb.domain.bars import MAX_BARS, Bar
from fleetlb.domain.conditions import Condition
from fleetlb.domain.routing import MAX_PEERS, MAX_POOLS, BgpSpeaking, PoolAttributes, RouterSession
from fleetlb.domain.services import ServiceEndpoints, TenantNode, TenantService
from fleetlb.domain.virtual_servers import Announcement, VirtualServer, VirtualServerKey

TYPE_PREFIX = "dev.fleetlb.v1."


Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A count that every JSON reader holds exactly."""


class Hop(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One station of a change and when it was reached."""

    name: Annotated[str, msgspec.Meta(max_length=32)]
    at: Whole


Hops = Annotated[tuple[Hop, ...], msgspec.Meta(max_length=32)]
Digest = Annotated[str, msgspec.Meta(max_length=32)]
Signature = Annotated[str, msgspec.Meta(max_length=128)]
"""By the operator's key, over every byte of the body before `,"signature":`; the last field, therefore."""
Shown = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=45)], ...], msgspec.Meta(max_length=4)]


class Message(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="type",
    tag=lambda name: TYPE_PREFIX + "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"),
):
    """A message; `type` in its body is its id."""


class ServiceObserved(Message, frozen=True, kw_only=True):
    """A tenant cluster's Service, or `service: null` once the tenant wants it no more."""

    digest: Digest
    """Fingerprint of all of it but the hops, as in the inventory."""
    wish: Digest = ""
    """Fingerprint of `service`: a report names the wish it answers."""
    service: TenantService | None = None
    endpoints: ServiceEndpoints | None = None
    """Null: the Service has no EndpointSlice."""
    shown: Shown = ()
    """Addresses that the Service shows its users: they stay, should the hub have forgotten them."""
    hops: Hops = ()


class NodesObserved(Message, frozen=True, kw_only=True):
    """Every node of a tenant cluster."""

    nodes: Annotated[tuple[TenantNode, ...], msgspec.Meta(max_length=5000)]
    watcher_version: str = ""


class InventoryObserved(Message, frozen=True, kw_only=True):
    """Every Service a watcher holds, UID to digest: what a lost message hides, this shows.

    An empty digest: the Service is held, and its watcher has nothing to say that could be newer than what was said.
    """

    services: Annotated[dict[str, Digest], msgspec.Meta(max_length=5000)]
    watcher_version: str = ""


class ResyncRequested(Message, frozen=True, kw_only=True):
    """The manager asks a watcher to publish everything again."""

    reason: str = ""


class LoadBalancerRevision(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Which LoadBalancer, and which generation of its spec."""

    uid: str
    generation: Whole


class Owner(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Whose virtual server it is."""

    tenant: str
    cluster_uid: str = msgspec.field(name="clusterUID")
    service_uid: str = msgspec.field(name="serviceUID")


class VirtualServerDesired(Message, frozen=True, kw_only=True, gc=False):
    """What every node of a group should serve under a key; `server: null` asks to let go of it."""

    key: VirtualServerKey
    generation: Whole
    """Fencing generation of the manager that decided."""
    revision: Whole
    """Grows with every message of the key, within and across generations."""
    owner: Owner
    load_balancer: LoadBalancerRevision | None = None
    server: VirtualServer | None = None
    reason: str = ""
    """Why there is no real server, when there is none."""
    hops: Hops = ()


class TenantAllowed(Message, frozen=True, kw_only=True):
    """What a tenant may have on a balancer group, whoever asks for it; `allowed: null`: there is no such tenant."""

    group: str
    tenant: str
    account: str = ""
    """Public key of its NATS account, for people."""
    generation: Whole
    """Fencing generation of the manager that decided."""
    revision: Whole
    """Grows with every message of the subject, within a generation."""
    allowed: Allowance | None = None
    bars: Annotated[tuple[Bar, ...], msgspec.Meta(max_length=MAX_BARS)] = ()
    """Which wishes of the tenant no node begins to serve any more, oldest bar first."""
    signature: Signature = ""
    """Nodes that are given the operator's key believe nothing without it."""


class RealizedState(enum.StrEnum):
    """What a node made of a virtual server."""

    PROGRAMMED = "programmed"
    REMOVED = "removed"
    REJECTED = "rejected"


class Probe(enum.StrEnum):
    """What came back when the node dialled the VIP."""

    PENDING = "pending"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"


class VirtualServerRealized(Message, frozen=True, kw_only=True):
    """What one node serves under a key, read back from its proxy or kernel."""

    node: str
    key: VirtualServerKey
    generation: Whole
    revision: Whole
    state: RealizedState
    owner: Owner
    load_balancer: LoadBalancerRevision | None = None
    real_servers: Whole = 0
    healthy: Whole | None = None
    """Real servers that take connections, of those that should; null: the node does not check them."""
    brake: bool = False
    """Too many real servers failed at once to believe it: those that served keep serving."""
    reason: str = ""
    message: str = ""
    probe: Probe = Probe.PENDING
    hops: Hops = ()


class NodeRealized(Message, frozen=True, kw_only=True):
    """What a balancer node is and can do."""

    node: str
    group: str
    engine: str
    capabilities: tuple[str, ...] = ()
    version: str = ""
    ready: bool = False
    virtual_servers: Whole = 0
    repairs: Whole = 0
    """Virtual servers, routes, rules and switches that others changed and this node has mended since its start."""
    draining: bool = False
    """It has heard that it is to be emptied, and gives way to every other node."""
    connections: Whole | None = None
    """That go on over it, while it drains; null: not known."""
    announced: Whole = 0
    """VIPs that it announced when it last counted them, while it drains."""
    sessions: Annotated[tuple[RouterSession, ...], msgspec.Meta(max_length=MAX_PEERS)] = ()
    """With the routers that it tells by BGP of every VIP that it carries; none while it tells nobody."""


class GroupInstructed(Message, frozen=True, kw_only=True):
    """What the nodes of a balancer group must know of their group."""

    group: str
    generation: Whole
    """Fencing generation of the manager that decided."""
    revision: Whole
    """Grows with every such message of the generation."""
    draining: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """Nodes that are to be emptied: they give way to all others, and go on with what they have."""
    nodes: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """All of the group."""
    bgp: BgpSpeaking | None = None
    """What they tell their routers; null: nothing."""
    pools: Annotated[tuple[PoolAttributes, ...], msgspec.Meta(max_length=MAX_POOLS)] = ()
    """Pools whose routes carry attributes of their own, by name."""
    signature: Signature = ""
    """As in `tenant_allowed`."""


Signed = TenantAllowed | GroupInstructed
"""What the operator's key signs. No signature passes from one to the other: the bytes that it covers begin with the
message's type, and name the group."""


class NodePresent(Message, frozen=True, kw_only=True):
    """A balancer node takes part in who answers for VIPs on layer 2, until its lease ends (ADR 15).

    Its word bounds what it answers: what the others may conclude from it holds until they read its next one.
    """

    node: str
    group: str
    epoch: Whole
    """Grows with every start of the node's programmer: of two under one name the later counts."""
    run: Annotated[str, msgspec.Meta(max_length=32)]
    """Of that start, by chance; tells two that began at the same moment apart."""
    number: Whole
    """Grows with every such word of the epoch."""
    lease_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)]
    """How long after it the node may answer, in milliseconds."""
    members: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """The nodes that it takes for alive, itself among them, sorted."""
    read: Whole = 0
    """How far it has read the stream, and done what follows from it."""
    draining: bool = False
    """It gives way to every other node."""


class VipCarried(Message, frozen=True, kw_only=True):
    """Whether a balancer node carries a VIP: programmed, read back, and with a usable real server (P4)."""

    node: str
    group: str
    address: str
    epoch: Whole
    """Of the node when it said so, as in `node_present`; so is `run`."""
    run: Annotated[str, msgspec.Meta(max_length=32)]
    number: Whole
    """Grows with every such word of the epoch."""
    carried: bool
    announcement: Announcement = Announcement.NONE
    announced: bool = False
    """Whether it tells the network so."""
    to: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """The interfaces, or the routers, that are told."""
    since: Whole = 0
    """When `announced` became what it is."""
    reached: VipReached | None = None
    """What it found that called the node which announces the VIP; null: it has not, or cannot tell."""


class StoreMarked(Message, frozen=True, kw_only=True):
    """How far the management cluster's store had come when the holder of a Lease last wrote it.

    A store that shows that Lease in an older version has gone back in time, as after a restore.
    """

    cluster_uid: str = msgspec.field(name="clusterUID")
    version: Whole
    """`resourceVersion` of the Lease."""
    generation: Whole
    """Fencing generation of its holder."""


class PartitionsHeld(Message, frozen=True, kw_only=True):
    """Which partitions of tenants a manager holds: a hint to the others, by which they spread them evenly."""

    identity: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Of the manager, as it stands on its Leases."""
    partitions: Annotated[tuple[Whole, ...], msgspec.Meta(max_length=64)] = ()


class ServiceReleased(Message, frozen=True, kw_only=True):
    """Nothing of a Service is left: no object, no virtual server, no address in use."""

    generation: Whole = 0
    hops: Hops = ()


class Ingress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One entry of `status.loadBalancer.ingress`: an address and its mode, or a name."""

    ip: str = ""
    ip_mode: IpMode | None = None
    hostname: str = ""

    def __str__(self) -> str:
        return self.ip or self.hostname


class ServiceReported(Message, frozen=True, kw_only=True):
    """The truth about one Service, for its tenant."""

    generation: Whole
    """Fencing generation of the status service that judged."""
    revision: Whole
    """Grows with every report of the generation."""
    wish: Digest = ""
    ingress: tuple[Ingress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    released: bool = False
    hops: Hops = ()


class CredentialsRequested(Message, frozen=True, kw_only=True):
    """A watcher offers the public key that its next credentials could be for, and says how old the present ones are."""

    user: Annotated[str, msgspec.Meta(pattern="^U[A-Z2-7]{55}$")]
    """Its seed never leaves the watcher."""
    issued_at: Whole
    """When the present credentials were issued, in seconds since 1970."""
    expires_at: Whole = 0
    """When they expire; 0: never."""


class CredentialsIssued(Message, frozen=True, kw_only=True):
    """The JWT for the key that was offered; empty: the present credentials are good for some more time."""

    jwt: Annotated[str, msgspec.Meta(max_length=4096)] = ""


class RenewalRequested(Message, frozen=True, kw_only=True):
    """Every watcher of a tenant should ask for its next credentials now: those that it has will be void before long."""


class SnapshotRequested(Message, frozen=True, kw_only=True):
    """A watcher asks for every report of its cluster again."""

    cluster: str


class SnapshotAnswered(Message, frozen=True, kw_only=True):
    """How many reports follow on `reported`."""

    reports: Whole
