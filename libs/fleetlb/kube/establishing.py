"""Custom resource definitions: apply them, and wait until their kinds can be used.

Must not know what the definitions define.
"""

import asyncio
from collections.abc import Iterable

from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import CRDS, Object

POLL_SECONDS = 0.05
"""Establishing takes the API server a fraction of a second; a watch would cost more than these few reads."""


async def apply_crds(cluster: Cluster, definitions: Iterable[Object], deadline_seconds: float = 30.0) -> None:
    """Server-side apply definitions and wait until all are established."""
    names = [(await cluster.apply(CRDS, definition))["metadata"]["name"] for definition in definitions]
    await wait_established(cluster, names, deadline_seconds)


async def wait_established(cluster: Cluster, names: Iterable[str], deadline_seconds: float = 30.0) -> None:
    """Wait until every named definition is established; raises TimeoutError that names those which are not."""
    missing = set(names)
    try:
        async with asyncio.timeout(deadline_seconds):
            while missing:
                for name in sorted(missing):
                    if await _is_established(cluster, name):
                        missing.discard(name)
                if missing:
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as late:
        raise TimeoutError(f"not established after {deadline_seconds} s: {', '.join(sorted(missing))}") from late


async def _is_established(cluster: Cluster, name: str) -> bool:
    try:
        definition = await cluster.get(CRDS, name)
    except (NotFound, Transient):
        return False
    conditions = (definition.get("status") or {}).get("conditions") or ()  # null right after creation
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
