"""Schedules in virtual time, with the intervals of the product; real sockets are tried in tests/component."""

import asyncio
import contextlib
import errno
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec
import pytest

from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_dataplane_programmer.checking import CONCURRENCY, Checker, Checks
from fleetlb_dataplane_programmer.dialling import Reach
from fleetlb_dataplane_programmer.health import SILENT_PORTS, Target

KEY, OTHER = parse_key("192.0.2.1:443/tcp"), parse_key("192.0.2.2:443/tcp")
TARGET = Target("10.0.0.1", 31000)
HOST = [Target("10.0.0.1", 30000 + port) for port in range(5000)]


class Bench:
    """A checker over a network of the test's making."""

    def __init__(self, checks: Checks | None = None) -> None:
        self.answers: dict[str | Target, Reach | int] = {}
        """By target, else by address: what becomes of dialling, or the number of an error."""
        self.dials: list[tuple[float, Target]] = []
        self.running, self.most = 0, 0
        self.turns: list[tuple[Target, tuple[VirtualServerKey, ...], float | None]] = []
        self.fellows: list[Target] = []
        self.down: set[Target] = set()
        checks = msgspec.structs.replace(checks or Checks(), dial=self._dial, ask=self._ask)
        self.checker = Checker(self._on_turn, lambda _: self.fellows, checks)

    @contextlib.asynccontextmanager
    async def at_work(self, *targets: Target, start: bool = False) -> AsyncIterator["Bench"]:
        """A checker at work that has looked at these targets once; `start`: it has not ended its start."""
        if not start:
            await self.checker.first_round()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.checker.run())
            for target in targets:
                self.checker.want(target, KEY)
            if not start:
                await self.until(lambda: len(self.dials) >= len(targets) and self._all_dialled(targets), 60.0)
                await asyncio.sleep(0.1)
            yield self
            running.cancel()

    def _all_dialled(self, targets: Iterable[Target]) -> bool:
        return {target for _, target in self.dials}.issuperset(targets)

    async def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """How long it takes until the condition holds; at most `seconds`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not condition():
            assert loop.time() - began <= seconds, f"not within {seconds} s"
            await asyncio.sleep(0.01)
        return loop.time() - began

    def dialled(self, target: Target) -> list[float]:
        return [at for at, dialled in self.dials if dialled == target]

    async def _dial(self, address: str, port: int, seconds: float) -> Reach:
        return await self._check(Target(address, port), seconds)

    async def _ask(self, address: str, port: int, seconds: float) -> Reach:
        return await self._check(Target(address, port, is_asked=True), seconds)

    async def _check(self, target: Target, seconds: float) -> Reach:
        self.dials.append((asyncio.get_running_loop().time(), target))
        self.running += 1
        self.most = max(self.most, self.running)
        answer = self.answers.get(target, self.answers.get(target.address, Reach.REACHED))
        await asyncio.sleep(seconds if answer is Reach.SILENT else 0.001)
        self.running -= 1
        if isinstance(answer, int):
            raise OSError(answer, "no means")
        return answer

    def _on_turn(self, target: Target, users: tuple[VirtualServerKey, ...], down_since: float | None) -> None:
        self.turns.append((target, users, down_since))
        (self.down.discard if down_since is None else self.down.add)(target)


def _now() -> float:
    return asyncio.get_running_loop().time()


def test_a_new_target_is_checked_at_once_and_then_every_five_seconds_or_so() -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET) as bench:
            await asyncio.sleep(60.0)
            times = bench.dialled(TARGET)
            assert times[0] < 0.01
            assert 9 <= len(times) - 1 <= 14
            assert bench.turns == []

    run_virtually(scenario())


@pytest.mark.parametrize("why", [Reach.REFUSED, Reach.UNREACHABLE, Reach.SILENT])
def test_a_dead_target_is_told_within_three_seconds_of_its_first_failure(why: Reach) -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET) as bench:
            bench.answers[TARGET] = why
            before = len(bench.dials)
            await bench.until(lambda: len(bench.dials) > before, 7.0)
            assert await bench.until(lambda: bench.down == {TARGET}, 3.1) > 1.9
            ((target, users, down_since),) = bench.turns
            assert (target, users) == (TARGET, (KEY,))
            assert down_since == pytest.approx(_now(), abs=0.02)
            assert len(bench.dials) == before + 3

    run_virtually(scenario())


def test_its_return_is_told_after_two_successes() -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET) as bench:
            bench.answers[TARGET] = Reach.REFUSED
            await bench.until(lambda: bench.down == {TARGET}, 9.0)
            await asyncio.sleep(60.0)
            assert len(bench.dials) < 20, "what is long dead is not looked at more often than what lives"
            bench.answers.clear()
            before = len(bench.dials)
            await bench.until(lambda: bench.down == set(), 7.0)
            assert len(bench.dials) == before + 2
            assert bench.turns[-1] == (TARGET, (KEY,), None)

    run_virtually(scenario())


def test_what_several_want_is_checked_once_and_told_to_all() -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET) as bench:
            assert bench.checker.want(TARGET, OTHER) is None
            bench.answers[TARGET] = Reach.REFUSED
            await bench.until(lambda: bench.down == {TARGET}, 9.0)
            await asyncio.sleep(0.1)
            assert len(bench.turns) == 1
            assert bench.turns[0][1] == (KEY, OTHER)
            times = bench.dialled(TARGET)
            assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(times))
            bench.checker.drop(TARGET, KEY)
            assert bench.checker.want(TARGET, KEY) == bench.turns[0][2], "what one knows, the other learns"

    run_virtually(scenario())


def test_what_nobody_wants_is_checked_no_more_and_a_check_under_way_says_nothing() -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET, Target("10.0.0.1", 31001)) as bench:
            bench.answers[TARGET] = Reach.SILENT
            await bench.until(lambda: len(bench.dialled(TARGET)) == 4, 15.0)  # the last of three is under way
            bench.checker.drop(TARGET, KEY)
            await asyncio.sleep(60.0)
            assert bench.turns == []
            assert len(bench.dialled(TARGET)) == 4
            bench.checker.want(TARGET, KEY)
            await asyncio.sleep(0.01)
            assert len(bench.dialled(TARGET)) == 5, "wanted anew, it is new"

    run_virtually(scenario())


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_without_the_means_to_check_nothing_is_known_and_nothing_is_hurried(number: int) -> None:
    async def scenario() -> None:
        async with Bench().at_work(TARGET) as bench:
            bench.answers[TARGET] = number
            await asyncio.sleep(60.0)
            assert bench.turns == []
            assert len(bench.dials) <= 15

    run_virtually(scenario())


def test_at_rest_twenty_thousand_are_checked_at_the_agreed_rate_all_in_turn() -> None:
    targets = [
        Target(f"10.0.{number // 250}.{number % 250}", 30000 + port) for number in range(200) for port in range(100)
    ]

    async def scenario() -> None:
        async with Bench().at_work(*targets) as bench:
            assert bench.most <= CONCURRENCY
            await asyncio.sleep(400.0)
            bench.dials.clear()
            await asyncio.sleep(420.0)
            assert len(bench.dials) == pytest.approx(50 * 420, rel=0.02)
            seconds = [int(at) for at, _ in bench.dials]
            assert max(seconds.count(second) for second in set(seconds[:5000])) <= 52
            assert len({target for _, target in bench.dials}) > 0.97 * len(targets)

    run_virtually(scenario())


def test_many_new_ones_are_looked_at_no_faster_than_agreed() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            for target in HOST:
                bench.checker.want(target, KEY)
            await asyncio.sleep(1.0)
            assert 450 <= len(bench.dials) <= 550
            assert await bench.until(lambda: len(bench.dials) >= len(HOST), 11.0) > 8.0

    run_virtually(scenario())


def test_a_dead_host_is_found_for_all_its_ports_in_a_few_seconds_by_a_few_checks() -> None:
    async def scenario() -> None:
        async with Bench().at_work(*HOST) as bench:
            await asyncio.sleep(5.0)
            bench.answers["10.0.0.1"] = Reach.SILENT
            before = len(bench.dials)
            await bench.until(lambda: bench.down == set(HOST), 5.0)
            assert len(bench.dials) - before < len(HOST) / 10
            assert len({down_since for _, _, down_since in bench.turns}) <= SILENT_PORTS
            await asyncio.sleep(60.0)
            bench.dials.clear()
            await asyncio.sleep(60.0)
            assert len(bench.dials) <= 60 * 101, "the dead have their own rate"

    run_virtually(scenario())


@pytest.mark.parametrize("why", [Reach.SILENT, Reach.REFUSED])
def test_the_return_of_a_host_is_found_for_all_its_ports(why: Reach) -> None:
    async def scenario() -> None:
        async with Bench().at_work(*HOST) as bench:
            bench.answers["10.0.0.1"] = why
            await bench.until(lambda: bench.down == set(HOST), 40.0)
            await asyncio.sleep(30.0)
            bench.answers.clear()
            await bench.until(lambda: bench.down == set(), 30.0)

    run_virtually(scenario())


def test_a_host_that_refuses_on_all_ports_is_found_by_suspicion_long_before_the_round_ends() -> None:
    async def scenario() -> None:
        async with Bench().at_work(*HOST) as bench:
            bench.answers["10.0.0.1"] = Reach.REFUSED
            assert await bench.until(lambda: bench.down == set(HOST), 30.0) > 2.0

    run_virtually(scenario())


def test_a_few_silent_ports_say_nothing_of_their_host() -> None:
    silent = set(HOST[:40:4])

    async def scenario() -> None:
        async with Bench().at_work(*HOST[:40]) as bench:
            for target in silent:
                bench.answers[target] = Reach.SILENT
            await asyncio.sleep(60.0)
            assert bench.down == silent
            assert len(bench.turns) == len(silent)

    run_virtually(scenario())


def test_ETP_4_a_target_to_be_asked_is_asked_and_falls_and_rises_like_any_other() -> None:
    asked = Target("10.0.0.1", 32000, is_asked=True)

    async def scenario() -> None:
        async with Bench().at_work(asked, TARGET) as bench:
            bench.answers[asked] = Reach.DECLINED
            before = len(bench.dialled(asked))
            await bench.until(lambda: len(bench.dialled(asked)) > before, 7.0)
            assert await bench.until(lambda: bench.down == {asked}, 3.1) > 1.9
            assert len(bench.dialled(asked)) == before + 3
            await asyncio.sleep(30.0)
            assert bench.down == {asked}, "its host is alive"
            bench.answers.clear()
            before = len(bench.dialled(asked))
            await bench.until(lambda: bench.down == set(), 7.0)
            assert len(bench.dialled(asked)) == before + 2

    run_virtually(scenario())


def test_a_dead_host_takes_its_health_check_port_with_it() -> None:
    asked = [msgspec.structs.replace(target, is_asked=True) for target in HOST[:20]]

    async def scenario() -> None:
        async with Bench().at_work(*HOST[20:40], *asked) as bench:
            bench.answers["10.0.0.1"] = Reach.SILENT
            await bench.until(lambda: bench.down == {*HOST[20:40], *asked}, 9.0)

    run_virtually(scenario())


def test_others_of_the_same_virtual_server_are_suspect_too() -> None:
    fellows = [Target(f"10.0.0.{number}", 31000) for number in range(1, 5)]
    crowd = [Target(f"10.1.{number // 250}.{number % 250}", 31000) for number in range(10_000)]

    async def scenario() -> None:
        async with Bench().at_work(*fellows, *crowd) as bench:
            bench.fellows = fellows
            for target in fellows:
                bench.answers[target] = Reach.REFUSED
            await bench.until(lambda: bool(bench.down), 300.0)
            await bench.until(lambda: bench.down == set(fellows), 1.0)

    run_virtually(scenario())


class TestStart:
    def test_one_failure_is_enough_and_counts_as_old(self) -> None:
        async def scenario() -> None:
            bench = Bench()
            bench.answers[TARGET] = Reach.REFUSED
            async with bench.at_work(TARGET, Target("10.0.0.2", 31000), start=True):
                await bench.checker.first_round()
                assert bench.turns == [(TARGET, (KEY,), -math.inf)]
                assert len(bench.dials) == 2

        run_virtually(scenario())

    def test_it_waits_for_everything_but_not_for_ever(self) -> None:
        async def scenario() -> None:
            bench = Bench(msgspec.structs.replace(Checks(), timeout_seconds=9.0))
            async with bench.at_work(*HOST, start=True):
                await bench.checker.first_round()
                assert len(bench.dials) == len(HOST)
                assert _now() < 1.5, "nobody is late"
            bench.answers["10.0.0.2"] = Reach.SILENT
            bench = Bench(msgspec.structs.replace(Checks(), timeout_seconds=9.0))
            bench.answers["10.0.0.2"] = Reach.SILENT
            began = _now()
            async with bench.at_work(TARGET, Target("10.0.0.2", 31000), start=True):
                await bench.checker.first_round()
                assert _now() - began == pytest.approx(1.5)

        run_virtually(scenario())

    def test_a_dead_host_is_known_by_the_end_of_it_however_many_ports_it_has(self) -> None:
        async def scenario() -> None:
            bench = Bench()
            bench.answers["10.0.0.1"] = Reach.SILENT
            async with bench.at_work(*HOST, Target("10.0.0.2", 31000), start=True):
                await bench.checker.first_round()
                assert bench.down == set(HOST)
                assert _now() < 1.5

        run_virtually(scenario())

    def test_nothing_to_check_is_checked_at_once(self) -> None:
        async def scenario() -> None:
            await Bench().checker.first_round()
            assert _now() == 0.0

        run_virtually(scenario())

    def test_without_means_the_first_round_ends_all_the_same(self) -> None:
        async def scenario() -> None:
            bench = Bench()
            bench.answers[TARGET] = errno.EMFILE
            async with bench.at_work(TARGET, start=True):
                await bench.checker.first_round()
                assert _now() < 0.1
                assert bench.turns == []

        run_virtually(scenario())
