"""Tells the hub what is wished: each Service, the nodes, and an inventory, whenever they differ from what it was told.

Keys are Service UIDs, and two that no UID looks like. Level-triggered: what is sent is always the whole state of a key.
Must not know how Services are written.
"""

import secrets
from typing import Protocol

import msgspec
import structlog

import fleetlb
from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import Hop, InventoryObserved, Message, NodesObserved, ServiceObserved
from fleetlb.domain.services import MAX_PODS, ServiceEndpoints, digest_of
from fleetlb.runtime.bus import TooLarge
from fleetlb.runtime.tracing import OFF, Attributes, Span, Tracing
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.clocks import Clocks
from fleetlb_tenant_watcher.deciding import decide_message, differs_only_in_shown
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.records import Arrival, Record, Stage
from fleetlb_tenant_watcher.service_views import ServiceView

NODES = ":nodes"
INVENTORY = ":inventory"
INVENTORY_SECONDS = 15.0
SHOWN_SECONDS = 5.0
"""What a Service shows is told with the next news, or after so long: a burst of new Services is not said twice."""
INVENTORY_PATIENCE = 5
"""So many seconds an inventory waits for what is about to be said, rather than have the hub ask for all of it."""
RELEASE_SECONDS = (5.0, 10.0, 20.0, 30.0)
"""Pauses between asking again for a release; the last one is repeated."""
MAX_LISTED = 5000
OBSERVED = "observed.{cluster}.service.{uid}"

log = structlog.get_logger(__name__)


class Hub(Protocol):
    """The way to the hub."""

    @property
    def connected(self) -> bool:
        """Whether it stands."""

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> None:
        """Have the hub store a message, or raise Transient."""


class Publisher:
    """Reconciles the hub's knowledge of this cluster with the memory."""

    def __init__(self, memory: Memory, hub: Hub, cluster: str, clocks: Clocks, tracing: Tracing = OFF) -> None:
        """Says nothing before `begin`."""
        self._memory = memory
        self._hub = hub
        self._cluster = cluster
        self._clocks = clocks
        self._tracing = tracing
        self._has_begun = False
        self._run = secrets.token_hex(4)
        self._count = 0
        self._pending: dict[str, tuple[str, str]] = {}
        self._nodes_said = ""
        self._is_silenced = False
        self._patience = INVENTORY_PATIENCE

    def begin(self) -> None:
        """Everything is known by now: from here on, what is missing in memory is missing in the cluster."""
        self._has_begun = True

    def unsay(self) -> None:
        """The hub may have lost everything. O(all)."""
        self._nodes_said = ""
        self._memory.unsay()

    async def reconcile(self, key: str) -> float | None:
        """Say what is to be said about a key; the seconds until it should be looked at again."""
        if key == INVENTORY:
            return await self._say_inventory()
        if not self._has_begun or not self._hub.connected:
            return None  # everything is said at the beginning, and again after a reconnect
        if key == NODES:
            await self._say_nodes()
            return None
        record = self._memory.get(key)
        if record is None:
            self._pending.pop(key, None)
            return None
        return await self._say_service(key, record)

    async def _say_service(self, uid: str, record: Record) -> float | None:
        endpoints = self._memory.endpoints_of(record)
        message = decide_message(record, endpoints)
        if message is None:
            if record.standing is None or record.stage is Stage.RELEASING:
                self._memory.arrivals.pop(uid, None)  # otherwise only the finalizer is missing yet
            return None
        _note_crowded(record, message)
        is_release = record.stage is Stage.RELEASING
        if is_release and self._clocks.now() >= record.asked + _pause_after(record.releases):
            record.is_unsaid = True
        if record.published not in ("", message.digest) and not record.is_unsaid:
            left = self._time_to_show(record, endpoints)
            if left > 0:
                self._memory.arrivals.pop(uid, None)  # what waits is no change of the tenant's
                return left
        if record.published != message.digest or record.is_unsaid:
            # Noted before it is sent: an inventory sent later must not contradict it.
            record.published, record.is_unsaid = message.digest, True
            record.shown, record.shown_due = message.shown, None
            if is_release:
                record.releases, record.asked = record.releases + 1, self._clocks.now()
            await self._send_service(uid, record, message)
            if record.published == message.digest:
                record.is_unsaid = False
        else:
            self._memory.arrivals.pop(uid, None)
        return record.asked + _pause_after(record.releases) - self._clocks.now() if is_release else None

    def _time_to_show(self, record: Record, endpoints: ServiceEndpoints | None) -> float:
        """Seconds for which what a Service shows may wait: one that was just answered need not say so at once."""
        if not differs_only_in_shown(record, endpoints):
            return 0.0
        now = self._clocks.now()
        if record.shown_due is None:
            record.shown_due = now + SHOWN_SECONDS
        return record.shown_due - now

    async def _send_service(self, uid: str, record: Record, message: ServiceObserved) -> None:
        now = self._clocks.micros()
        arrival = self._memory.arrivals.get(uid, Arrival(now, "", ""))  # none: what was said before is repeated
        record.trace = arrival.trace or record.trace
        stamped = msgspec.structs.replace(message, hops=(Hop("watch", arrival.at), Hop("publish", now)))
        subject = subjects.local_observed_service(self._cluster, uid)
        await self._send(uid, subject, stamped, message.digest, "service", trace=arrival.sent)
        if arrival.trace:
            self._record_spans(record, arrival, now)
        if self._memory.arrivals.get(uid) is arrival:
            del self._memory.arrivals[uid]

    def _record_spans(self, record: Record, arrival: Arrival, sent_at: int) -> None:
        if self._tracing.records(arrival.trace):
            attributes = service_attributes(record.view)
            watch = Span(
                trace=arrival.trace, name="watch Service", began=arrival.at, ended=sent_at, attributes=attributes
            )
            self._tracing.record(watch)
            self._tracing.record_publish(arrival.sent, arrival.trace, OBSERVED, sent_at, self._clocks.micros())

    async def _say_nodes(self) -> None:
        nodes = self._memory.nodes.tell()
        digest = digest_of(nodes)
        if digest == self._nodes_said:
            return
        if len(nodes) > MAX_LISTED:
            log.error("too many nodes to tell the hub; the last set stands", nodes=len(nodes), limit=MAX_LISTED)
            return
        message = NodesObserved(nodes=nodes, watcher_version=fleetlb.__version__)
        await self._send(NODES, subjects.local_observed_nodes(self._cluster), message, digest, "nodes")
        self._nodes_said = digest

    async def _say_inventory(self) -> float:
        if not self._has_begun or not self._hub.connected:
            return INVENTORY_SECONDS
        listed, unsaid = inventory_of(self._memory)
        counts.CROWDED.set(self._memory.crowded())
        if unsaid and self._patience:
            self._patience -= 1
            return 1.0
        self._patience = INVENTORY_PATIENCE
        if len(listed) > MAX_LISTED:
            # A part would be worse than nothing: what an inventory does not list is released.
            self._complain(len(listed))
            return INVENTORY_SECONDS
        self._is_silenced = False
        message = InventoryObserved(services=listed, watcher_version=fleetlb.__version__)
        digest = str(self._clocks.micros())  # never swallowed as a repetition
        await self._send(INVENTORY, subjects.local_observed_inventory(self._cluster), message, digest, "inventory")
        return INVENTORY_SECONDS

    async def _send(self, key: str, subject: str, message: Message, digest: str, kind: str, *, trace: str = "") -> None:
        """Send under an id that stays the same until the message is known to be stored, and is never used again."""
        pending = self._pending.get(key)
        if pending is None or pending[0] != digest:
            self._count += 1
            pending = self._pending[key] = digest, f"{key}-{digest}-{self._run}.{self._count}"
        try:
            await self._hub.publish(subject, codec.encode(message), message_id=pending[1], trace=trace)
        except TooLarge as problem:
            log.error("a message is too large for the hub; its last state stands there", key=key, problem=str(problem))
            return
        if self._pending.get(key) is pending:
            del self._pending[key]
        counts.PUBLISHED.labels(kind).inc()

    def _complain(self, number: int) -> None:
        if not self._is_silenced:
            log.error("too many Services for one inventory; none is sent", services=number, limit=MAX_LISTED)
        self._is_silenced = True


def service_attributes(view: ServiceView) -> Attributes:
    """What a span says of its Service."""
    return {"k8s.namespace.name": view.namespace, "fleetlb.service.name": view.name, "fleetlb.service.uid": view.uid}


def _pause_after(releases: int) -> float:
    return RELEASE_SECONDS[min(releases, len(RELEASE_SECONDS)) - 1] if releases else 0.0


def _note_crowded(record: Record, message: ServiceObserved) -> None:
    """Say once that a Service has more pods than are told, for it is served by its nodes instead."""
    is_crowded = message.endpoints is not None and message.endpoints.crowded
    if is_crowded and not record.is_crowded:
        name = f"{record.view.namespace}/{record.view.name}"
        log.warning("too many pods to tell the hub of: nodes serve instead", service=name, limit=MAX_PODS)
    record.is_crowded = is_crowded


def inventory_of(memory: Memory) -> tuple[dict[str, str], int]:
    """Every Service that the hub should know of, and how many of them have not been said yet. O(all).

    Digests are those sent last; for a Service of an earlier run not said yet, the one to be sent, or "" where an
    earlier wish stands in the hub that this run does not know.
    """
    listed: dict[str, str] = {}
    unsaid = 0
    for uid in memory:
        record = memory.get(uid)
        if record is None or record.is_finished or record.is_released:
            continue
        if record.published:
            listed[uid] = record.published
            unsaid += record.is_unsaid
        elif record.is_inherited:
            message = decide_message(record, memory.endpoints_of(record))
            listed[uid] = message.digest if message else ""
            unsaid += message is not None
    return listed, unsaid
