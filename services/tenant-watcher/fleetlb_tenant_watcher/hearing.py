"""What the hub says to this cluster: reports on Services, and requests to say everything again.

Only folds and marks; must not know what a report leads to. A message that cannot be read is counted and dropped.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn, Protocol

import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import ServiceReported, SnapshotAnswered, SnapshotRequested
from fleetlb.domain.errors import Poison, Transient
from fleetlb.domain.traces import trace_id
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.clocks import Clocks
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.records import Stage

TICK_SECONDS = 5.0
"""How often it is looked whether Services wait for a report; also how long one waits before that is asked for."""
MAX_PAUSE_SECONDS = 60.0
ANSWER_SECONDS = 2.0
ASKING = Backoff(initial=0.2, cap=10.0)

REPORTED = "reported.{cluster}.service.{uid}"

log = structlog.get_logger(__name__)


class Ear:
    """Folds what the hub sends."""

    def __init__(
        self,
        memory: Memory,
        cluster: str,
        clocks: Clocks,
        *,
        on_report: Callable[[str], None],
        on_resync: Callable[[str], None],
        tracing: Tracing = OFF,
    ) -> None:
        """`on_report` hears of Services with news, `on_resync` that everything is to be said again."""
        self._memory = memory
        self._cluster = cluster
        self._clocks = clocks
        self._on_report = on_report
        self._on_resync = on_resync
        self._tracing = tracing

    async def listen(self, bus: Bus) -> None:
        """Hear the hub from now on, over reconnects."""
        await bus.listen(subjects.local_reported(self._cluster), self.hear_report)
        await bus.listen(subjects.local_resync(self._cluster), self.hear_resync)

    def hear_report(self, heard: Message) -> None:
        """Fold a report."""
        began = self._tracing.now()
        try:
            _, _, uid = subjects.parse_service(heard.subject)
            message = codec.decode(ServiceReported, heard.data)
        except Poison as problem:
            counts.REPORTS.labels("unreadable").inc()
            log.warning("dropping a report that cannot be read", subject=heard.subject[:200], problem=str(problem))
            return
        result = self._memory.hear(uid, message, heard.trace)
        counts.REPORTS.labels(result).inc()
        if result != "folded":
            return
        if message.hops and message.hops[0].name == "watch":
            seconds = max(0.0, (self._clocks.micros() - message.hops[0].at) / 1e6)
            counts.CONVERGENCE_SECONDS.observe(seconds, {"trace_id": trace_id(heard.trace)} if heard.trace else None)
        self._on_report(uid)
        self._tracing.record_process(heard.trace, REPORTED, began, {"fleetlb.service.uid": uid})

    def hear_resync(self, heard: Message) -> None:
        """The hub misses something; whatever the message says, saying everything again is right."""
        self._on_resync("resync")


class Asker(Protocol):
    """The way to the hub."""

    @property
    def connected(self) -> bool:
        """Whether it stands."""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask, or raise Transient."""


class Snapshots:
    """Asks the hub for every report again: at the start, after a reconnect, and while a Service waits too long."""

    def __init__(
        self, memory: Memory, hub: Asker, cluster: str, clocks: Clocks, on_turn: Callable[[str], None]
    ) -> None:
        """`on_turn` hears of the Services that wait whenever the hub came into or out of reach."""
        self._memory = memory
        self._hub = hub
        self._clocks = clocks
        self._on_turn = on_turn
        self._body = codec.encode(SnapshotRequested(cluster=cluster))
        self._wanted = asyncio.Event()
        self._was_connected = False
        self._pause = TICK_SECONDS
        self._next = 0.0

    def want(self) -> None:
        """Ask as soon as the hub can be asked."""
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Ask when it is time, for ever."""
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                self.notice_turn()
            is_wanted = self._wanted.is_set()
            self._wanted.clear()  # also without a connection: it comes back with another `want`
            if self._hub.connected and (is_wanted or self._is_overdue()):
                await self._ask()

    def notice_turn(self) -> None:
        """Have the Services that wait say rightly whether the hub can be reached."""
        connected = self._hub.connected
        if connected is not self._was_connected:
            self._was_connected = connected
            for uid in tuple(self._memory.waiting):
                self._on_turn(uid)

    def _is_overdue(self) -> bool:
        """Whether some Service has waited too long; pauses grow while that goes on."""
        now = self._clocks.now()
        if not any(self._waits_long(uid, since, now) for uid, since in self._memory.waiting.items()):
            self._pause, self._next = TICK_SECONDS, 0.0
            return False
        if now < self._next:
            return False
        self._next = now + self._pause
        self._pause = min(MAX_PAUSE_SECONDS, self._pause * 2)
        return True

    def _waits_long(self, uid: str, since: float, now: float) -> bool:
        record = self._memory.get(uid)
        return record is not None and record.stage is Stage.WANTED and now - since >= TICK_SECONDS

    async def _ask(self) -> None:
        """Ask until answered, or until the connection is gone: the next one asks anew."""
        attempt = 0
        while self._hub.connected:
            try:
                answer = await self._hub.request(subjects.LOCAL_SNAPSHOT, self._body, ANSWER_SECONDS)
                reports = codec.decode(SnapshotAnswered, answer).reports
            except (Transient, Poison) as problem:
                counts.SNAPSHOTS.labels("unanswered").inc()
                log.log(10 if attempt else 20, "no snapshot of reports yet; asking again", problem=str(problem))
                await asyncio.sleep(ASKING.delay(attempt, random.random()))  # noqa: S311 - jitter
                attempt += 1
            else:
                counts.SNAPSHOTS.labels("answered").inc()
                log.info("the hub sends its reports again", reports=reports)
                return
