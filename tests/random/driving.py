"""Workers without an event loop: a run is a coroutine that is sent on by hand, and can be left in the middle of it.

The order of runs follows from a seed alone, so that a history can be told again.
"""

import random
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Hashable
from typing import Any, NamedTuple, TypeVar, cast

from fleetlb.domain.errors import Stale, Transient
from fleetlb.kube.errors import NotPermitted, Unavailable

T = TypeVar("T")
Run = Coroutine[Any, Any, float | None]
RETRY_SECONDS = 0.5


class Task(NamedTuple):
    """A key and the worker that it is for."""

    kind: str
    key: Any


class Gate:
    """Where every call to the API server or the bus comes by: it passes, stops halfway, or fails."""

    def __init__(self) -> None:
        self.acting = True
        self.stop_in = 0
        self.fail_in = 0
        self.fail_after = False
        self.on_call: Callable[[], None] = lambda: None

    @types.coroutine
    def stop(self) -> Generator[None, None, None]:
        """Leave the run here; nothing has happened yet, and will when it is sent on."""
        yield

    def counts_down(self, name: str) -> bool:
        left = getattr(self, name)
        if left:
            setattr(self, name, left - 1)
        return bool(left == 1)


def gated(inner: T, gate: Gate, *, fenced: bool) -> T:
    """The same port behind a gate. `fenced`: the way is closed to who has lost the right to write."""
    return cast(T, _Gated(inner, gate, fenced))


class _Gated:
    def __init__(self, inner: object, gate: Gate, fenced: bool) -> None:
        self._inner = inner
        self._gate = gate
        self._fenced = fenced

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call, gate = getattr(self._inner, name), self._gate
        fenced = self._fenced and name != "read"

        async def through(*args: Any, **kwargs: Any) -> Any:
            if fenced and not gate.acting:
                raise NotPermitted(name)
            if gate.counts_down("stop_in"):
                await gate.stop()
            gate.on_call()
            if not gate.counts_down("fail_in"):
                return await call(*args, **kwargs)
            if gate.fail_after:
                await call(*args, **kwargs)
            raise Unavailable(name)

        setattr(self, name, through)
        return through


class Driver:
    """Queues of keys, one run per key at a time, and times to look again, as `fleetlb.runtime.workers` has them."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._random = random.Random(seed)
        self._now = now
        self.queued: dict[str, dict[Hashable, None]] = {}
        self.workers: dict[str, Callable[[Any], Run]] = {}
        self.held: dict[Task, Run] = {}
        self.wanted: dict[Task, float] = {}
        self.retries: dict[Task, float] = {}
        self.is_late = False
        """Whether a run goes on that decided before what happened meanwhile."""
        self.recent: deque[Task] = deque(maxlen=8)

    def pick(self, choices: list[T]) -> T:
        """One of these, by the seed."""
        return choices[int(self._random.random() * len(choices))] if len(choices) > 1 else choices[0]

    def next(self) -> Task | None:
        """A key that can be worked on."""
        kinds = [kind for kind, keys in self.queued.items() if keys]
        while kinds:
            kind = self.pick(kinds)
            tasks = [task for key in self.queued[kind] if (task := Task(kind, key)) not in self.held]
            if tasks:
                task = self.pick(tasks)
                del self.queued[kind][task.key]
                return task
            kinds.remove(kind)
        return None

    def begin(self, task: Task) -> None:
        """Work on a key, until it is done or the gate stops it."""
        self.retries.pop(task, None)
        self.recent.append(task)
        self._send(task, self.workers[task.kind](task.key))

    def go_on(self, task: Task) -> None:
        """A run that stopped halfway goes on."""
        self.is_late = True
        self._send(task, self.held.pop(task))
        self.is_late = False

    def drop(self) -> None:
        """The process is no more."""
        for run in self.held.values():
            run.close()
        self.held.clear()

    def ring(self) -> None:
        """Queue whatever should be looked at by now."""
        now = self._now()
        for times in (self.wanted, self.retries):
            for task in [task for task, due in times.items() if due <= now]:
                del times[task]
                self.queued[task.kind][task.key] = None

    def _send(self, task: Task, run: Run) -> None:
        try:
            run.send(None)
        except StopIteration as done:
            if done.value is not None:
                self._later(self.wanted, task, done.value)
        except Stale:
            return
        except Transient as problem:
            self._later(self.retries, task, problem.retry_after or RETRY_SECONDS)
        else:
            self.held[task] = run

    def _later(self, times: dict[Task, float], task: Task, seconds: float) -> None:
        due = self._now() + seconds
        times[task] = min(due, times.get(task, due))
