"""All that is to be known of one tenant, but no secret. Pure."""

from collections.abc import Iterable

import msgspec

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.contracts.tenants import Revocation, Tenant, TenantCluster
from fleetlb.domain.conditions import SERVING, Condition, Status
from fleetlb_cli.tenants.listing import Share
from fleetlb_cli.tenants.offering import Offer, good_until
from fleetlb_cli.tenants.times import spelled


class ClusterDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the tenant's clusters, and its watcher as last heard."""

    uid: str
    watcher_version: str
    services: int
    last_contact: str


class LoadBalancerDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One Service; `reason` says why it is refused, or else how its condition Serving came about."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    serving: Status
    reason: str


class OfferDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The credentials to join with; what is empty is never."""

    issued: str
    expires: str
    good_until: str


class Details(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tenant."""

    name: str
    being_removed: bool
    node_cidrs: tuple[str, ...] = msgspec.field(name="nodeCIDRs")
    pod_cidrs: tuple[str, ...] = msgspec.field(name="podCIDRs")
    node_port_range: str
    pools: tuple[str, ...]
    groups: tuple[str, ...]
    load_balancers: Share
    addresses: Share
    ports: Share
    suspended: bool
    credentials: OfferDetails | None
    revoked: Revocation | None
    conditions: tuple[Condition, ...]
    clusters: tuple[ClusterDetails, ...]
    services: tuple[LoadBalancerDetails, ...]
    """Those that do not serve first."""


def details_of(
    tenant: Tenant, clusters: Iterable[TenantCluster], balancers: Iterable[LoadBalancer], offer: Offer | None
) -> Details:
    """Put together from its objects."""
    spec, used, quotas = tenant.spec, tenant.status.usage, tenant.spec.quotas
    return Details(
        name=tenant.metadata.name,
        being_removed=tenant.metadata.deletion_timestamp is not None,
        node_cidrs=spec.node_cidrs,
        pod_cidrs=spec.pod_cidrs,
        node_port_range=spec.node_port_range,
        pools=spec.pools,
        groups=spec.groups,
        load_balancers=Share(used.load_balancers, quotas.load_balancers),
        addresses=Share(used.addresses, quotas.addresses),
        ports=Share(used.ports, quotas.ports),
        suspended=spec.suspended,
        credentials=None if offer is None else _offered(tenant, offer),
        revoked=spec.credentials.revoked,
        conditions=tenant.status.conditions,
        clusters=tuple(sorted(map(_cluster, clusters), key=lambda each: each.uid)),
        services=tuple(sorted(map(_balancer, balancers), key=_trouble_first)),
    )


def _offered(tenant: Tenant, offer: Offer) -> OfferDetails:
    return OfferDetails(
        issued=spelled(offer.issued_at),
        expires=_moment(offer.expires_at),
        good_until=_moment(good_until(tenant, offer)),
    )


def _moment(seconds: int | None) -> str:
    return "" if seconds is None else spelled(seconds)


def _cluster(item: TenantCluster) -> ClusterDetails:
    return ClusterDetails(
        uid=item.metadata.name,
        watcher_version=item.status.watcher_version,
        services=item.status.services,
        last_contact=item.status.last_contact,
    )


def _balancer(item: LoadBalancer) -> LoadBalancerDetails:
    serving = next((c for c in item.status.conditions if c.type == SERVING), None)
    reason = serving.reason if serving else ""
    return LoadBalancerDetails(
        namespace=item.spec.service.namespace,
        name=item.spec.service.name,
        addresses=item.spec.addresses,
        serving=serving.status if serving else Status.UNKNOWN,
        reason=item.spec.refusal.reason.value if item.spec.refusal else reason,
    )


def _trouble_first(item: LoadBalancerDetails) -> tuple[bool, str, str]:
    return item.serving is Status.TRUE, item.namespace, item.name
