"""The verdicts, in virtual time and with the intervals of the product."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec
import pytest

from fleetlb.domain.virtual_servers import FailurePolicy, RealServer, VirtualServer, VirtualServerKey, parse_key
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.braking import WINDOW_SECONDS
from fleetlb_dataplane_programmer.checking import Checks
from fleetlb_dataplane_programmer.dialling import Reach
from fleetlb_dataplane_programmer.guarding import BRAKED, BRAKES, Guard
from fleetlb_dataplane_programmer.health import Target, Verdict

KEY = parse_key("192.0.2.1:443/tcp")
BACKENDS = [f"10.0.0.{number}:31000" for number in range(1, 5)]


def _target(backend: str) -> Target:
    host, _, port = backend.rpartition(":")
    return Target(host, int(port))


def _out(*backends: str) -> frozenset[Target]:
    return frozenset(map(_target, backends))


class Bench:
    """A guard over a network of the test's making."""

    def __init__(self, checks: Checks | None = None) -> None:
        self.dead: set[Target] = set()
        self.dials = 0
        self.asked: list[int] = []
        """Health check ports, by turn."""
        self.verdicts: list[tuple[VirtualServerKey, Verdict]] = []
        checks = msgspec.structs.replace(checks or Checks(), dial=self._dial, ask=self._ask)
        self.guard = Guard(lambda key, verdict: self.verdicts.append((key, verdict)), checks)

    @contextlib.asynccontextmanager
    async def at_work(self, *, start: bool = False) -> AsyncIterator["Bench"]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.guard.run())
            if not start:
                await self.guard.first_round()
            yield self
            running.cancel()

    @property
    def verdict(self) -> Verdict:
        return self.verdicts[-1][1]

    async def lose(self, *backends: str) -> None:
        """These die; return when there is a new verdict."""
        self.dead |= _out(*backends)
        await self.next()

    async def regain(self, *backends: str) -> None:
        self.dead -= _out(*backends)
        await self.next()

    async def next(self, seconds: float = 20.0) -> None:
        before = len(self.verdicts)
        await self.until(lambda: len(self.verdicts) > before, seconds)

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 (time is virtual)
                await asyncio.sleep(0.01)

    async def _dial(self, address: str, port: int, seconds: float) -> Reach:
        self.dials += 1
        await asyncio.sleep(0.001)
        return Reach.REFUSED if Target(address, port) in self.dead else Reach.REACHED

    async def _ask(self, address: str, port: int, seconds: float) -> Reach:
        self.asked.append(port)
        await asyncio.sleep(0.001)
        return Reach.DECLINED if Target(address, port, is_asked=True) in self.dead else Reach.REACHED


def _server(backends: Iterable[str] = BACKENDS, key: str | VirtualServerKey = KEY) -> VirtualServer:
    return a_virtual_server(key, backends)


def test_a_dead_real_server_is_out_and_back_when_it_returns() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            assert bench.guard.watch(_server()) == Verdict(healthy=4)
            await bench.lose(BACKENDS[0])
            assert bench.verdicts == [(KEY, Verdict(3, _out(BACKENDS[0])))]
            await bench.regain(BACKENDS[0])
            assert bench.verdict == Verdict(4)
            await asyncio.sleep(100.0)
            assert len(bench.verdicts) == 2

    run_virtually(scenario())


@pytest.mark.parametrize("policy", list(FailurePolicy))
def test_when_all_die_at_once_the_policy_decides(policy: FailurePolicy) -> None:
    async def scenario() -> None:
        brakes = BRAKES._value.get()
        async with Bench().at_work() as bench:
            is_open = policy is FailurePolicy.OPEN
            bench.guard.watch(msgspec.structs.replace(_server(), failure_policy=policy))
            await bench.lose(*BACKENDS)
            await bench.until(lambda: bench.verdict.healthy == 0)
            assert bench.verdict == Verdict(0, frozenset() if is_open else _out(*BACKENDS), brake=is_open)
            assert (BRAKES._value.get() - brakes, BRAKED._value.get()) == (is_open, is_open)
            await bench.regain(*BACKENDS)
            await bench.until(lambda: bench.verdict == Verdict(4))
            assert (BRAKES._value.get() - brakes, BRAKED._value.get()) == (is_open, 0)

    run_virtually(scenario())


def test_failures_that_come_together_lead_to_one_verdict() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.guard.watch(_server())
            await bench.lose(*BACKENDS[:2])
            await asyncio.sleep(30.0)
            assert bench.verdicts == [(KEY, Verdict(2, _out(*BACKENDS[:2])))]

    run_virtually(scenario())


def test_one_after_the_other_dies_until_the_last_is_kept() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.guard.watch(_server())
            for number, backend in enumerate(BACKENDS, start=1):
                await bench.lose(backend)
                is_last = number == len(BACKENDS)
                assert bench.verdict == Verdict(4 - number, _out(*BACKENDS[: min(number, 3)]), brake=is_last)
                await asyncio.sleep(WINDOW_SECONDS)

    run_virtually(scenario())


def test_what_is_known_of_a_real_server_holds_for_every_virtual_server_that_names_it() -> None:
    async def scenario() -> None:
        other = parse_key("192.0.2.2:80/tcp")
        async with Bench().at_work() as bench:
            bench.guard.watch(_server())
            await bench.lose(BACKENDS[0])
            assert bench.guard.watch(_server(key=other)) == Verdict(3, _out(BACKENDS[0]))
            before = len(bench.verdicts)
            await bench.regain(BACKENDS[0])
            await bench.until(lambda: len(bench.verdicts) == before + 2)
            assert {key for key, _ in bench.verdicts[before:]} == {KEY, other}

    run_virtually(scenario())


def test_a_changed_wish_is_judged_at_once_and_changes_nothing_for_who_stays() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.guard.watch(_server())
            await bench.lose(BACKENDS[0])
            await asyncio.sleep(5.0)
            dials = bench.dials
            assert bench.guard.watch(_server([*BACKENDS[:3], "10.0.0.9:31000"])) == Verdict(3, _out(BACKENDS[0]))
            await asyncio.sleep(0.01)
            assert bench.dials == dials + 1, "only who came is looked at"
            assert bench.guard.watch(_server(BACKENDS[1:])) == Verdict(3)
            assert bench.guard.watch(_server(BACKENDS)) == Verdict(4), "who went is forgotten"

    run_virtually(scenario())


def test_a_wish_that_drains_a_real_server_takes_it_from_those_that_count() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            server = _server()
            bench.guard.watch(server)
            await bench.lose(BACKENDS[0])
            drained = tuple(msgspec.structs.replace(one, weight=0) for one in server.real_servers[:1])
            wish = msgspec.structs.replace(server, real_servers=(*drained, *server.real_servers[1:]))
            assert bench.guard.watch(wish) == Verdict(3)

    run_virtually(scenario())


def test_what_is_forgotten_is_neither_checked_nor_judged() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.guard.watch(_server(BACKENDS[:1]))
            await bench.lose(BACKENDS[0])
            assert BRAKED._value.get() == 1
            bench.guard.forget(KEY)
            bench.guard.forget(KEY)
            assert BRAKED._value.get() == 0
            dials, verdicts = bench.dials, len(bench.verdicts)
            bench.dead.clear()
            await asyncio.sleep(60.0)
            assert (bench.dials, len(bench.verdicts)) == (dials, verdicts)

    run_virtually(scenario())


@pytest.mark.parametrize("protocol", ["udp", "sctp"])
def test_of_an_unknown_protocol_nothing_is_said(protocol: str) -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.dead |= _out(*BACKENDS)
            assert bench.guard.watch(_server(key=f"192.0.2.1:53/{protocol}")) == Verdict()
            await asyncio.sleep(60.0)
            assert (bench.dials, bench.verdicts) == (0, [])

    run_virtually(scenario())


def test_without_real_servers_nothing_is_said() -> None:
    async def scenario() -> None:
        async with Bench().at_work() as bench:
            assert bench.guard.watch(_server([])) == Verdict()

    run_virtually(scenario())


def test_real_servers_that_are_seen_at_one_place_share_its_fate() -> None:
    async def scenario() -> None:
        shared = tuple(RealServer("10.0.0.1", port, check_port=31000) for port in (80, 81))
        server = msgspec.structs.replace(_server(BACKENDS[1:3]), real_servers=(*shared, RealServer("10.0.0.2", 31000)))
        async with Bench().at_work() as bench:
            assert bench.guard.watch(server) == Verdict(3)
            await bench.lose("10.0.0.1:31000")
            assert bench.verdict == Verdict(1, _out("10.0.0.1:31000"))

    run_virtually(scenario())


class TestHealthCheckPort:
    """The node's own word, beside a dialled port (ETP-4, ETP-5)."""

    @staticmethod
    def server(port: int = 32000, protocol: str = "tcp") -> VirtualServer:
        return msgspec.structs.replace(_server(key=f"192.0.2.1:443/{protocol}"), health_check_port=port)

    @staticmethod
    def asked(number: int, port: int = 32000) -> Target:
        """Where the node of a backend is asked, by the backend's number."""
        return Target(f"10.0.0.{number + 1}", port, is_asked=True)

    def test_ETP_4_what_the_node_says_no_to_and_what_takes_no_connection_are_both_out(self) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                assert bench.guard.watch(self.server()) == Verdict(healthy=4)
                bench.dead.add(self.asked(0))
                await bench.next()
                assert bench.verdict == Verdict(3, _out(BACKENDS[0])), "503 with a live node port"
                await asyncio.sleep(WINDOW_SECONDS)
                await bench.lose(BACKENDS[1])
                assert bench.verdict == Verdict(2, _out(*BACKENDS[:2])), "200 with a dead node port"
                bench.dead.clear()
                await bench.until(lambda: bench.verdict == Verdict(4))

        run_virtually(scenario())

    def test_it_is_up_again_once_both_say_so(self) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                bench.guard.watch(self.server())
                bench.dead |= {self.asked(0), *_out(BACKENDS[0])}
                await bench.until(lambda: bench.verdicts != [] and bench.verdict == Verdict(3, _out(BACKENDS[0])))
                await asyncio.sleep(30.0)
                verdicts = len(bench.verdicts)
                bench.dead.discard(self.asked(0))
                await asyncio.sleep(30.0)
                assert len(bench.verdicts) == verdicts
                await bench.regain(BACKENDS[0])
                assert bench.verdict == Verdict(4)

        run_virtually(scenario())

    @pytest.mark.parametrize("protocol", ["udp", "sctp"])
    def test_of_a_protocol_that_cannot_be_dialled_the_node_is_asked_alone(self, protocol: str) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                assert bench.guard.watch(self.server(protocol=protocol)) == Verdict(healthy=4)
                bench.dead.add(self.asked(0))
                await bench.next()
                assert bench.verdict == Verdict(3, _out(BACKENDS[0]))
                assert bench.dials == 0
                assert bench.guard.watch(self.server(0, protocol)) == Verdict()

        run_virtually(scenario())

    def test_it_is_asked_once_for_all_ports_of_a_service(self) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                for port in range(1, 11):
                    backends = [f"10.0.0.1:{31000 + port}"]
                    server = msgspec.structs.replace(
                        _server(backends, f"192.0.2.1:{port}/tcp"), health_check_port=32000
                    )
                    bench.guard.watch(server)
                await asyncio.sleep(60.0)
                assert 9 <= len(bench.asked) <= 15
                assert bench.dials > 90

        run_virtually(scenario())

    def test_ETP_5_a_changed_port_is_followed_and_the_old_one_is_asked_no_more(self) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                bench.guard.watch(self.server(32000))
                bench.dead |= {self.asked(0), *_out(BACKENDS[3])}
                await bench.until(lambda: bench.verdicts != [] and bench.verdict.healthy == 2)
                assert bench.guard.watch(self.server(32001)) == Verdict(3, _out(BACKENDS[3])), "who is dead stays dead"
                bench.asked.clear()
                await asyncio.sleep(60.0)
                assert set(bench.asked) == {32001}
                bench.guard.watch(self.server(0))
                bench.asked.clear()
                await asyncio.sleep(60.0)
                assert bench.asked == []
                bench.guard.watch(self.server(32001))
                bench.guard.forget(KEY)
                await asyncio.sleep(1.0)
                bench.asked.clear()
                await asyncio.sleep(60.0)
                assert bench.asked == []

        run_virtually(scenario())

    @pytest.mark.parametrize("policy", list(FailurePolicy))
    def test_when_all_nodes_say_no_at_once_the_policy_decides(self, policy: FailurePolicy) -> None:
        async def scenario() -> None:
            async with Bench().at_work() as bench:
                is_open = policy is FailurePolicy.OPEN
                bench.guard.watch(msgspec.structs.replace(self.server(), failure_policy=policy))
                bench.dead |= {self.asked(number) for number in range(4)}
                await bench.next()
                await bench.until(lambda: bench.verdict.healthy == 0)
                assert bench.verdict == Verdict(0, frozenset() if is_open else _out(*BACKENDS), brake=is_open)

        run_virtually(scenario())

    def test_one_node_that_says_no_has_the_others_of_its_service_asked(self) -> None:
        crowd = [f"10.1.{number // 250}.{number % 250}:31000" for number in range(5000)]

        async def scenario() -> None:
            async with Bench().at_work() as bench:
                bench.guard.watch(self.server())
                bench.guard.watch(_server(crowd, "192.0.2.2:80/tcp"))
                await asyncio.sleep(20.0)  # a round over all takes longer than 100 s by now
                bench.dead |= {self.asked(number) for number in range(4)}
                await bench.next(110.0)
                await bench.until(lambda: bench.verdict.healthy == 0, 3.0)

        run_virtually(scenario())

    def test_who_is_out_for_long_stays_out_when_it_fails_in_another_way(self) -> None:
        """Such a failure is no new one, so that it cannot make the brake bring the dead back."""

        async def scenario() -> None:
            async with Bench().at_work() as bench:
                bench.guard.watch(self.server())
                for number in range(3):
                    bench.dead.add(self.asked(number))
                    await bench.next()
                    await asyncio.sleep(WINDOW_SECONDS)
                out = Verdict(1, _out(*BACKENDS[:3]))
                assert bench.verdict == out
                bench.dead |= _out(*BACKENDS[:3])
                await asyncio.sleep(8.0)  # found by now, and not long ago
                bench.dead -= {self.asked(number) for number in range(3)}
                await asyncio.sleep(60.0)
                assert bench.verdict == out

        run_virtually(scenario())


class TestStart:
    def test_who_is_dead_is_out_when_the_first_round_ends(self) -> None:
        async def scenario() -> None:
            bench = Bench()
            async with bench.at_work(start=True):
                bench.dead |= _out(*BACKENDS[:3])
                assert bench.guard.watch(_server()) == Verdict(4)
                await bench.guard.first_round()
                assert bench.verdicts == [(KEY, Verdict(1, _out(*BACKENDS[:3])))]

        run_virtually(scenario())

    def test_when_nobody_answers_everybody_serves(self) -> None:
        async def scenario() -> None:
            bench = Bench()
            async with bench.at_work(start=True):
                bench.dead |= _out(*BACKENDS)
                bench.guard.watch(_server())
                await bench.guard.first_round()
                assert bench.verdicts == [(KEY, Verdict(0, brake=True))]

        run_virtually(scenario())


def test_a_large_virtual_server_changes_seldom() -> None:
    backends = [f"10.{number // 250}.{number % 250}.1:31000" for number in range(5000)]

    async def scenario() -> None:
        async with Bench().at_work() as bench:
            bench.guard.watch(_server(backends))
            await asyncio.sleep(20.0)
            bench.dead |= _out(*backends[:1000])
            began = asyncio.get_running_loop().time()
            await bench.until(lambda: bool(bench.verdicts) and bench.verdict.healthy == 4000, 130.0)
            assert len(bench.verdicts) <= asyncio.get_running_loop().time() - began

    run_virtually(scenario())
