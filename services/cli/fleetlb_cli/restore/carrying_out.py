"""Carries out what was decided about a store that went back, and opens the gate. Each step can be repeated."""

import contextlib

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import TENANT_LABEL, AddressClaim, AddressClaimSpec, ClaimOwner, ClaimShare
from fleetlb.domain.addresses import claim_name
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS
from fleetlb.kube.lease_marks import objection_of, opening_patch
from fleetlb.kube.lease_terms import Lease
from fleetlb.kube.leases import TYPED_LEASES
from fleetlb_cli.restore.deciding import Reclaim, Served, Step, Unmake


async def closed_leases(cluster: Cluster, namespace: str) -> list[Lease]:
    """The Leases whose holders wait for an operator. Raises ApiError."""
    return [lease for lease in await cluster.list(TYPED_LEASES, namespace) if objection_of(lease)]


async def carry_out(cluster: Cluster, step: Step) -> None:
    """One step. Raises ApiError: Conflict or AlreadyExists when somebody else changed something meanwhile."""
    if isinstance(step, Unmake):
        meta = step.item.metadata
        with contextlib.suppress(NotFound):
            await cluster.delete(LOAD_BALANCERS, meta.name, meta.namespace, uid=meta.uid)
        return
    if step.instead_of is not None:
        old = step.instead_of.metadata
        with contextlib.suppress(NotFound):
            await cluster.delete(ADDRESS_CLAIMS, old.name, uid=old.uid, resource_version=old.resource_version)
    await cluster.create(ADDRESS_CLAIMS, claim_of(step))


async def open_gate(cluster: Cluster, lease: Lease) -> None:
    """From now on the holder of this Lease acts again. Raises Conflict if it was written meanwhile."""
    meta = lease.metadata
    body = opening_patch(lease)
    await cluster.patch(TYPED_LEASES, meta.name, body, kind=PatchKind.MERGE, namespace=meta.namespace)


def claim_of(step: Reclaim) -> AddressClaim:
    """The claim of whom an address is served for."""
    serving = step.serving
    first, *others = [ClaimShare(owner=_owner(step, share), ports=share.ports) for share in serving.shares]
    return AddressClaim(
        metadata=ObjectMeta(name=claim_name(serving.address), labels={TENANT_LABEL: serving.owner.tenant}),
        spec=AddressClaimSpec(
            address=serving.address,
            pool=step.pool,
            group=serving.group,
            moving_from=serving.beside,
            owner=first.owner,
            ports=first.ports,
            sharers=tuple(others),
            sharing_key=step.names[serving.owner].sharing_key,
            generation=serving.generation,
        ),
    )


def _owner(step: Reclaim, share: Served) -> ClaimOwner:
    names = step.names[share.owner]
    return ClaimOwner(
        tenant=share.owner.tenant,
        cluster_uid=share.owner.cluster_uid,
        service_uid=share.owner.service_uid,
        namespace=names.namespace,
        name=names.name,
    )
