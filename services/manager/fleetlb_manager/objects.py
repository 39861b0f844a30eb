"""The manager's objects in the API server: the adapter behind the stores of its workers. Decides nothing.

Every change is conditional on the version it was decided on, so that a decision from an old picture changes nothing.
Spec changes of a LoadBalancer are conditional on its generation, because the status service writes beside us.
"""

from typing import Any

from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, ClaimPhase, LoadBalancer, LoadBalancerSpec
from fleetlb.contracts.tenants import TenantCluster
from fleetlb.domain.addresses import claim_name
from fleetlb.domain.services import TenantNode
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import Conflict, Invalid
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS, TENANT_CLUSTERS


class ClaimObjects:
    """AddressClaims."""

    def __init__(self, cluster: Cluster) -> None:
        """In the management cluster."""
        self._cluster = cluster

    async def create(self, claim: AddressClaim) -> AddressClaim:
        """Take an address. Raises AlreadyExists when it has an owner."""
        return await self._cluster.create(ADDRESS_CLAIMS, claim)

    async def read(self, address: str) -> AddressClaim:
        """Who has an address. Raises NotFound."""
        return await self._cluster.get(ADDRESS_CLAIMS, claim_name(address))

    async def set_shares(self, claim: AddressClaim, spec: AddressClaimSpec, generation: int) -> AddressClaim:
        """Change who has which ports of the address."""
        shares = {
            "owner": spec.owner,
            "ports": spec.ports,
            "sharingKey": spec.sharing_key or None,
            "sharers": spec.sharers or None,
            "leaving": spec.leaving or None,
        }
        return await self._change(claim, {**shares, "generation": generation})

    async def set_phase(
        self, claim: AddressClaim, phase: ClaimPhase, generation: int, released_at: str = ""
    ) -> AddressClaim:
        """Move the claim on in its life."""
        return await self._change(claim, {"phase": phase, "generation": generation, "releasedAt": released_at})

    async def set_place(self, claim: AddressClaim, spec: AddressClaimSpec) -> AddressClaim:
        """Change which groups carry the address. Its generation stays: what nodes serve by it is as right as before."""
        place = {
            "group": spec.group,
            "movingTo": spec.moving_to or None,
            "movingBack": spec.moving_back or None,
            "movingFrom": spec.moving_from or None,
        }
        return await self._change(claim, place)

    async def delete(self, claim: AddressClaim) -> None:
        """Free the address, if nothing changed since."""
        meta = claim.metadata
        await self._cluster.delete(ADDRESS_CLAIMS, meta.name, uid=meta.uid, resource_version=meta.resource_version)

    async def _change(self, claim: AddressClaim, spec: dict[str, Any]) -> AddressClaim:
        body = patching.merge_at(claim.metadata, spec=spec)
        return await self._cluster.patch(ADDRESS_CLAIMS, claim.metadata.name, body, kind=PatchKind.MERGE)


class LoadBalancerObjects:
    """LoadBalancers."""

    def __init__(self, cluster: Cluster) -> None:
        """In the management cluster."""
        self._cluster = cluster

    async def create(self, item: LoadBalancer) -> LoadBalancer:
        """Make the object of a Service."""
        return await self._cluster.create(LOAD_BALANCERS, item)

    async def read(self, name: str, namespace: str) -> LoadBalancer:
        """The object as it is. Raises NotFound."""
        return await self._cluster.get(LOAD_BALANCERS, name, namespace)

    async def set_spec(self, item: LoadBalancer, spec: LoadBalancerSpec) -> LoadBalancer:
        """Replace the spec of this generation of this object. Raises Conflict when it is another."""
        meta = item.metadata
        body = [
            {"op": "test", "path": "/metadata/generation", "value": meta.generation},
            *patching.replace_part(meta.uid, "spec", spec),
        ]
        try:
            return await self._cluster.patch(
                LOAD_BALANCERS, meta.name, body, kind=PatchKind.JSON, namespace=meta.namespace
            )
        except Invalid as problem:
            raise Conflict(str(problem), status=problem.status, reason=problem.reason) from problem

    async def delete(self, item: LoadBalancer) -> None:
        """Remove this very object."""
        meta = item.metadata
        await self._cluster.delete(LOAD_BALANCERS, meta.name, meta.namespace, uid=meta.uid)


class ClusterObjects:
    """TenantClusters."""

    def __init__(self, cluster: Cluster) -> None:
        """In the management cluster."""
        self._cluster = cluster

    async def create(self, item: TenantCluster) -> TenantCluster:
        """Make the object of a tenant cluster."""
        return await self._cluster.create(TENANT_CLUSTERS, item)

    async def read(self, name: str, namespace: str) -> TenantCluster:
        """The object as it is. Raises NotFound."""
        return await self._cluster.get(TENANT_CLUSTERS, name, namespace)

    async def set_nodes(self, item: TenantCluster, nodes: tuple[TenantNode, ...]) -> TenantCluster:
        """Replace the nodes."""
        return await self._patch(item, patching.merge(item.metadata.uid, spec={"nodes": nodes}))

    async def set_status(self, item: TenantCluster, status: dict[str, Any]) -> TenantCluster:
        """Say what is known of the watcher."""
        return await self._patch(item, patching.merge(item.metadata.uid, status=status), subresource="status")

    async def _patch(self, item: TenantCluster, body: object, subresource: str | None = None) -> TenantCluster:
        meta = item.metadata
        return await self._cluster.patch(
            TENANT_CLUSTERS,
            meta.name,
            body,
            kind=PatchKind.MERGE,
            namespace=meta.namespace,
            subresource=subresource,
        )
