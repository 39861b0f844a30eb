import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from fleetlb.domain.errors import Stale, Transient
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.workers import QUARANTINE, Reconciler
from fleetlb.testkit.virtual_time import run_virtually

STEADY = Backoff(initial=1, cap=64, jitter=0)


class Recorder:
    """A reconcile function that does what it is told and notes when it ran."""

    def __init__(self, *outcomes: float | Exception | None, takes: float = 0) -> None:
        self.runs: list[tuple[str, float]] = []
        self.running: set[str] = set()
        self.most = 0
        self._outcomes = list(outcomes)
        self._takes = takes

    async def __call__(self, key: str) -> float | None:
        assert key not in self.running, "two workers on one key"
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        self.runs.append((key, asyncio.get_running_loop().time()))
        await asyncio.sleep(self._takes)
        self.running.discard(key)
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def times(self) -> list[float]:
        return [round(time, 3) for _, time in self.runs]

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.runs]


@contextlib.asynccontextmanager
async def running(reconciler: Reconciler[str]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(reconciler.run())
        await asyncio.sleep(0)
        yield
        assert not work.done()
        work.cancel()


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def scenario(
    recorder: Recorder, steps: Callable[[Reconciler[str]], Awaitable[None]], *, name: str = "t", concurrency: int = 2
) -> None:
    async def main() -> None:
        reconciler: Reconciler[str] = Reconciler(recorder, name=name, concurrency=concurrency, backoff=STEADY)
        async with running(reconciler):
            await steps(reconciler)

    run_virtually(main())


def test_a_key_added_often_while_queued_runs_once() -> None:
    recorder = Recorder()

    async def steps(reconciler: Reconciler[str]) -> None:
        for _ in range(5):
            reconciler.add("a")
        assert not reconciler.idle()
        await reconciler.join()

    scenario(recorder, steps)
    assert recorder.keys == ["a"]


def test_a_key_added_while_running_runs_once_more() -> None:
    recorder = Recorder(takes=10)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(5)
        reconciler.add("a")
        reconciler.add("a")
        await reconciler.join()

    scenario(recorder, steps)
    assert recorder.times == [0, 10]


def test_keys_run_side_by_side_up_to_the_bound_and_never_twice_at_once() -> None:
    recorder = Recorder(takes=1)

    async def steps(reconciler: Reconciler[str]) -> None:
        for key in "abcdef":
            reconciler.add(key)
        await asyncio.sleep(0.5)
        for key in "abcdef":
            reconciler.add(key)
        await reconciler.join()

    scenario(recorder, steps, concurrency=3)
    assert recorder.most == 3
    assert sorted(recorder.keys) == sorted("abcdef" + "abc")


def test_the_returned_seconds_bring_the_key_back() -> None:
    recorder = Recorder(7.0, None)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await reconciler.join()
        assert reconciler.delayed == 1
        await asyncio.sleep(100)
        assert reconciler.delayed == 0

    scenario(recorder, steps)
    assert recorder.times == [0, 7]


def test_of_two_times_the_earlier_counts() -> None:
    recorder = Recorder()

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add_after("a", 10)
        reconciler.add_after("a", 3)
        reconciler.add_after("a", 20)
        await asyncio.sleep(100)

    scenario(recorder, steps)
    assert recorder.times == [3]


def test_a_time_asked_for_is_kept_though_the_key_runs_before() -> None:
    recorder = Recorder()

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        reconciler.add_after("a", 0.5)
        await asyncio.sleep(100)

    scenario(recorder, steps)
    assert recorder.times == [0, 0.5]


def test_no_time_is_at_once() -> None:
    recorder = Recorder()

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add_after("a", 0)
        await reconciler.join()

    scenario(recorder, steps)
    assert recorder.times == [0]


def test_transient_failures_back_off_and_success_forgets_them() -> None:
    recorder = Recorder(Transient("x"), Transient("x"), Transient("x"), None, Transient("x"), None)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(50)
        reconciler.add("a")
        await asyncio.sleep(50)

    scenario(recorder, steps)
    assert recorder.times == [0, 1, 3, 7, 50, 51]


def test_the_other_sides_wish_for_a_delay_is_honoured() -> None:
    recorder = Recorder(Transient("busy", retry_after=13), None)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(50)

    scenario(recorder, steps)
    assert recorder.times == [0, 13]


def test_a_change_does_not_wait_for_the_back_off_and_the_old_retry_is_off() -> None:
    recorder = Recorder(Transient("busy", retry_after=100), None)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(5)
        reconciler.add("a")
        await asyncio.sleep(500)

    scenario(recorder, steps)
    assert recorder.times == [0, 5]


def test_a_bug_in_one_key_leaves_the_others_alone_and_is_counted() -> None:
    class Buggy(Recorder):
        async def __call__(self, key: str) -> float | None:
            await super().__call__(key)
            if key == "bad":
                raise ZeroDivisionError
            return None

    recorder = Buggy()

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("bad")
        reconciler.add("good")
        await asyncio.sleep(4_000)
        assert sample("fleetlb_quarantined_keys", reconciler="bugs") == 1
        reconciler.add("good")
        await reconciler.join()

    scenario(recorder, steps, name="bugs", concurrency=1)
    assert recorder.keys.count("good") == 2
    assert sample("fleetlb_reconcile_errors_total", reconciler="bugs") == recorder.keys.count("bad")
    bad = [time for key, time in recorder.runs if key == "bad"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(bad)]
    assert len(gaps) > 10
    assert max(gaps) <= QUARANTINE.cap + 0.01


def test_a_key_that_recovers_leaves_quarantine() -> None:
    recorder = Recorder(ValueError("bug"), None)

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(50)
        assert sample("fleetlb_quarantined_keys", reconciler="recovers") == 0

    scenario(recorder, steps, name="recovers")
    assert len(recorder.runs) == 2
    assert sample("fleetlb_reconcile_total", reconciler="recovers", result="bug") == 1
    assert sample("fleetlb_reconcile_total", reconciler="recovers", result="ok") == 1


def test_stale_is_content() -> None:
    recorder = Recorder(Stale("old"))

    async def steps(reconciler: Reconciler[str]) -> None:
        reconciler.add("a")
        await asyncio.sleep(1000)

    scenario(recorder, steps)
    assert recorder.times == [0]


def test_lanes_take_turns() -> None:
    recorder = Recorder(takes=1)

    async def main() -> None:
        reconciler: Reconciler[str] = Reconciler(recorder, name="lanes", concurrency=1, lane_of=lambda key: key[0])
        for number in range(100):
            reconciler.add(f"a{number}")
        reconciler.add("b0")
        async with running(reconciler):
            await reconciler.join()

    run_virtually(main())
    assert recorder.keys[:3] == ["a0", "b0", "a1"]


def test_fifty_thousand_keys_are_no_burden() -> None:
    recorder = Recorder()

    async def steps(reconciler: Reconciler[str]) -> None:
        for number in range(50_000):
            reconciler.add(str(number))
            reconciler.add_after(str(number), 60 + number / 1000)
        await reconciler.join()
        assert len(recorder.runs) == 50_000
        await asyncio.sleep(200)
        await reconciler.join()

    scenario(recorder, steps, name="many", concurrency=16)
    assert len(recorder.runs) == 100_000


def test_cancelling_ends_the_workers_in_the_middle_of_a_run() -> None:
    recorder = Recorder(takes=1000)

    async def main() -> None:
        reconciler: Reconciler[str] = Reconciler(recorder, name="cancel")
        async with running(reconciler):
            reconciler.add("a")
            await asyncio.sleep(1)
        assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)

    run_virtually(main())


async def test_idle_workers_cost_nothing() -> None:
    async def nothing(_: str) -> None:
        return None

    reconciler: Reconciler[str] = Reconciler(nothing, name="idle", concurrency=64)
    loop = asyncio.get_running_loop()
    async with running(reconciler):
        assert reconciler.idle()
        await asyncio.sleep(0)
        scheduled = len(getattr(loop, "_scheduled", ()))
        assert scheduled == 0, "idle workers hold timers"
