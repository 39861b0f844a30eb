"""Who holds a Lease of the fleet, as an outsider sees it. An adapter; writes nothing."""

import time
from datetime import datetime

import msgspec

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.lease_marks import objection_of
from fleetlb.kube.leases import TYPED_LEASES

MANAGER, STATUS = "fleetlb-manager", "fleetlb-status"
"""The Leases of the hub's processes."""
SKEW_SECONDS = 5.0
"""How far the clocks of two machines may be apart."""


class Held(msgspec.Struct, frozen=True):
    """Who holds a Lease, if anybody."""

    name: str
    holder: str
    is_held: bool
    objection: str = ""
    """Why its holder does nothing all the same."""


async def held(cluster: Cluster, namespace: str, name: str) -> Held:
    """Whether somebody renewed a Lease not long ago, by this machine's clock. Raises ApiError."""
    try:
        lease = await cluster.get(TYPED_LEASES, name, namespace)
    except NotFound:
        return Held(name, "", False)
    spec = lease.spec
    if not spec.holder_identity or not spec.renew_time:
        return Held(name, "", False)
    age = time.time() - datetime.fromisoformat(spec.renew_time).timestamp()
    return Held(
        name, spec.holder_identity, age <= (spec.lease_duration_seconds or 0) + SKEW_SECONDS, objection_of(lease)
    )
