"""Keeps LoadBalancer.status equal to the verdict: a little later than the report, and only where it differs."""

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Counter

from fleetlb.contracts.objects import LoadBalancer, LoadBalancerStatus
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb.kube.fleet_objects import LOAD_BALANCERS
from fleetlb.kube.patching import merge
from fleetlb_status.judging import Clock, Judging, Patience, Term
from fleetlb_status.memory import Key
from fleetlb_status.reporting import status_body, status_of

DEBOUNCE_SECONDS = 0.2
"""Changes come in bursts, one per port and node; API writes are the scarce thing."""
UNSETTLED_SECONDS = 2.0
"""A verdict that is only "in progress" waits so long for a better one: most Services cost one write."""

STATUS_WRITES = Counter("fleetlb_load_balancer_status_writes_total", "Writes of LoadBalancer.status.")


class StatusWriter(Protocol):
    """Where LoadBalancer objects are."""

    async def write_status(self, balancer: LoadBalancer, status: LoadBalancerStatus) -> LoadBalancer | None:
        """Write; the object as it is now, or None when it is gone."""


class KubernetesStatusWriter:
    """Writes through the API server."""

    def __init__(self, cluster: Cluster) -> None:
        """A cluster with the LoadBalancer objects."""
        self._cluster = cluster

    async def write_status(self, balancer: LoadBalancer, status: LoadBalancerStatus) -> LoadBalancer | None:
        """Write to exactly this object; one that is gone, or another of its name, is left alone."""
        metadata = balancer.metadata
        with contextlib.suppress(NotFound, Conflict):
            return await self._cluster.patch(
                LOAD_BALANCERS,
                metadata.name,
                merge(metadata.uid, status=status_body(status)),
                kind=PatchKind.MERGE,
                namespace=metadata.namespace,
                subresource="status",
            )
        return None


def moment(seconds: float) -> str:
    """RFC 3339, of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _wall() -> str:
    return moment(time.time())


class ObjectWriter:
    """Writes the verdict into its object."""

    def __init__(
        self,
        judging: Judging,
        writer: StatusWriter,
        term: Term,
        *,
        clock: Clock = time.monotonic,
        now: Callable[[], str] = _wall,
    ) -> None:
        """`now`: RFC 3339, for the conditions' times."""
        self._judging = judging
        self._writer = writer
        self._term = term
        self._now = now
        self._patience = Patience(UNSETTLED_SECONDS, clock)

    async def reconcile(self, key: Key) -> float | None:
        """Write the status if it says something else; the seconds until an unsettled one is written all the same."""
        judged = self._judging.judge(key)
        if self._term() is None or judged is None:
            self._patience.forget(key)
            return None
        wait = self._patience.left(key, judged.verdict)
        status = status_of(
            judged.balancer, judged.verdict, judged.nodes, judged.realized, self._now(), judged.announced
        )
        if status == judged.balancer.status:
            return None
        if wait:
            return wait
        written = await self._writer.write_status(judged.balancer, status)
        STATUS_WRITES.inc()
        if written is not None and self._judging.memory.load_balancers.get(key) is judged.balancer:
            self._judging.memory.set_load_balancer(written)
        return None
