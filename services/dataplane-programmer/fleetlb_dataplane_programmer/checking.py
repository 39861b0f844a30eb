"""When each real server is checked, and doing it. What a check proves is decided in `health`; what follows for a
virtual server is not known here: whoever wants a target checked is told when it falls or rises.

A target wanted by several is checked once for all. A new one is checked at once, then in a slow round over all whose
rate does not grow with their number; one whose last check contradicts what is held of it is looked at again soon, one
that is unhealthy ever later. Such a surprise makes some others of its host and of its virtual servers suspect, which
are looked at soon too; what they show spreads the suspicion or ends it. So the death of a host is found for all its
ports together, by a few of them, and what happens to all of a virtual server is seen to happen at once.
"""

import asyncio
import collections
import contextlib
import math
import random
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import prometheus_client
import structlog

from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.dialling import OUT_OF_MEANS, Reach, ask_health, reach
from fleetlb_dataplane_programmer.health import (
    FALL,
    HEALTHY,
    UNPROVEN,
    Doubt,
    Pulse,
    Target,
    beat,
    doubt_after,
    silenced,
)
from fleetlb_dataplane_programmer.roster import Host, Roster, Watched
from fleetlb_dataplane_programmer.sweeping import Pace, Pacer

CHECKS = prometheus_client.Counter("fleetlb_health_checks_total", "Checks of real servers, by outcome.", ["outcome"])
UNHEALTHY = prometheus_client.Gauge(
    "fleetlb_real_servers_unhealthy",
    "Addresses and ports of real servers, and health check ports, that fail their checks.",
)

CONCURRENCY = 128
_RUSH_SECONDS = 0.1
_START_CHUNK = 256
_IMPOSSIBLE = "impossible"
_EVENTS = {
    (False, False): "a real server takes no connection",
    (False, True): "a real server takes connections again",
    (True, False): "a node says that it has no ready pod of a Service",
    (True, True): "a node says that it has a ready pod of a Service again",
}
"""By whether the target is asked, and whether it is healthy."""


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """How health is found out, and what follows from it. The rates hold for the whole node."""

    dial: Callable[[str, int, float], Awaitable[Reach]] = reach
    """Makes one check of an address and port within so many seconds; an OSError means that it could not be made."""
    ask: Callable[[str, int, float], Awaitable[Reach]] = ask_health
    """Likewise, for a target that is to be asked."""
    timeout_seconds: float = 1.0
    pace: Pace = Pace(
        sweep_seconds=5.0,
        sweep_jitter=0.1,
        sweeps_per_second=50.0,
        retry=Backoff(initial=1.0, cap=5.0, factor=2.0, jitter=0.1),
        retries_per_second=50.0,
        confirm_seconds=1.0,
    )
    rush_per_second: float = 500.0
    """New and suspect targets."""
    first_round_seconds: float = 1.5
    """How long a start may wait until everything was checked once."""
    settle_seconds: float = 0.1
    """Changes of one virtual server that come so close together are one."""
    tell_seconds: float = 1.0
    """The hub is told of the health of one virtual server no more often than this."""


OnTurn = Callable[[Target, tuple[VirtualServerKey, ...], float | None], None]
"""Called when a target falls or rises, with all that want it and since when it is down: None when it rose, minus
infinity when it was found dead at the start."""
Fellows = Callable[[tuple[VirtualServerKey, ...]], Iterable[Target]]
"""Some targets that the same users want."""


class Checker:
    """Keeps the pulse of every target that somebody wants."""

    def __init__(self, on_turn: OnTurn, fellows: Fellows, checks: Checks) -> None:
        """Nothing is wanted yet."""
        self._on_turn = on_turn
        self._fellows = fellows
        self._checks = checks
        self._pacer = Pacer(checks.pace)
        self._roster = Roster()
        self._unhealthy, self._unseen = 0, 0
        self._all_seen = asyncio.Event()
        self._all_seen.set()
        self._is_starting = True
        self._rush: collections.deque[Target] = collections.deque()
        self._has_rush = asyncio.Event()
        # Hosts take turns, so that the slow checks of a dead one do not hold up those of others.
        self._queue = Reconciler(
            self._check, name="health checks", concurrency=CONCURRENCY, lane_of=lambda target: target.address
        )
        self._log = structlog.get_logger()

    def want(self, target: Target, user: VirtualServerKey) -> float | None:
        """Check a target, for a user that does not want it yet. Since when it is down, None if it is not."""
        # Of a new host nothing was ever heard, so at the start no silent port must be doubted first.
        pulse, doubt = (UNPROVEN, Doubt(_now())) if self._is_starting else (HEALTHY, None)
        if self._roster.add(target, user, pulse, doubt):
            self._unseen += 1
            self._all_seen.clear()
            self._hurry(target)
            return None
        watched = self._roster.find(target)
        return watched.down_since if watched else None

    def drop(self, target: Target, user: VirtualServerKey) -> None:
        """A user that wanted a target does so no more."""
        watched = self._roster.remove(target, user)
        if watched is not None:
            self._see(watched)
            self._count_unhealthy(0 if watched.pulse.is_healthy else -1)

    async def first_round(self) -> None:
        """Return when everything wanted was checked once, or when that takes too long. The start ends with it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._checks.first_round_seconds):
                await self._all_seen.wait()
        self._is_starting = False

    async def run(self) -> None:
        """Check for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run(), name="health checks")
            tasks.create_task(self._release(), name="health checks in a hurry")

    async def _release(self) -> None:
        """Let those in a hurry into the queue, no faster than agreed."""
        while True:
            await self._has_rush.wait()
            share = _START_CHUNK if self._is_starting else max(1, round(self._checks.rush_per_second * _RUSH_SECONDS))
            for _ in range(min(share, len(self._rush))):
                self._queue.add(self._rush.popleft())
            if not self._rush:
                self._has_rush.clear()
            await asyncio.sleep(0 if self._is_starting else _RUSH_SECONDS)

    def _hurry(self, target: Target) -> None:
        self._rush.append(target)
        self._has_rush.set()

    async def _check(self, target: Target) -> float | None:
        watched = self._roster.find(target)
        if watched is None:
            return None
        watched.is_suspect = False
        began = _now()
        reached = await self._dial(target)
        CHECKS.labels(reached.value if reached else _IMPOSSIBLE).inc()
        if self._roster.find(target) is not watched:
            return None  # who wants it anew has it checked anew
        self._see(watched)
        if reached:
            self._take(target, watched, reached, began)
        return self._again(watched.pulse if reached else HEALTHY, _now(), began)

    async def _dial(self, target: Target) -> Reach | None:
        check = self._checks.ask if target.is_asked else self._checks.dial
        try:
            return await check(target.address, target.port, self._checks.timeout_seconds)
        except OSError as problem:
            if problem.errno in OUT_OF_MEANS:
                return None
            raise

    def _again(self, pulse: Pulse, now: float, began: float) -> float:
        """Seconds to the next check. What is to be confirmed is, counted from the beginning of the last check."""
        failures = pulse.failures if pulse.failures or pulse.is_settled else 1
        chance = random.random()  # noqa: S311 (jitter)
        delay = self._pacer.delay(failures, fresh=False, now=now, riders=len(self._roster), random01=chance)
        return max(0.0, delay - (now - began)) if 0 < failures < FALL else delay

    def _take(self, target: Target, watched: Watched, reached: Reach, began: float) -> None:
        """Draw the conclusions of a check: for the target, for its host, and for others of the host."""
        address, now = target.address, _now()
        host, was = self._roster.hosts[address], watched.pulse
        was_dead, took = host.is_dead, reached is Reach.REACHED
        host.doubt = doubt_after(host.doubt, target.port, was, was_heard=reached.was_heard, began=began, now=now)
        pulse = beat(was, took)
        self._turn(target, watched, silenced(pulse) if host.is_dead else pulse, now, reached.value)
        if host.is_dead and not was_dead:
            self._bury(address, host, now)
        elif was.is_settled and took is not was.is_healthy:
            for suspect in self._roster.suspects(address, self._fellows(watched.users), was.is_healthy):
                self._hurry(suspect)

    def _turn(self, target: Target, watched: Watched, pulse: Pulse, now: float, why: str) -> None:
        was, watched.pulse = watched.pulse, pulse
        if pulse.is_healthy is was.is_healthy:
            return
        if pulse.is_healthy:
            watched.down_since = None
        else:
            watched.down_since = -math.inf if self._is_starting else now
        self._count_unhealthy(-1 if pulse.is_healthy else 1)
        if why:
            event = _EVENTS[target.is_asked, pulse.is_healthy]
            self._log.info(event, address=target.address, port=target.port, last_check=why)
        self._on_turn(target, watched.users, watched.down_since)

    def _bury(self, address: str, host: Host, now: float) -> None:
        """Everything on the host has failed."""
        self._log.warning("a host of real servers keeps silent", address=address, ports=len(host.targets))
        for target, watched in host.targets.items():
            self._see(watched)
            self._turn(target, watched, silenced(watched.pulse), now, "")

    def _see(self, watched: Watched) -> None:
        if watched.is_new:
            watched.is_new = False
            self._unseen -= 1
            if not self._unseen:
                self._all_seen.set()

    def _count_unhealthy(self, change: int) -> None:
        self._unhealthy += change
        UNHEALTHY.set(self._unhealthy)


def _now() -> float:
    return asyncio.get_running_loop().time()
