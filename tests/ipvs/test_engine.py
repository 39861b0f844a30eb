"""The engine on the kernel's own table, with `ipvsadm` as witness; packets are another file's."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest

from fleetlb.domain.virtual_servers import (
    Announcement,
    FailurePolicy,
    Forwarding,
    RealServer,
    Scheduler,
    VirtualServer,
)
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.surroundings import NoSurroundings
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.ipvs import kernel
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.exchange import Failure
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from fleetlb_dataplane_programmer.ipvs.translating import service_key
from fleetlb_dataplane_programmer.ipvs.wire import Operation

pytestmark = pytest.mark.usefixtures("fresh")
WEB = msgspec.structs.replace(
    a_virtual_server("10.77.0.1:443/tcp", ["10.1.0.1:31000", "10.1.0.2:31000"]), prefix="10.77.0.0/16"
)
DNS = msgspec.structs.replace(a_virtual_server("10.77.0.2:53/udp", ["10.1.0.1:31053"]), prefix="10.77.0.0/16")


class Stage:
    """One engine at a time on the kernel of the test's namespace."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.surroundings = NoSurroundings()
        self.repairs: list[int] = []
        self.engine: IpvsEngine
        self.now = 1_800_000_000.0

    @contextlib.asynccontextmanager
    async def running(
        self, *servers: VirtualServer, open_kernel: Callable[[], Kernel] = Kernel, terms: Terms | None = None
    ) -> AsyncIterator[IpvsEngine]:
        """An engine that knows these wishes, until the end of the block: then it is killed."""
        self.outcomes.clear()
        self.engine = IpvsEngine(
            lambda key, outcome: self.outcomes.update({str(key): outcome}),
            self.surroundings,
            announcer=self.surroundings,
            on_repaired=self.repairs.append,
            open_kernel=open_kernel,
            now=lambda: self.now,
            terms=terms or Terms(round_seconds=0.1),
        )
        self.wish(*servers)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.engine.run())
            self.engine.complete()
            yield self.engine
            running.cancel()

    def wish(self, *servers: VirtualServer, token: int = 1) -> None:
        for server in servers:
            self.engine.apply(server, token)

    async def told(self, server: VirtualServer, token: int = 1, state: State = State.PROGRAMMED) -> Outcome:
        await eventually(lambda: self._is_told(server, token, state))
        return self.outcomes[str(server.key)]

    def _is_told(self, server: VirtualServer, token: int, state: State) -> bool:
        outcome = self.outcomes.get(str(server.key))
        return outcome is not None and (outcome.token, outcome.state) == (token, state)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ipvsadm(*arguments: str) -> None:
    subprocess.run(["ipvsadm", *arguments], check=True, timeout=20)


def table() -> list[str]:
    done = subprocess.run(["ipvsadm", "-Sn"], check=True, capture_output=True, text=True, timeout=20)
    return sorted(done.stdout.splitlines())


def writes() -> float:
    return float(kernel.WRITES._value.get())


async def test_P9_what_is_told_as_programmed_is_what_the_kernel_says(stage: Stage) -> None:
    servers = [
        WEB,
        msgspec.structs.replace(DNS, scheduler=Scheduler.WEIGHTED_ROUND_ROBIN),
        msgspec.structs.replace(
            a_virtual_server("10.77.0.3:80/tcp", ["10.1.0.1:80"], scheduler=Scheduler.MAGLEV),
            forwarding=Forwarding.DIRECT,
        ),
        msgspec.structs.replace(a_virtual_server("10.77.0.4:80/tcp", ["10.1.0.1:80"]), forwarding=Forwarding.IPIP),
        msgspec.structs.replace(a_virtual_server("10.77.0.5:80/tcp", ["10.1.0.1:80"]), forwarding=Forwarding.GUE),
        msgspec.structs.replace(a_virtual_server("10.77.0.6:80/sctp", ["10.1.0.1:80"]), affinity_seconds=300),
        a_virtual_server("[fd77::1]:80/tcp", ["[fd01::1]:31000"], scheduler=Scheduler.SOURCE_HASH),
    ]
    async with stage.running(*servers):
        for server in servers:
            await stage.told(server)
    assert table() == sorted(
        [
            "-A -t 10.77.0.1:443 -s lc",
            "-a -t 10.77.0.1:443 -r 10.1.0.1:31000 -m -w 1",
            "-a -t 10.77.0.1:443 -r 10.1.0.2:31000 -m -w 1",
            "-A -u 10.77.0.2:53 -s wrr",
            "-a -u 10.77.0.2:53 -r 10.1.0.1:31053 -m -w 1",
            "-A -t 10.77.0.3:80 -s mh -b mh-fallback",
            "-a -t 10.77.0.3:80 -r 10.1.0.1:80 -g -w 1",
            "-A -t 10.77.0.4:80 -s lc",
            "-a -t 10.77.0.4:80 -r 10.1.0.1:80 -i -w 1 --tun-type ipip",
            "-A -t 10.77.0.5:80 -s lc",
            "-a -t 10.77.0.5:80 -r 10.1.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
            "-A --sctp-service 10.77.0.6:80 -s lc -p 300",
            "-a --sctp-service 10.77.0.6:80 -r 10.1.0.1:80 -m -w 1",
            "-A -t [fd77::1]:80 -s sh -b sh-fallback",
            "-a -t [fd77::1]:80 -r [fd01::1]:31000 -m -w 1",
        ]
    )


async def test_a_node_whose_kernel_is_right_writes_nothing_when_it_starts(stage: Stage) -> None:
    async with stage.running(WEB, DNS):
        await stage.told(WEB)
        await stage.told(DNS)
    before = writes()
    async with stage.running(WEB, DNS):
        await stage.told(WEB)
        await stage.told(DNS)
        assert writes() == before


async def test_P1_strangers_in_our_pools_go_and_those_of_others_stay(stage: Stage) -> None:
    ipvsadm("-A", "-t", "10.96.0.1:443", "-s", "rr")
    ipvsadm("-a", "-t", "10.96.0.1:443", "-r", "10.1.0.9:6443", "-m")
    ipvsadm("-A", "-f", "7", "-s", "rr")
    foreign = table()
    ipvsadm("-A", "-t", "10.77.9.9:80", "-s", "rr")
    async with stage.running(WEB):
        await stage.told(WEB)
        stage.engine.remove(WEB.key, 2)
        await stage.told(WEB, 2, State.REMOVED)
    assert table() == foreign


async def test_P8_an_engine_that_knows_no_wish_removes_nothing(stage: Stage) -> None:
    async with stage.running(WEB):
        await stage.told(WEB)
    before = table()
    async with stage.running():
        stage.engine.remove(DNS.key, 7)
        await stage.told(DNS, 7, State.REMOVED)
        stage.wish(DNS)  # its pool is the same, and comes too late to say anything about the past
        await stage.told(DNS)
        assert set(before) < set(table())


@pytest.mark.parametrize(
    "damage",
    [
        ["-C"],
        ["-D", "-t", "10.77.0.1:443"],
        ["-d", "-t", "10.77.0.1:443", "-r", "10.1.0.2:31000"],
        ["-a", "-t", "10.77.0.1:443", "-r", "10.1.0.66:31000", "-m"],
        ["-e", "-t", "10.77.0.1:443", "-r", "10.1.0.2:31000", "-m", "-w", "7"],
        ["-E", "-t", "10.77.0.1:443", "-s", "rr"],
        ["-E", "-t", "10.77.0.1:443", "-s", "lc", "-p", "60"],
    ],
    ids=" ".join,
)
async def test_what_is_changed_by_hand_is_mended_and_counted(stage: Stage, damage: list[str]) -> None:
    async with stage.running(msgspec.structs.replace(WEB, drain_seconds=0), DNS):
        await stage.told(WEB)
        await stage.told(DNS)
        right = table()
        assert stage.repairs == []
        ipvsadm(*damage)
        assert table() != right
        await eventually(lambda: table() == right, seconds=10)
        assert sum(stage.repairs) in (1, 2)  # virtual servers, however much of them was changed


async def test_P4_a_vip_is_announced_after_it_is_programmed_and_withdrawn_before_it_is_removed(stage: Stage) -> None:
    seen: list[tuple[str, int]] = []
    announce, withdraw = stage.surroundings.announce, stage.surroundings.withdraw

    async def announced(address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        seen.append((f"announce {address}", len(table())))
        await announce(address, announcement, network)

    async def withdrawn(address: str) -> None:
        seen.append((f"withdraw {address}", len(table())))
        await withdraw(address)

    stage.surroundings.announce, stage.surroundings.withdraw = announced, withdrawn  # type: ignore[method-assign]
    empty = msgspec.structs.replace(WEB, real_servers=())
    async with stage.running(empty):
        await stage.told(empty)
        assert seen == []
        stage.wish(WEB, token=2)
        await stage.told(WEB, 2)
        stage.engine.remove(WEB.key, 3)
        await stage.told(WEB, 3, State.REMOVED)
    assert seen == [("announce 10.77.0.1", 3), ("withdraw 10.77.0.1", 3)]
    assert stage.surroundings.history == [
        f"admit {WEB.key}",
        f"admit {WEB.key}",
        "announce 10.77.0.1",
        "withdraw 10.77.0.1",
        f"dismiss {WEB.key}",
    ]


async def test_a_vip_without_usable_real_servers_is_withdrawn_if_its_tenant_wants_that(stage: Stage) -> None:
    closed = msgspec.structs.replace(WEB, failure_policy=FailurePolicy.CLOSED)
    empty = msgspec.structs.replace(closed, real_servers=())
    async with stage.running(closed):
        await stage.told(closed)
        for token, server in enumerate((empty, closed, msgspec.structs.replace(WEB, real_servers=())), start=2):
            stage.wish(server, token=token)
            await stage.told(server, token)
    done = [line for line in stage.surroundings.history if not line.startswith("admit")]
    assert done == ["announce 10.77.0.1", "withdraw 10.77.0.1", "announce 10.77.0.1"]


async def test_P5_a_change_of_one_virtual_server_writes_to_no_other(stage: Stage) -> None:
    async with stage.running(WEB, DNS):
        await stage.told(WEB)
        await stage.told(DNS)
        before, sent = [line for line in table() if "10.77.0.2" in line], writes()
        stage.wish(
            msgspec.structs.replace(WEB, real_servers=(*WEB.real_servers, RealServer("10.1.0.3", 31000))), token=2
        )
        await stage.told(WEB, 2)
        assert writes() == sent + 1
        assert [line for line in table() if "10.77.0.2" in line] == before


async def test_P6_a_real_server_that_leaves_is_drained_and_cut_at_the_hard_limit(stage: Stage) -> None:
    async with stage.running(WEB):
        await stage.told(WEB)
        stage.wish(msgspec.structs.replace(WEB, real_servers=WEB.real_servers[:1]), token=2)
        await stage.told(WEB, 2)
        with contextlib.closing(Kernel()) as now:
            held = {item.key.address: item for item, _ in now.destinations(service_key(WEB.key))}
        assert (held["10.1.0.2"].weight, held["10.1.0.2"].upper_threshold) == (0, 1_800_000_060)
    stage.now += 60
    async with stage.running(msgspec.structs.replace(WEB, real_servers=WEB.real_servers[:1])):
        await eventually(lambda: not [line for line in table() if "10.1.0.2" in line])


class Died(BaseException):
    """The end of a process, for whoever is in the middle of something."""


class Dying(Kernel):
    """A kernel that hears nothing more after so many operations, as if the programmer had been killed."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives
        self.is_dead = False

    def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        alive = operations[: self.lives]
        self.lives -= len(alive)
        failures = super().apply(alive) if alive else []
        self.is_dead = len(alive) < len(operations)
        if self.is_dead:
            raise Died
        return failures


async def test_death_after_any_operation_is_made_good_by_the_next_programmer(stage: Stage) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    before = msgspec.structs.replace(WEB, real_servers=WEB.real_servers[:1], scheduler=Scheduler.ROUND_ROBIN)
    async with stage.running(WEB, DNS):
        await stage.told(WEB)
        await stage.told(DNS)
    right, deaths = table(), 0
    for lives in range(6):
        ipvsadm("-C")
        async with stage.running(before):
            await stage.told(before)
        dying = Dying(lives)
        async with stage.running(WEB, DNS, open_kernel=lambda dying=dying: dying):  # type: ignore[misc]
            await eventually(lambda dying=dying: dying.is_dead or len(stage.outcomes) == 2)  # type: ignore[misc]
        deaths += dying.is_dead
        async with stage.running(WEB, DNS):
            await stage.told(WEB)
            await stage.told(DNS)
            assert table() == right
    assert deaths == 4, "a service, its destination, and two changes of the other"


async def test_the_costly_scheduler_is_capped_and_taken_again_when_there_is_room(stage: Stage) -> None:
    first, second = (msgspec.structs.replace(server, scheduler=Scheduler.MAGLEV) for server in (WEB, DNS))
    async with stage.running(first, terms=Terms(max_maglev=1)):
        await stage.told(first)
        stage.wish(second)
        assert "takes no more" in (await stage.told(second, 1, State.REJECTED)).message
        stage.wish(WEB, token=2)
        await stage.told(WEB, 2)
        stage.wish(second, token=2)
        await stage.told(second, 2)


async def test_a_wish_that_the_kernel_cannot_carry_leaves_what_it_carries(stage: Stage) -> None:
    async with stage.running(WEB):
        await stage.told(WEB)
        before = table()
        stage.wish(msgspec.structs.replace(WEB, real_servers=(RealServer("fd01::1", 80),)), token=2)
        assert "needs real servers on IPv4" in (await stage.told(WEB, 2, State.REJECTED)).message
        assert table() == before


async def test_a_change_costs_the_same_with_any_number_standing(stage: Stage) -> None:
    standing = [a_virtual_server(f"10.77.{n >> 8}.{n & 255}:80/tcp", ["10.1.0.1:80"]) for n in range(300)]
    costs = []
    async with stage.running(WEB):
        await stage.told(WEB)
        for token, crowd in ((2, []), (3, standing)):
            stage.wish(*crowd)
            for server in crowd:
                await stage.told(server)
            before = writes()
            reals = tuple(RealServer(f"10.1.{token}.1", 31000) for _ in (0,)) + WEB.real_servers
            stage.wish(msgspec.structs.replace(WEB, real_servers=reals, drain_seconds=86400), token=token)
            await stage.told(WEB, token)
            costs.append(writes() - before)
            stage.wish(msgspec.structs.replace(WEB, drain_seconds=0), token=token + 10)
            await stage.told(WEB, token + 10)
    assert costs == [1, 1]
