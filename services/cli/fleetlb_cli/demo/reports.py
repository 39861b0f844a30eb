"""Listens to what the status service reports, for the times of each hop. A reader like any integration."""

import asyncio
from pathlib import Path

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import decode
from fleetlb.contracts.v1 import Hops, ServiceReported
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus

ALL_REPORTS = f"{subjects.ROOT}.reported.>"


class Reports:
    """The hops of the first report that carried an address, by Service UID."""

    def __init__(self, bus: JetStreamBus) -> None:
        self._bus = bus
        self._hops: dict[str, Hops] = {}

    @classmethod
    async def follow(cls, url: str, creds: Path, tasks: asyncio.TaskGroup) -> "Reports":
        """Start listening with the hub's credentials."""
        reports = cls(await JetStreamBus.connect(url, tasks=tasks, creds=creds, name="fleetlb-demo"))
        await reports._bus.listen(ALL_REPORTS, reports._on_report)
        return reports

    def hops(self, uid: str) -> Hops:
        """The hops of a Service's way to its address; empty if its report was not heard."""
        return self._hops.get(uid, ())

    async def close(self) -> None:
        """Stop listening."""
        await self._bus.close()

    def _on_report(self, message: Message) -> None:
        try:
            _, _, uid = subjects.parse_service(message.subject)
            report = decode(ServiceReported, message.data)
        except Poison:
            return
        if report.ingress:
            self._hops.setdefault(uid, report.hops)
