"""Looks at one Service from everywhere: management cluster, the hub's streams, its tenant's own cluster. An adapter.

Writes nothing. Reads single objects and messages by their names, so it costs the same in a large fleet; only the claims
of an address that is being let go of are found by listing.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import (
    NAME_LABEL,
    NAMESPACE_LABEL,
    TENANT_LABEL,
    AddressClaim,
    AddressClaimSpec,
    BalancerGroup,
    LoadBalancer,
)
from fleetlb.contracts.streams import desired_stream, observed_stream, realized_stream
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import ServiceObserved, VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.errors import Poison
from fleetlb.domain.planning import keys_of
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, BALANCER_GROUPS, LOAD_BALANCERS, TENANTS
from fleetlb.runtime.bus import Bus
from fleetlb_cli.holding import STATUS, Held, held, manager_of, managers
from fleetlb_cli.naming import Wanted
from fleetlb_cli.reaching import Target
from fleetlb_cli.reading import Kept, last_message
from fleetlb_cli.seeing import WATCHED, Service
from fleetlb_cli.why.situation import Said, Situation

NAME = "fleetlb-why"


class Leases(NamedTuple):
    """Who does the hub's work."""

    managers: tuple[Held, ...]
    status: Held


class Place(NamedTuple):
    """Whose Service, and where."""

    tenant: Tenant
    cluster: str
    uid: str
    service: Service | None
    is_tenant_seen: bool
    balancer: LoadBalancer | None


async def look(cluster: Cluster, bus: Bus, target: Target, wanted: Wanted, namespace: str) -> list[Situation]:
    """Every Service of that name, by tenant. `namespace`: where the processes of the fleet hold their Leases.

    Raises ApiError and Transient.
    """
    tenants = [t for t in await cluster.list(TENANTS) if wanted.tenant in ("", t.metadata.name)]
    leases = Leases(await managers(cluster, namespace), await held(cluster, namespace, STATUS))
    places = [place for tenant in tenants for place in await _places(cluster, target, tenant, wanted)]
    found = [await _situation(cluster, bus, place, wanted, leases) for place in places]
    if not found and wanted.tenant:
        named = next((t for t in tenants), None)
        found.append(_nothing(named, wanted, named is not None and wanted.tenant in target.tenants, leases))
    return found


async def _places(cluster: Cluster, target: Target, tenant: Tenant, wanted: Wanted) -> list[Place]:
    """Where a Service of that name is known, by the hub or by the tenant's own cluster."""
    selector = f"{NAMESPACE_LABEL}={wanted.namespace},{NAME_LABEL}={wanted.name}"
    balancers = await cluster.list(LOAD_BALANCERS, tenant.namespace, label_selector=selector)
    kubeconfig = target.tenants.get(tenant.metadata.name)
    uid, service = await _own_view(kubeconfig, wanted) if kubeconfig else ("", None)
    places = [
        Place(
            tenant, item.spec.cluster_uid, item.metadata.name, _same(service, item), item.spec.cluster_uid == uid, item
        )
        for item in balancers
    ]
    if service is not None and all(place.uid != service.metadata.uid for place in places):
        places.append(Place(tenant, uid, service.metadata.uid, service, True, None))
    return places


def _same(service: Service | None, item: LoadBalancer) -> Service | None:
    return service if service is not None and service.metadata.uid == item.metadata.name else None


async def _own_view(kubeconfig: Path, wanted: Wanted) -> tuple[str, Service | None]:
    """UID of the tenant's cluster, and the Service there."""
    own = await Cluster.connect(kubeconfig, field_manager=NAME)
    try:
        uid = await own.uid()
        with suppress(NotFound):
            return uid, await own.get(WATCHED, wanted.name, wanted.namespace)
        return uid, None
    finally:
        await own.close()


async def _situation(cluster: Cluster, bus: Bus, place: Place, wanted: Wanted, leases: Leases) -> Situation:
    account, balancer = place.tenant.status.account, place.balancer
    observed = inventory = None
    if account:
        stream = observed_stream(account).name
        observed = await last_message(bus, stream, subjects.observed_service(account, place.cluster, place.uid))
        inventory = await last_message(bus, stream, subjects.observed_inventory(account, place.cluster))
    group = await _group(cluster, balancer)
    keys = keys_of(balancer.spec.addresses, balancer.spec.service.ports) if balancer else ()
    return Situation(
        tenant_name=place.tenant.metadata.name,
        namespace=wanted.namespace,
        name=wanted.name,
        now=time.time(),
        tenant=place.tenant,
        is_tenant_seen=place.is_tenant_seen,
        service=place.service,
        observed=_decoded(observed),
        watcher_heard=inventory.at if inventory else None,
        balancer=balancer,
        claims=await _claims(cluster, place),
        group=group,
        desired=await _desired(bus, group, keys),
        realized=await _realized(bus, group, keys),
        manager=manager_of(place.tenant.metadata.name, leases.managers),
        status=leases.status,
    )


def _nothing(tenant: Tenant | None, wanted: Wanted, is_seen: bool, leases: Leases) -> Situation:
    """Nobody knows such a Service."""
    return Situation(
        tenant_name=wanted.tenant,
        namespace=wanted.namespace,
        name=wanted.name,
        now=time.time(),
        tenant=tenant,
        is_tenant_seen=is_seen,
        desired={},
        realized={},
        manager=manager_of(wanted.tenant, leases.managers),
        status=leases.status,
    )


def _decoded(kept: Kept | None) -> ServiceObserved | None:
    if kept is None or not kept.data:
        return None
    with suppress(Poison):
        return codec.decode(ServiceObserved, kept.data)
    return None


async def _group(cluster: Cluster, balancer: LoadBalancer | None) -> BalancerGroup | None:
    if balancer is not None and balancer.spec.group:
        with suppress(NotFound):
            return await cluster.get(BALANCER_GROUPS, balancer.spec.group)
    return None


async def _claims(cluster: Cluster, place: Place) -> tuple[AddressClaim, ...]:
    selector = f"{TENANT_LABEL}={place.tenant.metadata.name}"
    claims = await cluster.list(ADDRESS_CLAIMS, label_selector=selector)
    return tuple(claim for claim in claims if place.uid in _everybody(claim.spec))


def _everybody(spec: AddressClaimSpec) -> set[str]:
    """UIDs of those who have the address, or a part of it, or are leaving it."""
    return {owner.service_uid for owner in (spec.owner, *(share.owner for share in (*spec.sharers, *spec.leaving)))}


async def _desired(
    bus: Bus, group: BalancerGroup | None, keys: tuple[VirtualServerKey, ...]
) -> dict[VirtualServerKey, VirtualServerDesired]:
    found = {}
    for key in keys if group else ():
        name = group.metadata.name if group else ""
        kept = await last_message(bus, desired_stream(name).name, subjects.desired(name, key))
        if kept is not None and kept.data:
            with suppress(Poison):
                found[key] = codec.decode(VirtualServerDesired, kept.data)
    return found


async def _realized(
    bus: Bus, group: BalancerGroup | None, keys: tuple[VirtualServerKey, ...]
) -> dict[str, dict[VirtualServerKey, Said]]:
    found: dict[str, dict[VirtualServerKey, Said]] = {}
    for node in group.spec.nodes if group else ():
        name = group.metadata.name if group else ""
        for key in keys:
            kept = await last_message(bus, realized_stream(name).name, subjects.realized(name, node, key))
            if kept is not None and kept.data:
                with suppress(Poison):
                    word = codec.decode(VirtualServerRealized, kept.data)
                    found.setdefault(node, {})[key] = Said(word, kept.trace, kept.at)
    return found
