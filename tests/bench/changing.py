"""What it costs to add one real server, by how many virtual servers stand: netlink messages, and time."""

import asyncio

from tests.bench.driving import CountedKernel, driving
from tests.bench.findings import Findings, Goal, Row, number, quantile
from tests.bench.loading import empty_kernel
from tests.bench.tables import virtual_server, virtual_servers
from tests.bench.yardstick import Yardstick

Cost = tuple[int, int]
"""Messages that ask, and messages that change something."""


def measure(standing: tuple[int, ...], samples: int, yardstick: Yardstick) -> Findings:
    """One size after the other; at each, `samples` changes, spread over the table, one at a time."""
    costs: set[Cost] = set()
    rows: list[Row] = []
    times: dict[str, list[float]] = {}
    for size in standing:
        with empty_kernel():
            yardstick.wait_for_quiet()
            written, told, cost = asyncio.run(_change(size, samples))
        costs |= cost
        times[f"change at {size}, written"], times[f"change at {size}, told"] = written, told
        messages = " or ".join(f"{writes} + {reads}" for reads, writes in sorted(cost))
        rows.append((f"{size:,}", str(samples), messages, _milliseconds(written), _milliseconds(told)))
    sizes = f"{standing[0]:,} to {standing[-1]:,}"
    return Findings(
        title="One real server added, by virtual servers standing",
        columns=("standing", "samples", "messages: writes + reads", "written (ms, p50 / p99)", "told (ms, p50 / p99)"),
        rows=rows,
        goals=[
            Goal(name=f"one change: different costs in messages, {sizes} standing", measured=len(costs), bound=1),
            Goal(name="one change: writes", measured=max(writes for _, writes in costs), bound=1),
        ],
        notes=[
            "Counted on the socket: every netlink message that the engine sent from the wish until it said that the"
            " kernel holds it. The patrol reads each changed virtual server once more, 2 reads, up to 3 s later."
        ],
        samples=times,
    )


async def _change(standing: int, samples: int) -> tuple[list[float], list[float], set[Cost]]:
    written, told, costs = list[float](), list[float](), set[Cost]()
    async with driving(virtual_servers(standing, 1, drain_seconds=0), CountedKernel) as driven:
        await driven.all_told()
        for sample in range(samples):
            number_of_server = sample * max(1, standing // samples) % standing
            reads, writes = driven.kernel.reads_and_writes
            told.append(await driven.change(virtual_server(number_of_server, 2, drain_seconds=0)))
            written.append(driven.kernel.last_write - driven.began)
            reads_after, writes_after = driven.kernel.reads_and_writes
            costs.add((reads_after - reads, writes_after - writes))
            await driven.change(virtual_server(number_of_server, 1, drain_seconds=0))
    return written, told, costs


def _milliseconds(samples: list[float]) -> str:
    return " / ".join(number(quantile(samples, share) * 1000) for share in (0.5, 0.99))
