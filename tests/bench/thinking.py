"""What the engine itself takes to load a table: the same as `loading`, on a kernel that answers at once."""

import asyncio
import time
from collections.abc import Sequence

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.engine import Outcome
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.exchange import Failure
from fleetlb_dataplane_programmer.ipvs.wire import Operation
from tests.bench.driving import NEVER, NothingAround
from tests.bench.findings import Findings, Row, median, number
from tests.bench.loading import Size
from tests.bench.standing_in import StandIn
from tests.bench.tables import virtual_servers
from tests.bench.yardstick import Yardstick


class _Timed(StandIn):
    last_write = 0.0

    def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        self.last_write = time.perf_counter()
        return []


def measure(sizes: Sequence[Size], rounds: int, yardstick: Yardstick) -> Findings:
    """Each size so many times."""
    rows: list[Row] = []
    samples: dict[str, list[float]] = {}
    for size in sizes:
        servers = virtual_servers(size.servers, size.real_servers)
        written, told = [], []
        for _ in range(rounds):
            yardstick.wait_for_quiet()
            seconds = asyncio.run(_load(servers))
            written.append(seconds[0])
            told.append(seconds[1])
        entries = size.servers * (1 + size.real_servers)
        rows.append((str(size), number(median(written)), number(entries / median(written)), number(median(told))))
        samples[f"{size} written, alone"], samples[f"{size} told, alone"] = written, told
    return Findings(
        title="The engine alone, on a kernel that answers at once",
        columns=("table", "until all is sent (s, median)", "entries/s", "until all is told (s, median)"),
        rows=rows,
        notes=[f"{rounds} rounds, on the host itself: system calls and locks cost there what they cost a real node."],
        samples=samples,
    )


async def _load(servers: list[VirtualServer]) -> tuple[float, float]:
    missing = {server.key: server for server in servers}
    wished, done = dict(missing), asyncio.Event()
    kernel = _Timed(wished.get, wished.values)

    def on_outcome(key: VirtualServerKey, outcome: Outcome) -> None:
        missing.pop(key, None)
        if not missing:
            done.set()

    engine = IpvsEngine(
        on_outcome,
        NothingAround(),
        open_kernel=lambda: kernel,  # type: ignore[arg-type, return-value]
        terms=Terms(round_seconds=NEVER),
    )
    for server in servers:
        engine.apply(server, 1)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(engine.run())
        began = time.perf_counter()
        engine.complete()
        await done.wait()
        told = time.perf_counter() - began
        running.cancel()
    return kernel.last_write - began, told
