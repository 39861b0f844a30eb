"""Which partition a tenant belongs to: managers share a fleet by partitions of its tenants (ADR 11). Pure."""

import zlib

FLEET = 0
"""The partition that sees to what is no tenant's: pools, balancer groups, and what nobody owns any more."""
MAX_PARTITIONS = 64


def partition_of(tenant: str, partitions: int) -> int:
    """From 0 to `partitions` - 1: the same in every process and in every release, for a Lease stands for it."""
    return zlib.crc32(tenant.encode()) % partitions
