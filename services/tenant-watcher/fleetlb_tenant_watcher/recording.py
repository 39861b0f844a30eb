"""Events on the tenant's Services: best effort, in the background. Nothing ever waits for one, and none is retried."""

import asyncio
import secrets
from typing import NoReturn

import structlog

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import ApiError
from fleetlb.kube.resources import EVENTS, Object
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.acting import timestamp
from fleetlb_tenant_watcher.deciding import Announce
from fleetlb_tenant_watcher.service_views import ServiceView

COMPONENT = "fleetlb"
REPORTER = "fleetlb.dev/tenant-watcher"
MAX_QUEUED = 1000
MAX_MESSAGE = 1024

log = structlog.get_logger(__name__)


class EventRecorder:
    """A bounded queue of Events; what does not fit is dropped and counted."""

    def __init__(self, cluster: Cluster, identity: str) -> None:
        """Sends nothing until `run` runs."""
        self._cluster = cluster
        self._identity = identity
        self._queue: asyncio.Queue[tuple[ServiceView, Announce, str]] = asyncio.Queue(MAX_QUEUED)

    def announce(self, view: ServiceView, note: Announce) -> None:
        """Queue an Event."""
        try:
            self._queue.put_nowait((view, note, timestamp()))
        except asyncio.QueueFull:
            counts.EVENTS.labels("dropped").inc()

    async def run(self) -> NoReturn:
        """Send what is queued, one after the other, for ever."""
        while True:
            view, note, now = await self._queue.get()
            try:
                await self._cluster.create(EVENTS, event_of(view, note, now, self._identity), view.namespace)
                counts.EVENTS.labels("created").inc()
            except ApiError as problem:  # such as a namespace that is being deleted
                counts.EVENTS.labels("refused").inc()
                log.debug("an event was refused", service=f"{view.namespace}/{view.name}", problem=str(problem))


def event_of(view: ServiceView, note: Announce, now: str, identity: str) -> Object:
    """A core/v1 Event about a Service."""
    return {
        "metadata": {"name": f"{view.name}.{secrets.token_hex(8)}", "namespace": view.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "namespace": view.namespace,
            "name": view.name,
            "uid": view.uid,
        },
        "type": note.kind,
        "reason": note.reason,
        "message": note.message[:MAX_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": REPORTER,
        "reportingInstance": identity[:128],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
