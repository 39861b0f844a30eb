"""Keeps new connections of every virtual server away from real servers that take none, without ever draining most of
them at once (`braking`). It must not know how they are checked (`checking`), nor the engine and the hub.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping

import msgspec
import prometheus_client
import structlog

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.braking import Standing, step
from fleetlb_dataplane_programmer.checking import Checker, Checks
from fleetlb_dataplane_programmer.health import (
    UNCHECKED,
    Target,
    Verdict,
    down_of,
    members_of,
    opinions_on,
    takers,
    target_of,
    targets_of,
)
from fleetlb_dataplane_programmer.roster import LOOKED_AT

BRAKES = prometheus_client.Counter(
    "fleetlb_health_brakes_total", "Times that real servers of a virtual server failed at once and were kept."
)
BRAKED = prometheus_client.Gauge(
    "fleetlb_virtual_servers_braked", "Virtual servers that keep unhealthy real servers, for too many failed at once."
)

_SETTLE_SECONDS_PER_MEMBER = 0.0002
"""Every change of a virtual server costs time in proportion to its size: the large ones change less often."""
_BATCH = 100
_FEW = 4

OnVerdict = Callable[[VirtualServerKey, Verdict], None]


class _Guarded(msgspec.Struct):
    """One virtual server; of `server` those members that are not in `down` are up."""

    server: VirtualServer
    members: int = 0
    failing: dict[Target, float] = {}
    """Targets that fail, and since when."""
    down: Mapping[Target, float] = {}
    """Members that are down for it."""
    verdict: Verdict = UNCHECKED


class Guard:
    """The verdict on every virtual server that this node serves."""

    def __init__(self, on_verdict: OnVerdict, checks: Checks) -> None:
        """`on_verdict` is called when a verdict changes while the wish stays."""
        self._on_verdict = on_verdict
        self._checks = checks
        self._checker = Checker(self._on_turn, self._fellows, checks)
        self._guarded: dict[VirtualServerKey, _Guarded] = {}
        self._unsettled: dict[VirtualServerKey, None] = {}
        self._braked = 0
        self._queue = Reconciler(self._settle, name="health verdicts", concurrency=1)
        self._log = structlog.get_logger()

    def watch(self, server: VirtualServer) -> Verdict:
        """Guard this virtual server, in place of what was guarded under its key. The verdict on it as of now."""
        key = server.key
        guarded = self._guarded.get(key)
        before = targets_of(guarded.server) if guarded else frozenset()
        if guarded is None:
            guarded = self._guarded[key] = _Guarded(server)
        after = targets_of(server)
        guarded.server, guarded.members = server, len(members_of(server) if server.health_check_port else after)
        for target in after - before:
            down_since = self._checker.want(target, key)
            if down_since is not None:
                guarded.failing[target] = down_since
        for target in before - after:
            self._checker.drop(target, key)
            guarded.failing.pop(target, None)
        return self._judge(guarded)

    def forget(self, key: VirtualServerKey) -> None:
        """Guard nothing under this key."""
        guarded = self._guarded.pop(key, None)
        if guarded is None:
            return
        for target in targets_of(guarded.server):
            self._checker.drop(target, key)
        if guarded.verdict.brake:
            self._count_braked(-1)

    async def first_round(self) -> None:
        """Return when everything was checked once and judged, or when that takes too long. The start ends with it."""
        await self._checker.first_round()
        for number, key in enumerate(list(self._unsettled)):
            self._settle_now(key)
            if number % _BATCH == 0:
                await asyncio.sleep(0)

    async def run(self) -> None:
        """Check and judge for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checker.run(), name="health")
            tasks.create_task(self._queue.run(), name="health verdicts")

    def _on_turn(self, target: Target, users: tuple[VirtualServerKey, ...], down_since: float | None) -> None:
        for key in users:
            guarded = self._guarded[key]
            if down_since is None:
                guarded.failing.pop(target, None)
            else:
                guarded.failing[target] = down_since
            self._unsettled[key] = None
            delay = max(self._checks.settle_seconds, guarded.members * _SETTLE_SECONDS_PER_MEMBER)
            self._queue.add_after(key, delay)

    def _fellows(self, users: tuple[VirtualServerKey, ...]) -> Iterator[Target]:
        """Others of the same virtual servers, some of them where they are many."""
        for key in users[:_FEW]:
            server = self._guarded[key].server
            for real_server in random.sample(server.real_servers, min(len(server.real_servers), LOOKED_AT)):
                yield from opinions_on(server, target_of(real_server))

    async def _settle(self, key: VirtualServerKey) -> None:
        self._settle_now(key)
        await asyncio.sleep(0)  # nothing else here lets others have a turn

    def _settle_now(self, key: VirtualServerKey) -> None:
        self._unsettled.pop(key, None)
        guarded = self._guarded.get(key)
        if guarded is None:
            return
        before = guarded.verdict
        after = self._judge(guarded)
        if after != before:
            self._on_verdict(key, after)

    def _judge(self, guarded: _Guarded) -> Verdict:
        before = guarded.verdict
        down = guarded.down = down_of(guarded.server, guarded.failing, guarded.down)
        up = guarded.members - len(down)
        now = asyncio.get_running_loop().time()
        standing = step(Standing(before.out, before.brake), up, down, now, guarded.server.failure_policy)
        guarded.verdict = Verdict(_healthy(guarded), standing.out, standing.brake)
        if standing.brake is not before.brake:
            self._tell_brake(guarded)
        return guarded.verdict

    def _tell_brake(self, guarded: _Guarded) -> None:
        is_on, key = guarded.verdict.brake, str(guarded.server.key)
        self._count_braked(1 if is_on else -1)
        if is_on:
            BRAKES.inc()
            self._log.warning(
                "too many real servers failed at once: those that served keep serving",
                key=key,
                healthy=guarded.verdict.healthy,
                out=len(guarded.verdict.out),
                real_servers=guarded.members,
            )
        else:
            self._log.info("enough real servers take connections again", key=key, healthy=guarded.verdict.healthy)

    def _count_braked(self, change: int) -> None:
        self._braked += change
        BRAKED.set(self._braked)


def _healthy(guarded: _Guarded) -> int | None:
    if not guarded.members:
        return None
    if not guarded.down:
        return takers(guarded.server)
    real_servers = guarded.server.real_servers
    return sum(1 for one in real_servers if one.weight > 0 and target_of(one) not in guarded.down)
