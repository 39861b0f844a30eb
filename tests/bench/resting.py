"""A kernel that is right already: what a restart writes, how long it takes, and what the engine costs at rest."""

import asyncio
import contextlib
import gc
import time

import msgspec

from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_dataplane_programmer.ipvs.patrolling import ROUND_SECONDS
from tests.bench.bare import Bare, prepare
from tests.bench.driving import CountedKernel, driving
from tests.bench.findings import Findings, Goal, Row, median, number
from tests.bench.loading import check_held, empty_kernel
from tests.bench.tables import operations_for, virtual_servers
from tests.bench.yardstick import Yardstick

CPU_AT_MOST_PERCENT = 0.2


class RestlessKernel(CountedKernel):
    """A kernel whose text is never twice the same, as where connections come and go."""

    def text(self) -> bytes:
        return super().text() + b"\n" * (self.rounds % 2)


class _Rest(msgspec.Struct, frozen=True):
    cpu_seconds: float
    seconds: float
    messages: int

    @property
    def percent(self) -> float:
        return self.cpu_seconds / self.seconds * 100


def measure_restart(servers: int, real_servers: int, rounds: int, yardstick: Yardstick) -> Findings:
    """An engine that knows all wishes starts on a kernel that holds them all."""
    wished, size = virtual_servers(servers, real_servers), f"{servers:,} × {real_servers}"
    seconds, costs = list[float](), list[tuple[int, int]]()
    with empty_kernel():
        _load(wished)
        for _ in range(rounds):
            gc.collect()
            yardstick.wait_for_quiet()
            told, cost = asyncio.run(_restart(wished))
            seconds.append(told)
            costs.append(cost)
        check_held(servers, real_servers)
    writes, reads = max(writes for _, writes in costs), max(reads for reads, _ in costs)
    return Findings(
        title="Restart on a kernel that is right",
        columns=("table", "rounds", "writes", "reads", "all confirmed (s, median)", "from – to"),
        rows=[
            (
                size,
                str(rounds),
                str(writes),
                f"{reads:,}",
                number(median(seconds)),
                f"{number(min(seconds))} – {number(max(seconds))}",
            )
        ],
        goals=[Goal(name=f"restart at {size}: writes", measured=writes, bound=0)],
        samples={f"restart at {size}": seconds},
    )


def measure_rest(
    servers: int, real_servers: int, seconds: float, restless_seconds: float, yardstick: Yardstick
) -> Findings:
    """CPU of the whole process while nobody changes anything; then while its connections do, as the text shows."""
    wished, size = virtual_servers(servers, real_servers), f"{servers:,} × {real_servers}"
    with empty_kernel():
        _load(wished)
        yardstick.wait_for_quiet()
        rest = asyncio.run(_rest(wished, CountedKernel, seconds))
        restless = asyncio.run(_rest(wished, RestlessKernel, restless_seconds))
        reading = _reading_seconds()
    rows: list[Row] = [
        ("nothing changes", number(rest.seconds), number(rest.percent), str(rest.messages)),
        ("connections come and go", number(restless.seconds), number(restless.percent), str(restless.messages)),
        ("of it: reading the table's text", "", number(reading / ROUND_SECONDS * 100), "0"),
    ]
    return Findings(
        title=f"At rest, {size}",
        columns=("while", "seconds", "CPU (% of a core)", "netlink messages"),
        rows=rows,
        goals=[
            Goal(name=f"at rest, {size}: CPU", measured=rest.percent, bound=CPU_AT_MOST_PERCENT, unit="%"),
            Goal(name=f"at rest, {size}: netlink messages", measured=rest.messages, bound=0),
        ],
        notes=[f"The engine alone, which looks at the table every {ROUND_SECONDS:g} s; no bus, no probes, no checks."],
    )


def _load(servers: list[VirtualServer]) -> None:
    with contextlib.closing(Bare()) as bare:
        bare.load(prepare(bare.family, operations_for(servers), answer_each=False))


async def _restart(servers: list[VirtualServer]) -> tuple[float, tuple[int, int]]:
    async with driving(servers, CountedKernel) as driven:
        return await driven.all_told(), driven.kernel.reads_and_writes


async def _rest(servers: list[VirtualServer], kind: type[CountedKernel], seconds: float) -> _Rest:
    async with driving(servers, kind, round_seconds=ROUND_SECONDS) as driven:
        await driven.all_told()
        await driven.kernel.is_left_alone()
        messages, began, cpu = driven.kernel.sent.total(), time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        return _Rest(time.process_time() - cpu, time.perf_counter() - began, driven.kernel.sent.total() - messages)


def _reading_seconds(times: int = 5) -> float:
    with contextlib.closing(CountedKernel()) as kernel:
        kernel.text()
        began = time.process_time()
        for _ in range(times):
            kernel.text()
        return (time.process_time() - began) / times
