"""Tells integrations what has changed: at least once, in order for each thing, whatever ends in between (ADR 12).

The record is written first, with what will be told; then the events go out under ids that follow from it; then the
record is written as arrived. Whoever finds one on its way tells it again. What comes and goes while the bus is away, or
within a moment, is not told: events are differences of states, not a log of words.
"""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

import msgspec
from prometheus_client import Counter

from fleetlb.contracts import subjects
from fleetlb.contracts.cloud_events import headers_of
from fleetlb.contracts.codec import encode
from fleetlb.contracts.events import Event, ServiceEvent, word_of
from fleetlb.contracts.told import Told
from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.leases import SYSTEM_CLOCK, Clock
from fleetlb_status.judging import Term
from fleetlb_status.told import RecordBus, Records
from fleetlb_status.writing import moment

REST_SECONDS = 1.0
"""So long after one change of a thing the next is told: what flaps costs no more than this."""

EVENTS = Counter("fleetlb_events_published_total", "Events that integrations were told.", ["kind"])
FAILED = Counter("fleetlb_events_failed_total", "Attempts to tell an event that failed; each is made again.")

K = TypeVar("K", bound=Hashable)
M = TypeVar("M", contravariant=True)
T = TypeVar("T", bound=Told)


class Matter(Protocol[M, T]):
    """A kind of thing that events tell of."""

    def wait(self, key: M) -> float:
        """Seconds to wait for something better to tell."""

    def look(self, key: M, told: T | None, at: str) -> T | None:
        """A record of what would be told now, without a number; None: there is none, or it cannot be judged."""

    def again(self, told: T, at: str) -> T:
        """A record that tells all that stands, as if nothing had been told."""

    def events(self, key: M, told: T) -> tuple[Event, ...]:
        """The events of a record: always the same."""

    def name(self, key: M) -> str:
        """What the ids of its events begin with."""

    def forget(self, key: M) -> None:
        """It is gone, and all was told."""


class Teller(Generic[K, T]):
    """Keeps what integrations were told equal to what is."""

    def __init__(
        self,
        matter: Matter[K, T],
        records: Records[K, T],
        bus: RecordBus,
        term: Term,
        *,
        repeat_seconds: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`repeat_seconds`: what was told so long ago is told again, before its events have aged out of the stream."""
        self._matter = matter
        self._records = records
        self._bus = bus
        self._term = term
        self._repeat_seconds = repeat_seconds
        self._clock = clock
        self._rests: dict[K, float] = {}

    async def reconcile(self, key: K) -> float | None:
        """Tell what has changed; the seconds until there may be more to tell. Raises Transient."""
        generation = self._term()
        if generation is None or not self._records.is_complete:
            return None
        told = self._records.get(key)
        if told is not None and told.on_its_way:
            told = await self._send(key, told)
        wanted = self._wanted(key, told)
        if wanted is None:
            await self._leave(key, told)
            return None
        if not self._matter.events(key, wanted) and not wanted.is_over:
            return self._seconds_to_repetition(told) or None
        if wait := self._wait(key):
            return wait
        revision = max(told.revision + 1 if told else 0, int(self._clock.wall() * 1_000_000))
        record = msgspec.structs.replace(wanted, generation=generation, revision=revision, on_its_way=True)
        await self._records.write(key, record)
        self._rests[key] = self._clock.monotonic() + REST_SECONDS
        told = await self._send(key, record)
        if told.is_over:
            await self._leave(key, told)
        return REST_SECONDS

    def _wanted(self, key: K, told: T | None) -> T | None:
        at = moment(self._clock.wall())
        if told is not None and self._seconds_to_repetition(told) == 0:
            again = self._matter.again(told, at)
            if self._matter.events(key, again):
                return again
        return self._matter.look(key, told, at)

    def _seconds_to_repetition(self, told: T | None) -> float | None:
        """A record's number is the time at which it was made."""
        if told is None or told.is_over:
            return None
        return max(0.0, told.revision / 1_000_000 + self._repeat_seconds - self._clock.wall())

    def _wait(self, key: K) -> float:
        return max(0.0, self._matter.wait(key), self._rests.get(key, 0.0) - self._clock.monotonic())

    async def _send(self, key: K, told: T) -> T:
        """Everything that a record says; it has then arrived."""
        for number, event in enumerate(self._matter.events(key, told)):
            await self._publish(f"{self._matter.name(key)}.{told.revision}.{number}", event, told)
        arrived = msgspec.structs.replace(told, before=None, on_its_way=False)
        await self._records.write(key, arrived)
        return arrived

    async def _publish(self, event_id: str, event: Event, told: T) -> None:
        word = word_of(type(event))
        tenant = event.tenant if isinstance(event, ServiceEvent) else subjects.FLEET
        headers = headers_of(event, event_id=event_id, time=told.at, trace=told.trace)
        subject = subjects.event(tenant, word)
        try:
            await self._bus.publish(subject, encode(event), message_id=event_id, trace=told.trace, headers=headers)
        except FleetlbError:
            FAILED.inc()
            raise
        EVENTS.labels(word).inc()

    async def _leave(self, key: K, told: T | None) -> None:
        """Nothing is known of it: what was told to its end is forgotten."""
        if told is not None and told.is_over:
            await self._records.forget(key)
        if told is None or told.is_over:
            self._rests.pop(key, None)
            self._matter.forget(key)
