"""Who holds a Lease of the fleet, as an outsider sees it. An adapter; writes nothing."""

import time
from datetime import datetime
from typing import NamedTuple

import msgspec

from fleetlb.domain.partitions import partition_of
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.lease_marks import objection_of
from fleetlb.kube.lease_terms import Lease, LeaseSpec
from fleetlb.kube.leases import TYPED_LEASES
from fleetlb.kube.partition_leases import MANAGER_LEASE, lease_name, partitions_of

STATUS = "fleetlb-status"
"""The Lease of the status service."""
SKEW_SECONDS = 5.0
"""How far the clocks of two machines may be apart."""


class Held(msgspec.Struct, frozen=True):
    """Who holds a Lease, if anybody."""

    name: str
    holder: str
    is_held: bool
    objection: str = ""
    """Why its holder does nothing all the same."""


class Holders(NamedTuple):
    """Who does the hub's work."""

    managers: tuple[Held, ...]
    """Of each partition of tenants, by number."""
    status: Held

    def manager_of(self, tenant: str) -> Held:
        """Who decides about a tenant."""
        return self.managers[partition_of(tenant, len(self.managers))]


async def held(cluster: Cluster, namespace: str, name: str) -> Held:
    """Whether somebody renewed a Lease not long ago, by this machine's clock. Raises ApiError."""
    return _held(name, await _lease(cluster, namespace, name))


async def managers(cluster: Cluster, namespace: str) -> tuple[Held, ...]:
    """The same of each partition of tenants, by number. What is in the way of the first is in the way of all.

    Raises ApiError.
    """
    lease = await _lease(cluster, namespace, MANAGER_LEASE)
    first = _held(MANAGER_LEASE, lease)
    others = [await held(cluster, namespace, lease_name(number)) for number in range(1, partitions_of(lease))]
    return (first, *(msgspec.structs.replace(other, objection=first.objection) for other in others))


async def holders(cluster: Cluster, namespace: str) -> Holders:
    """All of them. Raises ApiError."""
    return Holders(await managers(cluster, namespace), await held(cluster, namespace, STATUS))


async def _lease(cluster: Cluster, namespace: str, name: str) -> Lease | None:
    try:
        return await cluster.get(TYPED_LEASES, name, namespace)
    except NotFound:
        return None


def _held(name: str, lease: Lease | None) -> Held:
    spec = lease.spec if lease is not None else LeaseSpec()
    if not spec.holder_identity or not spec.renew_time:
        return Held(name, "", False)
    age = time.time() - datetime.fromisoformat(spec.renew_time).timestamp()
    is_held = age <= (spec.lease_duration_seconds or 0) + SKEW_SECONDS
    return Held(name, spec.holder_identity, is_held, objection_of(lease))
