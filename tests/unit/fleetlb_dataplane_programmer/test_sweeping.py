import asyncio
import itertools

import msgspec
import pytest

from fleetlb.contracts.v1 import Probe
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey, parse_key
from fleetlb.runtime.backoff import Backoff
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish
from fleetlb_dataplane_programmer.deciding import Apply
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.programming import Ledger
from fleetlb_dataplane_programmer.sweeping import CONCURRENCY, Pace, Pacer, Sweeper

PACE = Pace(batch_seconds=1e-6, retry=Backoff(initial=1.0, cap=10.0, factor=2.0, jitter=0.0))
KEY = parse_key("192.0.2.1:443/tcp")


def _delay(pacer: Pacer, failures: int, *, now: float = 1000.0, fresh: bool = False, riders: int = 1) -> float:
    return pacer.delay(failures, fresh=fresh, now=now, riders=riders)


def test_one_that_answers_is_left_alone_for_a_while() -> None:
    assert _delay(Pacer(PACE), 0) == pytest.approx(15.0)


@pytest.mark.parametrize(("random01", "expected"), [(0.0, 13.5), (0.5, 15.0), (1.0, 16.5)])
def test_chance_moves_a_sweep_by_no_more_than_agreed(random01: float, expected: float) -> None:
    pacer = Pacer(msgspec.structs.replace(PACE, sweep_jitter=0.1))
    delay = pacer.delay(0, fresh=False, now=1000.0, riders=1, random01=random01)
    assert delay == pytest.approx(expected)


def test_sweeps_are_done_in_batches_as_large_as_the_rate_allows() -> None:
    pacer = Pacer(Pace())
    due = [round(1000.4 + _delay(pacer, 0, now=1000.4, riders=1000), 6) for _ in range(100)]
    assert all(time == int(time) and time >= 1015.4 for time in due)
    assert max(due.count(time) for time in due) <= 10
    assert len(set(due)) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failure_is_confirmed_soon_and_of_a_new_revision_at_once(failures: int) -> None:
    assert _delay(Pacer(PACE), failures) == 1.0
    assert _delay(Pacer(PACE), failures, fresh=True) == 0.05


def test_one_that_stays_silent_is_tried_ever_later() -> None:
    pacer = Pacer(PACE)
    delays = [_delay(pacer, failures) for failures in (3, 4, 5, 6, 7, 60)]
    assert delays == pytest.approx([1.0, 2.0, 4.0, 8.0, 10.0, 10.02])


def test_a_sweep_over_many_keeps_its_rate() -> None:
    pacer = Pacer(PACE)
    due = [_delay(pacer, 0, riders=1000) for _ in range(1000)]
    assert due[0] == pytest.approx(15.0)
    assert all(second - first >= 0.0999 for first, second in itertools.pairwise(due))
    assert due[-1] == pytest.approx(15.0 + 999 * 0.1, abs=20.0)


def test_rounds_follow_one_another_without_gaps_or_heaps() -> None:
    pacer, now = Pacer(PACE), 0.0
    times: list[float] = []
    waiting = [(0.0, key) for key in range(300)]
    while len(times) < 1500:
        waiting.sort()
        now, key = waiting.pop(0)
        times.append(now)
        waiting.append((now + pacer.delay(0, fresh=False, now=now, riders=300), key))
    steady = times[600:]
    assert len(steady) / (steady[-1] - steady[0]) == pytest.approx(10.0, rel=0.1)


def test_when_most_are_gone_the_rest_need_not_wait_for_the_round_of_the_many() -> None:
    pacer = Pacer(PACE)
    for _ in range(5000):
        _delay(pacer, 0, riders=5000)
    assert _delay(pacer, 0, riders=3) <= 15.31


def test_all_at_once_is_spread() -> None:
    pacer = Pacer(PACE)
    assert [round(pacer.soon(5.0, 3), 3) for _ in range(3)] == [0.0, 0.02, 0.04]


class Dialler:
    """Answers as it is told, and counts."""

    def __init__(self) -> None:
        self.answers: dict[VirtualServerKey, bool | None] = {}
        self.turns: list[int] = []
        self.running = 0
        self.most = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, server: VirtualServer, *, turn: int) -> bool | None:
        self.turns.append(turn)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.hold.wait()
        self.running -= 1
        return self.answers.get(server.key, True)


class Bench:
    """A sweeper over a ledger whose engine acknowledges everything."""

    def __init__(self, pace: Pace) -> None:
        self.ledger = Ledger("node-1", allow_loopback=False)
        self.dialler = Dialler()
        self.changes: list[VirtualServerKey] = []
        self.sweeper = Sweeper(self.ledger, self.dialler, self.changes.append, now_us=lambda: 7, pace=pace)

    def program(self, key: VirtualServerKey, revision: int = 1) -> None:
        decision = self.ledger.fold(a_wish(key, revision=revision), now=1)
        assert isinstance(decision, Apply)
        self.ledger.take_outcome(key, Outcome(state=State.PROGRAMMED, token=decision.token), now=2)
        self.sweeper.look_at(key)

    def word(self, key: VirtualServerKey) -> Probe:
        realized = self.ledger.realized(key)
        assert realized is not None
        return realized.probe


FAST = Pace(
    sweep_seconds=0.02,
    sweeps_per_second=1000.0,
    batch_seconds=0.001,
    retry=Backoff(initial=0.01, cap=0.02, jitter=0.0),
    retries_per_second=1000.0,
    confirm_fresh_seconds=0.005,
    confirm_seconds=0.005,
)


async def test_what_is_programmed_is_probed_and_a_change_is_told_once() -> None:
    bench = Bench(FAST)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        bench.program(KEY)
        await eventually(lambda: len(bench.dialler.turns) > 5)
        assert bench.changes == [KEY]
        assert bench.word(KEY) is Probe.ANSWERED
        running.cancel()
    assert bench.dialler.turns == sorted(set(bench.dialler.turns))


async def test_the_death_and_the_return_of_all_real_servers_are_noticed() -> None:
    bench = Bench(FAST)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        bench.program(KEY)
        await eventually(lambda: bench.changes == [KEY])
        bench.dialler.answers[KEY] = False
        await eventually(lambda: bench.word(KEY) is Probe.UNANSWERED)
        bench.dialler.answers[KEY] = True
        await eventually(lambda: bench.word(KEY) is Probe.ANSWERED)
        assert bench.changes == [KEY, KEY, KEY]
        running.cancel()


async def test_a_probe_that_cannot_be_made_is_tried_again_without_a_word() -> None:
    bench = Bench(msgspec.structs.replace(FAST, sweep_seconds=60.0))
    bench.dialler.answers[KEY] = None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        bench.program(KEY)
        await eventually(lambda: len(bench.dialler.turns) > 3)
        assert bench.changes == []
        running.cancel()


async def test_a_removed_key_is_probed_no_more() -> None:
    bench = Bench(FAST)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        bench.program(KEY)
        await eventually(lambda: bench.changes == [KEY])
        bench.ledger.fold(a_wish(KEY, None, revision=2), now=1)
        other = parse_key("192.0.2.2:443/tcp")
        bench.program(other)
        before = len(bench.dialler.turns)
        await eventually(lambda: len(bench.dialler.turns) > before + 5)
        assert bench.ledger.probed_keys() == [other]
        assert bench.changes == [KEY, other]
        running.cancel()


async def test_probes_side_by_side_are_bounded_and_a_backlog_shows() -> None:
    bench = Bench(FAST)
    bench.dialler.hold.clear()
    keys = [parse_key(f"192.0.{n // 250}.{n % 250 + 1}:80/tcp") for n in range(3 * CONCURRENCY)]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        for key in keys:
            bench.program(key)
        await eventually(lambda: bench.dialler.running == CONCURRENCY)
        assert bench.sweeper.has_backlog
        bench.dialler.hold.set()
        await eventually(lambda: set(bench.changes) == set(keys))
        assert not bench.sweeper.has_backlog
        assert bench.dialler.most == CONCURRENCY
        running.cancel()


async def test_all_can_be_looked_at_again_before_their_time() -> None:
    bench = Bench(Pace(retries_per_second=1000.0))
    keys = [parse_key(f"192.0.2.{n}:80/tcp") for n in range(1, 6)]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.sweeper.run())
        for key in keys:
            bench.program(key)
        await eventually(lambda: set(bench.changes) == set(keys))
        bench.sweeper.look_at_all()
        await eventually(lambda: len(bench.dialler.turns) == 2 * len(keys))
        running.cancel()
