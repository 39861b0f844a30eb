"""The objects of `fleetlb.dev/v1alpha1` and the few fields of Kubernetes' metadata that fleetlb reads.

The CRDs in deploy/crds are generated from these types (fleetlb.contracts.crds). Domain values stand in them unchanged.
"""

import enum
from typing import Annotated

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Condition, Refusal
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.domain.services import TenantNode, TenantService
from fleetlb.domain.virtual_servers import (
    DEFAULT_DRAIN_SECONDS,
    MAX_DRAIN_SECONDS,
    FailurePolicy,
    Forwarding,
    Scheduler,
)

GROUP = "fleetlb.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

TENANT_LABEL = "fleetlb.dev/tenant"
CLUSTER_LABEL = "fleetlb.dev/origin-cluster"
NAMESPACE_LABEL = "fleetlb.dev/origin-namespace"
NAME_LABEL = "fleetlb.dev/origin-name"

POOL_FINALIZER = "fleetlb.dev/addresses-in-use"
"""Keeps an AddressPool that is deleted until nobody has an address of it."""
TENANT_FINALIZER = "fleetlb.dev/tenant-cleanup"
"""Keeps a Tenant that is deleted until nothing is left that the hub made for it."""
CONFIRM_REMOVAL = "fleetlb.dev/confirm-removal"
"""The annotation that, with the Tenant's own name, lets a deleted Tenant go although its load balancers are live."""

WATCHER_CREDENTIALS_SECRET = "fleetlb-watcher-creds"  # noqa: S105 - the name of an object
WATCHER_CREDENTIALS_KEY = "nats.creds"

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Text = Annotated[str, msgspec.Meta(max_length=64)]


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The part of metav1.ObjectMeta that fleetlb uses."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A struct of an object's spec or status."""


class Quotas(_Object, frozen=True, kw_only=True):
    """Upper bounds for one tenant; absent: no bound."""

    load_balancers: Annotated[int, msgspec.Meta(ge=0)] | None = None
    addresses: Annotated[int, msgspec.Meta(ge=0)] | None = None
    ports: Annotated[int, msgspec.Meta(ge=0)] | None = None


class AnnotationRules(_Object, frozen=True, kw_only=True):
    """Which annotations of `fleetlb.dev/` a tenant may use, named with or without the prefix."""

    allow: Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)] | None = None
    """Only these; absent: all."""
    deny: Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)] = ()
    """None of these, whatever `allow` says."""
    default: Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=253)]], msgspec.Meta(max_length=32)] = {}
    """Values for Services that say nothing; also of annotations that the tenant may not use itself."""


Moment = Annotated[str, msgspec.Meta(max_length=40, extra_json_schema={"format": "date-time"})]


class Revocation(_Object, frozen=True, kw_only=True):
    """Which credentials of a tenant's watchers are void, by the time they were issued at (RFC 3339)."""

    issued_before: Moment
    """What was issued before this time is void."""
    at: Moment = ""
    """From this time on; until then watchers renew theirs and lose nothing. Absent: at once; they must join anew."""


class CredentialRules(_Object, frozen=True, kw_only=True):
    """What holds for the credentials of a tenant's watchers."""

    revoked: Revocation | None = None


class TenantSpec(_Object, frozen=True, kw_only=True):
    """What a platform team grants a tenant."""

    node_cidrs: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=32)] = msgspec.field(name="nodeCIDRs")
    """Where the tenant's nodes live; no node outside is ever programmed."""
    pod_cidrs: Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)] = msgspec.field(name="podCIDRs", default=())
    """Where the tenant's pods live, if balancer nodes have routes to them: they are served directly then, where its
    watchers tell of pods. Empty: by its nodes alone."""
    node_port_range: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,5}-[0-9]{1,5}$")] = "30000-32767"
    pools: Annotated[tuple[Name, ...], msgspec.Meta(max_length=32)] = ()
    """Pools the tenant may use; empty: every pool."""
    groups: Annotated[tuple[Name, ...], msgspec.Meta(max_length=32)] = ()
    """Balancer groups the tenant may use; empty: every group."""
    quotas: Quotas = Quotas()
    annotations: AnnotationRules = AnnotationRules()
    suspended: bool = False
    """Its watchers are cut from the hub; what is served goes on, nothing changes until it is false again."""
    credentials: CredentialRules = CredentialRules()
    failure_policy: FailurePolicy = FailurePolicy.OPEN
    """When most of a Service's backends fail their checks at once: `open` keeps the last set, `closed` serves by the
    healthy alone, or by none."""


class TenantUsage(_Object, frozen=True, kw_only=True):
    """What a tenant holds now."""

    load_balancers: int = 0
    addresses: int = 0
    ports: int = 0


class TenantStatus(_Object, frozen=True, kw_only=True):
    """What the manager made of a Tenant."""

    account: str = ""
    """Public key of the tenant's NATS account."""
    namespace: str = ""
    void_before: str = ""
    """Credentials issued before this time were void once, and stay so whatever the spec says later (RFC 3339)."""
    usage: TenantUsage = TenantUsage()
    conditions: tuple[Condition, ...] = ()


class Tenant(_Object, frozen=True, kw_only=True):
    """An owner of clusters and quota."""

    metadata: ObjectMeta
    spec: TenantSpec
    status: TenantStatus = TenantStatus()

    @property
    def namespace(self) -> str:
        """The tenant's namespace in the management cluster."""
        return f"tenant-{self.metadata.name}"


MAX_PRIORITY = 1_000_000_000
RangeText = Annotated[str, msgspec.Meta(max_length=90)]
"""A CIDR or `first-last`."""


class AddressPoolSpec(_Object, frozen=True, kw_only=True):
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


class PoolCounts(_Object, frozen=True, kw_only=True):
    """Addresses of one family; totals beyond 2^53 are shown as 2^53."""

    total: int = 0
    used: int = 0
    quarantined: int = 0
    free: int = 0


class AddressPoolStatus(_Object, frozen=True, kw_only=True):
    """Counts that equal the claims."""

    ipv4: PoolCounts = PoolCounts()
    ipv6: PoolCounts = PoolCounts()
    conditions: tuple[Condition, ...] = ()


class AddressPool(_Object, frozen=True, kw_only=True):
    """A range of VIPs."""

    metadata: ObjectMeta
    spec: AddressPoolSpec
    status: AddressPoolStatus = AddressPoolStatus()


class BalancerGroupSpec(_Object, frozen=True, kw_only=True):
    """Nodes that share VIPs."""

    engine: EngineName
    nodes: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=64)]
    """Every node that carries the group's VIPs: an address is published, and freed, when all of them say so."""
    forwarding: Forwarding = Forwarding.MASQUERADE
    """How packets get to the tenants' nodes; anything but masquerade needs the engine ipvs."""
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION
    """For Services that ask for none."""
    drain_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_DRAIN_SECONDS)] = DEFAULT_DRAIN_SECONDS
    """How long the connections of a backend that is taken away may go on."""


class BalancerNode(_Object, frozen=True, kw_only=True):
    """One node as last heard."""

    name: str
    version: str = ""
    capabilities: tuple[str, ...] = ()
    ready: bool = False
    virtual_servers: int = 0


class BalancerGroupStatus(_Object, frozen=True, kw_only=True):
    """The group's nodes as last heard."""

    nodes: tuple[BalancerNode, ...] = ()
    conditions: tuple[Condition, ...] = ()


class BalancerGroup(_Object, frozen=True, kw_only=True):
    """Balancer nodes sharing VIPs."""

    metadata: ObjectMeta
    spec: BalancerGroupSpec
    status: BalancerGroupStatus = BalancerGroupStatus()


class IpMode(enum.StrEnum):
    """`status.loadBalancer.ingress[].ipMode` (KEP-1860)."""

    VIP = "VIP"
    PROXY = "Proxy"


class LoadBalancerSpec(_Object, frozen=True, kw_only=True):
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

    @property
    def is_short(self) -> bool:
        """Whether a granted wish has fewer addresses than it would like to have."""
        return 0 < len(self.addresses) < len(self.service.ip_families)


class NodeRevision(_Object, frozen=True, kw_only=True):
    """What one balancer node said of the load balancer."""

    node: str
    generation: int = 0
    """The LoadBalancer generation that the node has acknowledged on every port."""
    state: str = ""


class LoadBalancerStatus(_Object, frozen=True, kw_only=True):
    """The verdict. Written by the status service alone."""

    observed_generation: int = 0
    addresses: tuple[str, ...] = ()
    """Addresses that have been published to the tenant."""
    nodes: tuple[NodeRevision, ...] = ()
    conditions: tuple[Condition, ...] = ()


class LoadBalancer(_Object, frozen=True, kw_only=True):
    """One tenant Service in the management cluster; named by the Service's UID."""

    metadata: ObjectMeta
    spec: LoadBalancerSpec
    status: LoadBalancerStatus = LoadBalancerStatus()


class TenantClusterSpec(_Object, frozen=True, kw_only=True):
    """A tenant cluster's nodes, kept by the manager from what its watcher observed."""

    tenant: str
    nodes: tuple[TenantNode, ...] = ()


class TenantClusterStatus(_Object, frozen=True, kw_only=True):
    """What is known of the cluster's watcher."""

    last_contact: str = ""
    watcher_version: str = ""
    services: int = 0


class TenantCluster(_Object, frozen=True, kw_only=True):
    """One tenant cluster; named by the UID of its kube-system namespace."""

    metadata: ObjectMeta
    spec: TenantClusterSpec
    status: TenantClusterStatus = TenantClusterStatus()


class ClaimPhase(enum.StrEnum):
    """Life of a claim: Bound, then Releasing until every node has let go, then Quarantined, then deleted."""

    BOUND = "Bound"
    RELEASING = "Releasing"
    QUARANTINED = "Quarantined"


class ClaimOwner(_Object, frozen=True, kw_only=True):
    """Whose address it is. Identity is tenant + cluster UID + Service UID; the names are for readers."""

    tenant: str
    cluster_uid: str = msgspec.field(name="clusterUID")
    service_uid: str = msgspec.field(name="serviceUID")
    namespace: str
    name: str


class AddressClaimSpec(_Object, frozen=True, kw_only=True):
    """The lock on one address."""

    address: Text
    pool: str
    owner: ClaimOwner
    ports: tuple[str, ...] = ()
    """`port/PROTOCOL`, enough to name every virtual server of the address after a crash."""
    generation: int = 0
    """Fencing generation of the manager that wrote the claim."""
    phase: ClaimPhase = ClaimPhase.BOUND
    released_at: str = ""
    """When quarantine began (RFC 3339)."""
    group: str = "default"


class AddressClaim(_Object, frozen=True, kw_only=True):
    """One address, one owner: named by the address, so that the API server's uniqueness is the lock (ADR 3)."""

    metadata: ObjectMeta
    spec: AddressClaimSpec
