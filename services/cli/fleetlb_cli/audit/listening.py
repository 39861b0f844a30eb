"""Whose watchers are silent, for the metrics of an audit that goes on: they often cannot be scraped from here."""

import time
from collections.abc import Iterable, Mapping

import prometheus_client

from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import TENANT_CLUSTERS, TENANTS
from fleetlb.runtime.bus import Bus
from fleetlb_cli.status.gathering import heard_watchers
from fleetlb_cli.status.judging import SERVED
from fleetlb_cli.status.viewing import silent, state_of_tenant

SILENT = prometheus_client.Gauge(
    "fleetlb_audit_silent_watchers", "Clusters whose watcher was not heard for a minute, by tenant.", ["tenant"]
)


class Listener:
    """Counts again and again."""

    def __init__(self) -> None:
        """Nobody was counted."""
        self._tenants: frozenset[str] = frozenset()

    async def listen(self, cluster: Cluster, bus: Bus) -> None:
        """Count whose watchers are silent now. Raises FleetlbError."""
        tenants, clusters = await cluster.list(TENANTS), await cluster.list(TENANT_CLUSTERS)
        counted = silent_by_tenant(tenants, clusters, await heard_watchers(bus, tenants, clusters), time.time())
        for tenant, count in counted.items():
            SILENT.labels(tenant).set(count)
        for tenant in self._tenants - counted.keys():
            SILENT.remove(tenant)
        self._tenants = frozenset(counted)


def silent_by_tenant(
    tenants: Iterable[Tenant], clusters: Iterable[TenantCluster], heard: Mapping[str, float], now: float
) -> dict[str, int]:
    """How many clusters of each tenant are silent; who is suspended, or to be removed, needs no watcher.

    `heard`: by cluster; both in seconds since 1970.
    """
    of_tenant: dict[str, list[TenantCluster]] = {}
    for cluster in clusters:
        of_tenant.setdefault(cluster.spec.tenant, []).append(cluster)
    names = [tenant.metadata.name for tenant in tenants if state_of_tenant(tenant) == SERVED]
    return {name: len(silent(of_tenant.get(name, ()), heard, now)) for name in names}
