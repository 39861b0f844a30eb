"""Tenants and their clusters, as objects of `fleetlb.dev/v1alpha1`: what is granted, and what came of it."""

from typing import Annotated

import msgspec

from fleetlb.contracts.object_meta import Name, ObjectMeta, Part, Text
from fleetlb.domain.conditions import Condition
from fleetlb.domain.services import TenantNode
from fleetlb.domain.virtual_servers import FailurePolicy

TENANT_FINALIZER = "fleetlb.dev/tenant-cleanup"
"""Keeps a Tenant that is deleted until nothing is left that the hub made for it."""
CONFIRM_REMOVAL = "fleetlb.dev/confirm-removal"
"""The annotation that, with the Tenant's own name, lets a deleted Tenant go although its load balancers are live."""

WATCHER_CREDENTIALS_SECRET = "fleetlb-watcher-creds"  # noqa: S105 - the name of an object
WATCHER_CREDENTIALS_KEY = "nats.creds"


class Quotas(Part, frozen=True, kw_only=True):
    """Upper bounds for one tenant; absent: no bound."""

    load_balancers: Annotated[int, msgspec.Meta(ge=0)] | None = None
    addresses: Annotated[int, msgspec.Meta(ge=0)] | None = None
    ports: Annotated[int, msgspec.Meta(ge=0)] | None = None


class AnnotationRules(Part, frozen=True, kw_only=True):
    """Which annotations of `fleetlb.dev/` a tenant may use, named with or without the prefix."""

    allow: Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)] | None = None
    """Only these; absent: all."""
    deny: Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)] = ()
    """None of these, whatever `allow` says."""
    default: Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=253)]], msgspec.Meta(max_length=32)] = (
        msgspec.field(default_factory=dict)
    )
    """Values for Services that say nothing; also of annotations that the tenant may not use itself."""


Moment = Annotated[str, msgspec.Meta(max_length=40, extra_json_schema={"format": "date-time"})]


class Revocation(Part, frozen=True, kw_only=True):
    """Which credentials of a tenant's watchers are void, by the time they were issued at (RFC 3339)."""

    issued_before: Moment
    """What was issued before this time is void."""
    at: Moment = ""
    """From this time on; until then watchers renew theirs and lose nothing. Absent: at once; they must join anew."""


class CredentialRules(Part, frozen=True, kw_only=True):
    """What holds for the credentials of a tenant's watchers."""

    revoked: Revocation | None = None


class TenantSpec(Part, frozen=True, kw_only=True):
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
    healthy alone, or by none, and a VIP with none is announced no more."""


class TenantUsage(Part, frozen=True, kw_only=True):
    """What a tenant holds now."""

    load_balancers: int = 0
    addresses: int = 0
    ports: int = 0


class TenantStatus(Part, frozen=True, kw_only=True):
    """What the manager made of a Tenant."""

    account: str = ""
    """Public key of the tenant's NATS account."""
    namespace: str = ""
    void_before: str = ""
    """Credentials issued before this time were void once, and stay so whatever the spec says later (RFC 3339)."""
    usage: TenantUsage = TenantUsage()
    conditions: tuple[Condition, ...] = ()


class Tenant(Part, frozen=True, kw_only=True):
    """An owner of clusters and quota."""

    metadata: ObjectMeta
    spec: TenantSpec
    status: TenantStatus = TenantStatus()

    @property
    def namespace(self) -> str:
        """The tenant's namespace in the management cluster."""
        return f"tenant-{self.metadata.name}"


class TenantClusterSpec(Part, frozen=True, kw_only=True):
    """A tenant cluster's nodes, kept by the manager from what its watcher observed."""

    tenant: str
    nodes: tuple[TenantNode, ...] = ()


class TenantClusterStatus(Part, frozen=True, kw_only=True):
    """What is known of the cluster's watcher."""

    last_contact: str = ""
    watcher_version: str = ""
    services: int = 0


class TenantCluster(Part, frozen=True, kw_only=True):
    """One tenant cluster; named by the UID of its kube-system namespace."""

    metadata: ObjectMeta
    spec: TenantClusterSpec
    status: TenantClusterStatus = TenantClusterStatus()
