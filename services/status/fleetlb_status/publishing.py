"""Tells tenants: a new verdict at once, an unsettled one after a while, a release as it comes."""

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec
import structlog
from prometheus_client import Counter

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import encode
from fleetlb.contracts.journeys import MAX_HOPS, Journey
from fleetlb.contracts.v1 import Hop, ServiceReported
from fleetlb.domain.traces import trace_id
from fleetlb.runtime.tracing import OFF, Kind, Span, Tracing, messaging, microseconds
from fleetlb_status.census import Census
from fleetlb_status.judging import Clock, Judged, Judging, Patience, Term
from fleetlb_status.memory import Key
from fleetlb_status.reporting import report_of, state_of

HOLD_SECONDS = 0.5
"""A verdict that is only "in progress" waits so long for a better one: the watcher says that much by itself."""
DOUBT_SECONDS = 60.0
"""A dead connection is noticed within this time; what was told in it may have been lost."""

log = structlog.get_logger(__name__)

REPORTS = Counter("fleetlb_reports_total", "Reports published to tenants.")

REPORTED = "fleetlb.v1.reported.{account}.{cluster}.service.{uid}"
Place = tuple[str, str, str]
"""Account, cluster and UID of a Service."""


class Notifier(Protocol):
    """The part of the bus that reports need."""

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        """Send to whoever listens."""


class _Told(NamedTuple):
    account: str
    report: ServiceReported
    at: float


class Reporter:
    """Publishes `service_reported` where there is something new to say."""

    def __init__(
        self,
        judging: Judging,
        bus: Notifier,
        term: Term,
        census: Census,
        *,
        tracing: Tracing = OFF,
        clock: Clock = time.monotonic,
        now: Callable[[], int] = microseconds,
    ) -> None:
        """`now`: microseconds since 1970, for the hops alone."""
        self._judging = judging
        self._bus = bus
        self._term = term
        self._census = census
        self._tracing = tracing
        self._clock = clock
        self._now = now
        self._revisions = itertools.count(1)
        self._told: dict[Key, _Told] = {}
        self._patience = Patience(HOLD_SECONDS, clock)

    def begin_term(self) -> None:
        """What was told in an earlier term counts no more: another replica may have told something else since."""
        self._told.clear()
        self._patience.clear()
        self._judging.published.clear()

    def tell_again(self, key: Key) -> None:
        """Somebody asks: what was told does not count, and nothing is held back."""
        self._told.pop(key, None)
        self._patience.exhaust(key)

    def in_doubt(self) -> list[Key]:
        """What was told lately, over a connection that has since been lost; it counts as not told."""
        since = self._clock() - DOUBT_SECONDS
        keys = [key for key, told in self._told.items() if told.at >= since]
        for key in keys:
            del self._told[key]
        return keys

    async def reconcile(self, key: Key) -> float | None:
        """Tell the tenant if needed; the seconds until an unsettled verdict is told all the same."""
        generation = self._term()
        if generation is None:
            return None
        judged = self._judging.judge(key)
        if judged is None:
            if key not in self._judging.memory.load_balancers:
                self._forget(key)
            return None
        self._census.note(key, judged.balancer.spec.tenant, state_of(judged.verdict))
        if wait := self._patience.left(key, judged.verdict):
            return wait
        await self._tell(key, judged, generation)
        return None

    async def _tell(self, key: Key, judged: Judged, generation: int) -> None:
        balancer, verdict, memory = judged.balancer, judged.verdict, self._judging.memory
        report, journey = report_of(balancer, verdict), memory.journey(key)
        account = memory.account(balancer.spec.tenant)
        told = self._told.get(key)
        if not account:
            return
        if told is not None and (told.account, told.report) == (account, report):
            memory.gone_on(key, journey)
            return
        numbered = msgspec.structs.replace(
            report,
            generation=generation,
            revision=next(self._revisions),
        )
        place = account, balancer.spec.cluster_uid, key[1]
        await self._send(place, numbered, journey)
        memory.gone_on(key, journey)
        self._told[key] = _Told(account, report, self._clock())
        self._judging.published[key] = verdict.addresses

    async def forward_release(self, place: Place, journey: Journey) -> None:
        """Tell a watcher that nothing of its Service is left. `journey`: how it came about."""
        generation = self._term()
        if generation is None:
            return
        report = ServiceReported(
            generation=generation,
            revision=next(self._revisions),
            released=True,
        )
        await self._send(place, report, journey)

    async def _send(self, place: Place, report: ServiceReported, journey: Journey) -> None:
        """Under the name of the change that led to it, or as one that begins here: a node came, or went."""
        began, trace = self._now(), self._tracing.follow(journey.trace)
        hops = (*journey.hops[: MAX_HOPS - 1], Hop("report", began))
        await self._bus.notify(
            subjects.reported(*place), encode(msgspec.structs.replace(report, hops=hops)), trace=trace
        )
        REPORTS.inc()
        log.debug("told a tenant", place=place, released=report.released, trace_id=trace_id(trace))
        if self._tracing.records(trace):
            self._tracing.record(
                Span(
                    trace=trace,
                    parent=journey.trace,
                    name=f"publish {REPORTED}",
                    kind=Kind.PRODUCER,
                    began=began,
                    ended=self._now(),
                    attributes={**messaging("publish", "send", REPORTED), "fleetlb.service.uid": place[2]},
                    links=journey.overtaken,
                )
            )

    def _forget(self, key: Key) -> None:
        self._told.pop(key, None)
        self._patience.forget(key)
        self._judging.published.pop(key, None)
        self._census.forget(key)
