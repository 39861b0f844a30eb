"""When each virtual server is probed again, and doing it. What a probe means is the ledger's affair, how it is made
is `probing`'s.

A new virtual server is probed at once. One that answers is looked at again in a slow sweep over all, whose rate does
not grow with their number; one that does not is tried again sooner, ever later, so that its return is noticed.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import prometheus_client

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.judging import Entry
from fleetlb_dataplane_programmer.lanes import Lane
from fleetlb_dataplane_programmer.programming import FAILURES_THAT_COUNT, Ledger

PROBES = prometheus_client.Counter("fleetlb_probes_total", "Probes through virtual servers, by outcome.", ["outcome"])
SECONDS = prometheus_client.Histogram(
    "fleetlb_probe_seconds",
    "Time that one probe took.",
    unit="seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5),
)

CONCURRENCY = 64
_OUTCOMES = {True: "answered", False: "unanswered", None: "impossible"}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often. The seconds are the least between two probes of one virtual server, the rates hold for all."""

    sweep_seconds: float = 15.0
    sweep_jitter: float = 0.0
    """Share of `sweep_seconds` that chance may add or take away."""
    sweeps_per_second: float = 10.0
    batch_seconds: float = 1.0
    """Sweeps that fall into the same span are done together: waking up costs more than probing."""
    retry: Backoff = Backoff(initial=1.0, cap=10.0, factor=2.0, jitter=0.1)
    retries_per_second: float = 50.0
    confirm_fresh_seconds: float = 0.05
    """A failed first probe of a new revision may only have come too early."""
    confirm_seconds: float = 1.0


class Pacer:
    """Answers one question: in how many seconds next."""

    def __init__(self, pace: Pace) -> None:
        """All lanes are free."""
        self._pace = pace
        self._sweeps = Lane(pace.sweeps_per_second)
        self._retries = Lane(pace.retries_per_second)

    def delay(self, failures: int, *, fresh: bool, now: float, riders: int, random01: float = 0.0) -> float:
        """After a probe. `failures`: in a row; `fresh`: no word on this revision yet; `riders`: all that are probed."""
        if failures == 0:
            span = self._pace.sweep_seconds * (1 + self._pace.sweep_jitter * (2 * random01 - 1))
            due = self._sweeps.slot(now + span, riders)
            return math.ceil(due / self._pace.batch_seconds) * self._pace.batch_seconds - now
        if failures < FAILURES_THAT_COUNT:
            return self._pace.confirm_fresh_seconds if fresh else self._pace.confirm_seconds
        return self._retries.slot(now + self._pace.retry.delay(failures - FAILURES_THAT_COUNT, random01), riders) - now

    def soon(self, now: float, riders: int) -> float:
        """For one of many that shall all be looked at, without a storm."""
        return self._retries.slot(now, riders) - now


class Dial(Protocol):
    """Makes one probe: True or False, or None if it could not be made."""

    def __call__(self, server: VirtualServer, *, turn: int) -> Awaitable[bool | None]:
        """`turn` grows with each probe, so that another real server comes first."""


class Sweeper:
    """Probes what the ledger has programmed, and tells when the word about a key changes."""

    def __init__(
        self,
        ledger: Ledger,
        dial: Dial,
        on_change: Callable[[VirtualServerKey], None],
        *,
        now_us: Callable[[], int],
        pace: Pace = Pace(),  # noqa: B008 (frozen)
    ) -> None:
        """`now_us`: microseconds since 1970, for the hops."""
        self._ledger = ledger
        self._dial = dial
        self._on_change = on_change
        self._now_us = now_us
        self._pacer = Pacer(pace)
        self._turn = 0
        self._unseen: set[VirtualServerKey] = set()
        self._queue = Reconciler(self._probe, name="probes", concurrency=CONCURRENCY)

    @property
    def has_backlog(self) -> bool:
        """Whether a key that is to be looked at now must wait for others."""
        return len(self._unseen) > CONCURRENCY

    def look_at(self, key: VirtualServerKey) -> None:
        """Probe a key now."""
        self._unseen.add(key)
        self._queue.add(key)

    def look_at_all(self) -> None:
        """Probe everything, as soon as the rate allows: something happened to the data plane itself."""
        keys, now = self._ledger.probed_keys(), asyncio.get_running_loop().time()
        for key in keys:
            self._queue.add_after(key, self._pacer.soon(now, len(keys)))

    async def run(self) -> None:
        """Probe for ever."""
        await self._queue.run()

    async def _probe(self, key: VirtualServerKey) -> float | None:
        self._unseen.discard(key)
        entry, server = self._ledger.get(key), self._ledger.target(key)
        if entry is None or server is None:
            return None
        self._turn += 1
        with SECONDS.time():
            answered = await self._dial(server, turn=self._turn)
        PROBES.labels(_OUTCOMES[answered]).inc()
        if self._ledger.take_probe(key, entry.token, answered, self._now_us()):
            self._on_change(key)
        return self._again(entry, answered)

    def _again(self, entry: Entry, answered: bool | None) -> float:
        return self._pacer.delay(
            entry.failures if answered is not None else 1,
            fresh=answered is not None and entry.probe.value == "pending",
            now=asyncio.get_running_loop().time(),
            riders=len(self._ledger),
        )
