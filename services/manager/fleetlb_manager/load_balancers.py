"""The LoadBalancer and TenantCluster objects as last known, by identity. Pure memory; every operation is O(1)."""

from collections.abc import Collection, Iterable
from typing import TypeVar

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import LoadBalancer
from fleetlb.contracts.tenants import TenantCluster
from fleetlb_manager.identities import ClusterKey, ServiceKey, namespace_of
from fleetlb_manager.newest import Newest

K = TypeVar("K")


class LoadBalancers:
    """All LoadBalancers."""

    def __init__(self) -> None:
        """None known."""
        self._newest: Newest[LoadBalancer] = Newest()
        self._in_cluster: dict[ClusterKey, set[ServiceKey]] = {}
        self._in_group: dict[str, set[ServiceKey]] = {}
        self._of_tenant: dict[str, set[ServiceKey]] = {}
        self._live: dict[str, set[ServiceKey]] = {}
        self._wanting: dict[ServiceKey, None] = {}

    def get(self, key: ServiceKey) -> LoadBalancer | None:
        """The object of a Service; an object of that name that speaks of another cluster is not it."""
        found = self._newest.get(key.uid, namespace_of(key.tenant))
        return found if found is not None and key_of(found) == key else None

    def services(self) -> Iterable[ServiceKey]:
        """Services that have an object."""
        return (key for keys in self._in_cluster.values() for key in keys)

    def in_cluster(self, cluster: ClusterKey) -> Iterable[ServiceKey]:
        """Services of one cluster that have an object."""
        return self._in_cluster.get(cluster, ())

    def in_group(self, group: str) -> Iterable[ServiceKey]:
        """Services whose object has its addresses in one balancer group."""
        return self._in_group.get(group, ())

    def of_tenant(self, tenant: str) -> Collection[ServiceKey]:
        """Services of one tenant that have an object."""
        return self._of_tenant.get(tenant, ())

    def live(self, tenant: str) -> int:
        """How many objects of one tenant have addresses."""
        return len(self._live.get(tenant, ()))

    def wanting(self) -> Iterable[ServiceKey]:
        """Services whose object says no, or has fewer addresses than the Service would like to have."""
        return self._wanting

    def put(self, item: LoadBalancer) -> ServiceKey | None:
        """Note a version of an object; the Service if its spec is not what was known."""
        key = key_of(item)
        known = self._newest.get(item.metadata.name, item.metadata.namespace)
        if not self._newest.put(item):
            return None
        if known is not None and (key_of(known), known.spec.group) != (key, item.spec.group):
            self._forget(known)
        self._in_cluster.setdefault(key.cluster_key, set()).add(key)
        self._in_group.setdefault(item.spec.group, set()).add(key)
        self._of_tenant.setdefault(key.tenant, set()).add(key)
        if item.spec.addresses:
            self._live.setdefault(key.tenant, set()).add(key)
        else:
            _take_out(self._live, key.tenant, key)
        if item.spec.refusal or item.spec.is_short:
            self._wanting[key] = None
        else:
            self._wanting.pop(key, None)
        same = known is not None and known.metadata.uid == item.metadata.uid and known.spec == item.spec
        return None if same else key

    def drop(self, meta: ObjectMeta) -> ServiceKey | None:
        """Note that an object is deleted; its Service if it was known."""
        known = self._newest.drop(meta)
        if known is None:
            return None
        self._forget(known)
        return key_of(known)

    def _forget(self, item: LoadBalancer) -> None:
        key = key_of(item)
        self._wanting.pop(key, None)
        _take_out(self._in_cluster, key.cluster_key, key)
        _take_out(self._in_group, item.spec.group, key)
        _take_out(self._of_tenant, key.tenant, key)
        _take_out(self._live, key.tenant, key)


def _take_out(index: dict[K, set[ServiceKey]], place: K, key: ServiceKey) -> None:
    keys = index.get(place, set())
    keys.discard(key)
    if not keys:
        index.pop(place, None)


class TenantClusters:
    """All TenantClusters."""

    def __init__(self) -> None:
        """None known."""
        self._newest: Newest[TenantCluster] = Newest()

    def get(self, key: ClusterKey) -> TenantCluster | None:
        """The object of a cluster."""
        return self._newest.get(key.cluster, namespace_of(key.tenant))

    def of_tenant(self, tenant: str) -> list[TenantCluster]:
        """The objects of one tenant. O(all), for what an operator does once."""
        return [item for item in self._newest.values() if item.metadata.namespace == namespace_of(tenant)]

    def put(self, item: TenantCluster) -> ClusterKey | None:
        """Note a version of an object; the cluster if its nodes are not what was known."""
        key = cluster_of(item)
        known = self.get(key)
        if not self._newest.put(item):
            return None
        return key if known is None or known.spec != item.spec else None

    def drop(self, meta: ObjectMeta) -> ClusterKey | None:
        """Note that an object is deleted; its cluster if it was known."""
        known = self._newest.drop(meta)
        return cluster_of(known) if known else None


def key_of(item: LoadBalancer) -> ServiceKey:
    """Whose load balancer it is. The tenant is who owns the namespace, whatever the spec says."""
    return ServiceKey(_tenant(item.metadata), item.spec.cluster_uid, item.metadata.name)


def cluster_of(item: TenantCluster) -> ClusterKey:
    """Which cluster it describes."""
    return ClusterKey(_tenant(item.metadata), item.metadata.name)


def _tenant(meta: ObjectMeta) -> str:
    return meta.namespace.removeprefix("tenant-")
