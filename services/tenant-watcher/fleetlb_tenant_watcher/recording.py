"""Events on the tenant's Services: best effort, in the background. Nothing ever waits for one; few tries are made.

What is said again within minutes raises the count of the Event that said it; a Service that says too much is cut off.
"""

import asyncio
import contextlib
import secrets
from typing import NoReturn

import structlog

from fleetlb.domain.errors import Transient
from fleetlb.domain.traces import marked
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, ApiError, NotFound
from fleetlb.kube.resources import EVENTS, Object
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.clocks import SYSTEM_CLOCKS, Clocks, timestamp
from fleetlb_tenant_watcher.deciding import Announce
from fleetlb_tenant_watcher.service_views import ServiceView
from fleetlb_tenant_watcher.tallying import Tally

COMPONENT = "fleetlb"
REPORTER = "fleetlb.dev/tenant-watcher"
MAX_QUEUED = 1000
MAX_MESSAGE = 1024
PAUSES = (0.2, 1.0)
"""Seconds after each try that found no API server; then the Event is given up. Others wait meanwhile."""

log = structlog.get_logger(__name__)


class EventRecorder:
    """A bounded queue of Events; what does not fit is dropped and counted."""

    def __init__(self, cluster: Cluster, identity: str, clocks: Clocks = SYSTEM_CLOCKS) -> None:
        """Sends nothing until `run` runs."""
        self._clocks = clocks
        self._tally = Tally()
        self._cluster = cluster
        self._identity = identity
        self._queue: asyncio.Queue[tuple[ServiceView, Announce, str, str]] = asyncio.Queue(MAX_QUEUED)

    def announce(self, view: ServiceView, note: Announce, trace: str = "") -> None:
        """Queue an Event about a change with this trace context."""
        try:
            self._queue.put_nowait((view, note, timestamp(self._clocks), trace))
        except asyncio.QueueFull:
            counts.EVENTS.labels("dropped").inc()

    async def run(self) -> NoReturn:
        """Send what is queued, one after the other, for ever."""
        while True:
            view, note, now, trace = await self._queue.get()
            try:
                outcome = await self._record(view, note, now, trace)
                counts.EVENTS.labels(outcome).inc()
            except ApiError as problem:  # such as a namespace that is being deleted
                counts.EVENTS.labels("refused").inc()
                log.debug("an event was refused", service=f"{view.namespace}/{view.name}", problem=str(problem))

    async def _record(self, view: ServiceView, note: Announce, now: str, trace: str) -> str:
        at = self._clocks.now()
        if not self._tally.may_speak(view.uid, at):
            return "dropped"
        event = event_of(view, note, now, self._identity, trace)
        for pause in PAUSES:
            try:
                return await self._send(view, note, event, at)
            except Transient:
                await asyncio.sleep(pause)
        return await self._send(view, note, event, at)

    async def _send(self, view: ServiceView, note: Announce, event: Object, at: float) -> str:
        earlier = self._tally.earlier(view.uid, note, at)
        if earlier is not None:
            last = {field: event[field] for field in ("lastTimestamp", "message")}
            again = {"count": earlier.times + 1, **last}
            try:
                await self._cluster.patch(EVENTS, earlier.name, again, kind=PatchKind.MERGE, namespace=view.namespace)
            except NotFound:  # Events live for an hour, or as long as somebody lets them
                pass
            else:
                self._tally.note(view.uid, note, earlier.name, earlier.times + 1, at)
                return "counted"
        with contextlib.suppress(AlreadyExists):  # the try before was not answered
            await self._cluster.create(EVENTS, event, view.namespace)
        self._tally.note(view.uid, note, event["metadata"]["name"], 1, at)
        return "created"


def event_of(view: ServiceView, note: Announce, now: str, identity: str, trace: str = "") -> Object:
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
        "message": marked(note.message[:MAX_MESSAGE], trace),
        "source": {"component": COMPONENT},
        "reportingComponent": REPORTER,
        "reportingInstance": identity[:128],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
