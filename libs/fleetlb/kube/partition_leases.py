"""The Leases under which managers act: one for each partition of tenants (ADR 11). Pure.

The Lease of the first partition says how many there are. Managers that were told another number do nothing.
"""

from fleetlb.domain.partitions import FLEET, MAX_PARTITIONS
from fleetlb.kube.lease_terms import Lease

MANAGER_LEASE = "fleetlb-manager"
"""Of the first partition; its holder acts for the whole fleet as well."""
PARTITIONS = "fleetlb.dev/partitions"
"""Annotation on that Lease: the number of partitions; without it there is one."""


def lease_name(partition: int) -> str:
    """The Lease of a partition."""
    return MANAGER_LEASE if partition == FLEET else f"{MANAGER_LEASE}-{partition}"


def partitions_of(lease: Lease | None) -> int:
    """How many partitions the fleet has, by its first Lease; whatever cannot be read is 1."""
    text = lease.metadata.annotations.get(PARTITIONS, "") if lease is not None else ""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 1
    return number if 1 <= number <= MAX_PARTITIONS else 1


def partitions_patch(lease: Lease, partitions: int) -> dict[str, object]:
    """MERGE: from now on there are so many, if the Lease is still as it was read."""
    meta = {"resourceVersion": lease.metadata.resource_version, "annotations": {PARTITIONS: str(partitions)}}
    return {"metadata": meta}
