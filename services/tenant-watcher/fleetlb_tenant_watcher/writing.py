"""Brings the tenant's Services to what their records ask for: one key at a time, decided anew at every run.

Must not know how a Service is patched, nor how a message travels.
"""

from collections.abc import Callable
from typing import Protocol

from fleetlb.kube.service_objects import Service
from fleetlb.runtime.tracing import OFF, Kind, Span, Tracing
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.acting import Write
from fleetlb_tenant_watcher.clocks import Clocks
from fleetlb_tenant_watcher.deciding import Announce, ClearStatus, WriteStatus, decide
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.publishing import service_attributes
from fleetlb_tenant_watcher.records import Record
from fleetlb_tenant_watcher.service_views import ServiceView


class ServiceWrites(Protocol):
    """The tenant's API server."""

    async def write(self, view: ServiceView, action: Write, trace: str) -> Service | None:
        """Do one action for a change; the Service as it is then, or None when it is gone."""


class Announcements(Protocol):
    """Where Events go."""

    def announce(self, view: ServiceView, note: Announce, trace: str) -> None:
        """Tell the tenant some time soon, or not at all."""


class Writer:
    """Reconciles one Service with its record."""

    def __init__(
        self,
        memory: Memory,
        writes: ServiceWrites,
        announcements: Announcements,
        *,
        clocks: Clocks,
        hub_connected: Callable[[], bool],
        on_change: Callable[[str], None],
        tracing: Tracing = OFF,
    ) -> None:
        """`on_change` hears of a Service that a write has changed: there may be something to publish now."""
        self._memory = memory
        self._writes = writes
        self._announcements = announcements
        self._clocks = clocks
        self._tracing = tracing
        self._hub_connected = hub_connected
        self._on_change = on_change

    async def reconcile(self, uid: str) -> float | None:
        """Do what is left to do; the seconds until it should be looked at again."""
        record = self._memory.get(uid)
        if record is None:
            return None
        plan = decide(record, self._memory.selection, now=self._clocks.now(), hub_connected=self._hub_connected())
        self._note_waiting(uid, record.since, plan.is_waiting)
        has_written = False
        for action in plan.actions:
            if plan.is_final and not record.is_released:
                return 0.0  # the tenant has changed its mind during the last write
            if isinstance(action, Announce):
                self._announcements.announce(record.view, action, self._cause(record))
                record.note_told(action.reason)
                continue
            if has_written and not plan.is_final:
                return 0.0  # decide again first: much may have happened during the last write
            service = await self._write(record, action)
            if service is None and not plan.is_final:
                return None  # it vanished; the watch will say so
            has_written = has_written or service is not None
            if service is not None and self._memory.refresh(service, self._clocks.now()):
                self._on_change(uid)
        if plan.is_final and record.is_released and self._memory.get(uid) is record:
            (self._memory.finish if has_written else self._memory.drop)(uid)
            counts.SERVICES.set(len(self._memory))
        return plan.wake_after

    async def _write(self, record: Record, action: Write) -> Service | None:
        cause, began = self._cause(record), self._clocks.micros()
        service = await self._writes.write(record.view, action, cause)
        if service is not None and self._tracing.records(cause):
            patch = Span(
                trace=self._tracing.follow(cause),
                parent=cause,
                name=f"patch Service {'status' if isinstance(action, WriteStatus | ClearStatus) else 'finalizers'}",
                kind=Kind.CLIENT,
                began=began,
                ended=self._clocks.micros(),
                attributes=service_attributes(record.view),
            )
            self._tracing.record(patch)
        return service

    def _cause(self, record: Record) -> str:
        """The change that led to what is done now; one that is refused here begins and ends here."""
        if not record.trace:
            arrival = self._memory.arrivals.get(record.view.uid)
            record.trace = arrival.trace if arrival else self._tracing.begin()
        return record.trace

    def _note_waiting(self, uid: str, since: float, is_waiting: bool) -> None:
        if is_waiting:
            self._memory.waiting[uid] = since
        else:
            self._memory.waiting.pop(uid, None)
        counts.WAITING.set(len(self._memory.waiting))
