"""Holding a Lease: acquire it, renew it, notice its loss in time, hand it back on a clean stop.

The holder stops considering itself holder when it could not renew for two thirds of the duration, by its own monotonic
clock; others may take the Lease only after watching it unchanged for all of the duration. A Lease does not fence: every
write made under it carries `generation`, and receivers refuse lower ones. Decisions stand in `lease_terms`. A Lease
that is older than one that was read before is no Lease to act under: the store behind it went back in time.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

import structlog
from prometheus_client import Gauge

from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, StoreWentBack
from fleetlb.kube.lease_terms import Action, Lease, Past, Verb, decide_lease, new_lease, release_patch, term_patch
from fleetlb.kube.lease_timing import DEFAULT_TIMING, LeaseTiming
from fleetlb.kube.resources import Resource

TYPED_LEASES = Resource("coordination.k8s.io", "v1", "leases", Lease)
RELEASE_SECONDS = 2.0
"""Handing back is a courtesy to the next holder; a shutdown does not wait longer for it."""

MASTER = Gauge(
    "leader_election_master_status", "1 while this process holds the Lease of that name, 0 otherwise.", ["name"]
)

log = structlog.get_logger(__name__)


class Clock(Protocol):
    """The two clocks that a lease needs."""

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since 1970, for readers and for the first generation."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def wall(self) -> float:
        """See Clock."""
        return time.time()


SYSTEM_CLOCK = SystemClock()


class LeaseHolder:
    """One candidate for one Lease. `run` never returns, and hands the Lease back when cancelled."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming = DEFAULT_TIMING,
        clock: Clock = SYSTEM_CLOCK,
        on_acquired: Callable[[int], None] = lambda generation: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_acquired` gets the generation of the new term; `on_lost` must stop all work of the old one."""
        self._cluster = cluster
        self.namespace = namespace
        self.name = name
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._past = Past()
        self._lease: Lease | None = None
        self._version = 0
        self._observed_at = 0.0
        self._fresh = False
        self._holds_until = 0.0
        self._failing = False
        self._master = MASTER.labels(name)
        self._master.set(0)
        self._log = log.bind(lease=f"{namespace}/{name}", identity=identity)
        self.held = asyncio.Event()
        """Set while the Lease is held; `is_valid` is stricter."""
        self.on_seen: Callable[[Lease], None] = lambda lease: None
        """Hears of the Lease each time that it was read or written."""
        self.on_raised: Callable[[int], None] = lambda generation: None
        """Hears that the present term goes on under a higher generation."""
        self.restraint: Callable[[], bool] = lambda: False
        """Whether no term may begin now."""
        self._hurry = asyncio.Event()
        self._abstains_until = 0.0

    @property
    def generation(self) -> int:
        """The fencing generation of the present term; without one, the highest ever tried (0: none)."""
        return self._past.held or self._past.tried

    @property
    def known_generation(self) -> int:
        """The highest generation that this process has read or tried to write; 0: none."""
        return max(self._past.tried, self._lease.generation if self._lease is not None else 0)

    @property
    def is_abstaining(self) -> bool:
        """Whether the Lease is left to others, since it was handed over."""
        return self._clock.monotonic() < self._abstains_until

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to look at the Lease, or to write it, came to nothing."""
        return self._failing

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty: nobody."""
        return (self._lease.spec.holder_identity or "") if self._lease is not None else ""

    def is_valid(self) -> bool:
        """Whether the Lease is held at this very moment, also right after the process was paused."""
        return self.held.is_set() and self._clock.monotonic() < self._holds_until

    def rise_above(self, generation: int) -> None:
        """Every term to come has a higher generation than this one, which somebody has used; the present one goes on
        under a higher generation soon."""
        if generation > self._past.floor:
            self._past = self._past._replace(floor=generation)
            self._hurry.set()

    def hand_over(self, seconds: float) -> None:
        """End the present term at the next step, and begin none for some seconds: somebody else may have the Lease."""
        self._abstains_until = self._clock.monotonic() + seconds
        self._hurry.set()

    async def run(self) -> NoReturn:
        """Hold the Lease whenever possible, for ever. Raises StoreWentBack."""
        wait = 0.0
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._hurry.wait()
                self._hurry.clear()
                wait = await self.step()
        finally:
            await self._release()

    async def step(self) -> float:
        """One attempt to acquire, renew or look; returns the seconds until the next one is due."""
        try:
            async with asyncio.timeout(self._left()):
                wait = await self._attempt()
            self._failing = False
            if self._lease is not None:
                self.on_seen(self._lease)
        except (ApiError, TimeoutError) as problem:
            wait = self._timing.retry
            self._fresh = False  # the outcome of a write may be unknown: read before the next
            if not self._failing:
                self._failing = True
                self._log.warning("cannot use the lease; trying again", problem=str(problem) or "timeout")
        left = self._left()
        if left is None:
            return wait
        if left == 0.0:
            self._lose("it could not be renewed in time")
        return min(wait, left)

    def _left(self) -> float | None:
        """Seconds until the term is over unless renewed; None when there is no term."""
        return max(0.0, self._holds_until - self._clock.monotonic()) if self.held.is_set() else None

    async def _attempt(self) -> float:
        if self.held.is_set() and self.is_abstaining:
            self._lose("handed over")
            await self._give_back()
        if not self._fresh:
            await self._look()
        action = self._decide()
        if self.held.is_set() and action.verb not in (Verb.RENEW, Verb.RAISE):
            self._lose("the lease is no longer as we left it")
            action = self._decide()
        is_restrained = not self.held.is_set() and (self.is_abstaining or self.restraint())
        if action.verb is Verb.WAIT or is_restrained:
            self._fresh = False
            return self._timing.retry
        started = self._clock.monotonic()
        if not await self._write(action):
            self._fresh = False
            return self._timing.retry / 10  # somebody was faster: look again
        self._won(action, started)
        return self._timing.renew

    def _decide(self) -> Action:
        return decide_lease(
            self._lease,
            self._identity,
            self._past,
            observed_at=self._observed_at,
            now=self._clock.monotonic(),
            epoch_seconds=int(self._clock.wall()),
        )

    async def _look(self) -> None:
        try:
            self._observe(await self._cluster.get(TYPED_LEASES, self.name, self.namespace))
        except NotFound:
            self._lease = None
        self._fresh = True

    def _observe(self, lease: Lease) -> None:
        version = lease.version
        if version < self._version:
            raise StoreWentBack(f"lease {self.namespace}/{self.name}", self._version, version)
        self._version = version
        if self._lease is None or lease.beat != self._lease.beat:
            self._observed_at = self._clock.monotonic()
        self._lease = lease

    async def _write(self, action: Action) -> bool:
        """False: the Lease is not as it was read, nothing was written."""
        self._past = self._past._replace(tried=max(self._past.tried, action.generation))
        duration, epoch = self._timing.duration, self._clock.wall()
        try:
            if self._lease is None:
                lease = new_lease(self.namespace, self.name, self._identity, action, duration=duration, epoch=epoch)
                self._observe(await self._cluster.create(TYPED_LEASES, lease))
            else:
                body = term_patch(self._lease, self._identity, action, duration=duration, epoch=epoch)
                self._observe(await self._patch(body))
        except (Conflict, AlreadyExists):
            return False
        except NotFound:
            if self._lease is None:  # not the Lease is missing but its namespace
                raise
            return False
        return True

    async def _patch(self, body: object) -> Lease:
        return await self._cluster.patch(TYPED_LEASES, self.name, body, kind=PatchKind.MERGE, namespace=self.namespace)

    def _won(self, action: Action, started: float) -> None:
        self._holds_until = started + self._timing.hold
        if action.verb is Verb.RENEW:
            return
        self._past = self._past._replace(held=action.generation)
        if action.verb is Verb.RAISE:
            self._log.info("lease raised", generation=action.generation)
            self.on_raised(action.generation)
            return
        self.held.set()
        self._master.set(1)
        self._log.info("lease acquired", generation=action.generation)
        self._on_acquired(action.generation)

    def _lose(self, why: str) -> None:
        self._past = self._past._replace(held=0)
        self._fresh = False
        self.held.clear()
        self._master.set(0)
        self._log.warning("lease lost", generation=self._past.tried, why=why)
        self._on_lost()

    async def _release(self) -> None:
        """Hand back what this process holds, or may hold after a write of unknown outcome."""
        if self.held.is_set():
            self._lose("stopping")
        if self._past.tried:
            await self._give_back()

    async def _give_back(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._look()
                lease = self._lease
                if lease and lease.spec.holder_identity == self._identity and lease.generation == self._past.tried:
                    await self._patch(release_patch(lease, epoch=self._clock.wall()))
        except (ApiError, TimeoutError) as problem:
            self._log.info("could not hand the lease back; it will expire", problem=str(problem) or "timeout")
