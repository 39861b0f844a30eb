"""Looks at one Service from everywhere: from the hub, and from its tenant's own cluster. An adapter.

Writes nothing.
"""

import time
from contextlib import suppress
from pathlib import Path

from fleetlb.contracts.objects import NAME_LABEL, NAMESPACE_LABEL, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.explaining.gathering import Place, situation_of
from fleetlb.explaining.situation import Situation
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANTS
from fleetlb.kube.holding import Holders, holders
from fleetlb.kube.shown_services import WATCHED, Service
from fleetlb.runtime.bus import Bus
from fleetlb_cli.naming import Wanted
from fleetlb_cli.reaching import Target

NAME = "fleetlb-why"


async def look(cluster: Cluster, bus: Bus, target: Target, wanted: Wanted, namespace: str) -> list[Situation]:
    """Every Service of that name, by tenant. `namespace`: where the processes of the fleet hold their Leases.

    Raises ApiError and Transient.
    """
    tenants = [t for t in await cluster.list(TENANTS) if wanted.tenant in ("", t.metadata.name)]
    leases = await holders(cluster, namespace)
    places = [place for tenant in tenants for place in await _places(cluster, target, tenant, wanted)]
    found = [await situation_of(cluster, bus, place, leases) for place in places]
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
            tenant,
            item.spec.cluster_uid,
            item.metadata.name,
            wanted.namespace,
            wanted.name,
            item,
            _same(service, item),
            item.spec.cluster_uid == uid,
        )
        for item in balancers
    ]
    if service is not None and all(place.uid != service.metadata.uid for place in places):
        places.append(Place(tenant, uid, service.metadata.uid, wanted.namespace, wanted.name, None, service, True))
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


def _nothing(tenant: Tenant | None, wanted: Wanted, is_seen: bool, leases: Holders) -> Situation:
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
        manager=leases.manager_of(wanted.tenant),
        status=leases.status,
    )
