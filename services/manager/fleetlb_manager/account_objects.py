"""Namespaces, Secrets, and the statuses and finalizers that are ours, in the API server: an adapter.

Decides nothing, keeps nothing.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar

from fleetlb.contracts.objects import AddressPool, BalancerGroup
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, TENANT_CLUSTERS, TENANTS
from fleetlb.kube.resources import NAMESPACES, SECRETS, HasMetadata, Resource
from fleetlb_manager.minting import Object

K = TypeVar("K", bound=HasMetadata)


class AccountObjects:
    """What a tenant needs to connect."""

    def __init__(self, cluster: Cluster) -> None:
        """In the management cluster."""
        self._cluster = cluster

    async def read_namespace(self, name: str) -> Object:
        """A namespace. Raises NotFound."""
        return await self._cluster.get(NAMESPACES, name)

    async def create_namespace(self, item: Object) -> None:
        """Make a namespace. Raises AlreadyExists."""
        await self._cluster.create(NAMESPACES, item)

    async def read_secret(self, name: str, namespace: str) -> Object:
        """A Secret. Raises NotFound."""
        return await self._cluster.get(SECRETS, name, namespace)

    async def create_secret(self, item: Object) -> Object:
        """Make a Secret. Raises AlreadyExists."""
        return await self._cluster.create(SECRETS, item)

    async def replace_secret_data(self, name: str, namespace: str, item: Object) -> None:
        """Put other data into a Secret."""
        body = {"data": item["data"]}
        await self._cluster.patch(SECRETS, name, body, kind=PatchKind.MERGE, namespace=namespace)

    async def delete_secret(self, name: str, namespace: str) -> None:
        """Remove a Secret, if there is one."""
        with contextlib.suppress(NotFound):
            await self._cluster.delete(SECRETS, name, namespace)

    async def delete_namespace(self, item: Object) -> None:
        """Begin the end of this very namespace, if it is there."""
        meta = item["metadata"]
        with contextlib.suppress(NotFound):
            await self._cluster.delete(NAMESPACES, meta["name"], uid=meta["uid"])

    async def delete_cluster(self, item: TenantCluster) -> None:
        """Remove this very TenantCluster, if it is there."""
        meta = item.metadata
        with contextlib.suppress(NotFound):
            await self._cluster.delete(TENANT_CLUSTERS, meta.name, meta.namespace, uid=meta.uid)

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        """Replace the finalizers of this version of a Tenant."""
        return await self._set_finalizers(TENANTS, tenant, finalizers)

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        """Say how a Tenant is."""
        return await self._set_status(TENANTS, tenant, status)

    async def set_pool_status(self, pool: AddressPool, status: dict[str, Any]) -> AddressPool:
        """Say how full a pool is."""
        return await self._set_status(ADDRESS_POOLS, pool, status)

    async def set_group_status(self, group: BalancerGroup, status: dict[str, Any]) -> BalancerGroup:
        """Say how a group's nodes are."""
        return await self._set_status(BALANCER_GROUPS, group, status)

    async def set_pool_finalizers(self, pool: AddressPool, finalizers: Sequence[str]) -> AddressPool:
        """Replace the finalizers of this version of a pool."""
        return await self._set_finalizers(ADDRESS_POOLS, pool, finalizers)

    async def _set_finalizers(self, res: Resource[K], item: K, finalizers: Sequence[str]) -> K:
        body = patching.set_finalizers(item.metadata, finalizers)
        return await self._cluster.patch(res, item.metadata.name, body, kind=PatchKind.MERGE)

    async def _set_status(self, res: Resource[K], item: K, status: dict[str, Any]) -> K:
        meta = item.metadata
        body = patching.merge(meta.uid, status=status)
        return await self._cluster.patch(res, meta.name, body, kind=PatchKind.MERGE, subresource="status")
