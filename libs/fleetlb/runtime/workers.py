"""Keyed workers after client-go's work queue: one run per key at a time, many keys side by side, failures apart.

A key is *added* when something about it changed; `reconcile` then looks at memory and does what is left to do. Rules:

* added while queued: nothing more happens; added while running: it runs once more afterwards;
* `reconcile` returns None when it is content, or the seconds after which to run again;
* a time asked for is kept, whatever happens before: of several for one key the earliest counts;
* Transient: the key alone is retried, later each time (or when the other side asked to); Stale: content;
* any other exception is a bug: logged with its stack, counted, the key quarantined (retried slowly). Others go on.

Every operation costs O(1), a delayed one O(log n). Must not know what keys mean.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NoReturn, TypeVar

import structlog

from fleetlb.domain.errors import Stale, Transient
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.fair_queue import FairQueue
from fleetlb.runtime.work_metrics import meters_of

K = TypeVar("K", bound=Hashable)
RETRY = Backoff(initial=0.05, cap=30.0, factor=2.0, jitter=0.3)
QUARANTINE = Backoff(initial=1.0, cap=300.0, factor=4.0, jitter=0.3)
_LASTING_TROUBLE = 8
"""A key that failed so often in a row is worth a line that everybody sees."""


class Reconciler(Generic[K]):
    """A queue of keys and the workers that reconcile them."""

    def __init__(
        self,
        reconcile: Callable[[K], Awaitable[float | None]],
        *,
        name: str,
        concurrency: int = 16,
        backoff: Backoff = RETRY,
        lane_of: Callable[[K], Hashable] = lambda _: None,
    ) -> None:
        """`concurrency` bounds the keys that run side by side; keys of different lanes take turns (tenants, say)."""
        self._reconcile = reconcile
        self._name = name
        self._concurrency = concurrency
        self._backoff = backoff
        self._queue: FairQueue[K] = FairQueue(lane_of)
        self._dirty: set[K] = set()
        self._running: set[K] = set()
        self._wanted = _Timers[K](self.add)
        self._retry = _Timers[K](self.add)
        self._failures: dict[K, int] = {}
        self._quarantined: set[K] = set()
        self._work = asyncio.Semaphore(0)
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("fleetlb.workers").bind(reconciler=name)
        self._meters = meters_of(name)
        self._meters.depth = self._queue.__len__

    def add(self, key: K) -> None:
        """Run the key as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        self._idle.clear()
        if key not in self._running:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Run the key after a time, also if it runs before; of several times the earliest counts."""
        if seconds <= 0:
            self.add(key)
        else:
            self._wanted.set(key, seconds)

    def idle(self) -> bool:
        """Whether nothing is queued or running; keys that wait for a time do not count."""
        return self._idle.is_set()

    @property
    def delayed(self) -> int:
        """How many runs wait for a time to come, retries included."""
        return len(self._wanted) + len(self._retry)

    async def join(self) -> None:
        """Wait until nothing is queued or running."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Work for ever."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._concurrency):
                tasks.create_task(self._worker(), name=f"{self._name}-{number}")
        raise AssertionError("workers never return")

    def _enqueue(self, key: K) -> None:
        self._queue.push(key)
        self._meters.adds += 1
        self._work.release()

    async def _worker(self) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.time()
        while True:
            has_waited = self._work.locked()
            await self._work.acquire()
            began = loop.time() if has_waited else ended
            key = self._queue.pop()
            self._dirty.discard(key)
            self._running.add(key)
            self._retry.cancel(key)
            try:
                await self._attempt(key)
            finally:
                self._running.discard(key)
            ended = loop.time()
            self._meters.observe(ended - began)
            if key in self._dirty:
                self._enqueue(key)
            elif not self._dirty and not self._running:
                self._dirty = set()  # an emptied set keeps the room of its largest size
                self._idle.set()

    async def _attempt(self, key: K) -> None:
        try:
            delay = await self._reconcile(key)
        except Stale:
            self._settle(key, "stale")
        except Transient as problem:
            self._after_transient(key, problem)
        except Exception as problem:  # the one place where a bug becomes one key's trouble
            self._after_bug(key, problem)
        else:
            self._settle(key, "ok")
            if delay is not None:
                self.add_after(key, delay)

    def _settle(self, key: K, result: str) -> None:
        self._failures.pop(key, None)
        self._quarantine(key, wanted=False)
        self._meters.results[result] += 1

    def _after_transient(self, key: K, problem: Transient) -> None:
        attempt = self._count_failure(key)
        self._meters.results["retry"] += 1
        self._quarantine(key, wanted=False)
        if attempt == 0:
            self._log.debug("will be tried again", key=str(key), problem=str(problem))
        elif attempt == _LASTING_TROUBLE:
            self._log.warning("still failing; trying on", key=str(key), attempts=attempt + 1, problem=str(problem))
        delay = problem.retry_after
        if delay is None:
            delay = self._backoff.delay(attempt, random.random())  # noqa: S311 - jitter
        self._retry.set(key, delay)

    def _after_bug(self, key: K, problem: Exception) -> None:
        attempt = self._count_failure(key)
        self._meters.results["bug"] += 1
        self._quarantine(key, wanted=True)
        self._log.error("a bug; this key alone waits", key=str(key), problem=str(problem), exc_info=problem)
        self._retry.set(key, QUARANTINE.delay(attempt, random.random()))  # noqa: S311 - jitter

    def _count_failure(self, key: K) -> int:
        attempt = self._failures.get(key, 0)
        self._failures[key] = attempt + 1
        self._meters.retries += 1
        return attempt

    def _quarantine(self, key: K, *, wanted: bool) -> None:
        if wanted == (key in self._quarantined):
            return
        (self._quarantined.add if wanted else self._quarantined.discard)(key)
        self._meters.quarantined = len(self._quarantined)


class _Timers(Generic[K]):
    """At most one timer per key, the earliest that was asked for."""

    def __init__(self, call: Callable[[K], None]) -> None:
        self._call = call
        self._handles: dict[K, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._handles)

    def set(self, key: K, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        handle = self._handles.get(key)
        if handle is not None and handle.when() <= loop.time() + seconds:
            return
        self.cancel(key)
        self._handles[key] = loop.call_later(seconds, self._ring, key)

    def cancel(self, key: K) -> None:
        handle = self._handles.pop(key, None)
        if handle is not None:
            handle.cancel()

    def _ring(self, key: K) -> None:
        del self._handles[key]
        self._call(key)
