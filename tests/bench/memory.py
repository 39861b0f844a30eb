"""What virtual and real servers cost the programmer in memory: its ledger and its engine, on a stand-in kernel.

`python -m tests.bench.memory N D` builds one state and prints what it took, as JSON: each has a process of its own.
"""

import argparse
import asyncio
import collections
import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.deciding import Apply
from fleetlb_dataplane_programmer.engine import Outcome
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.programming import Ledger
from tests.bench.driving import NothingAround
from tests.bench.findings import Findings, Goal, Row, number
from tests.bench.slopes import Slopes, fit
from tests.bench.standing_in import StandIn
from tests.bench.tables import wishes

ROOT = Path(__file__).parents[2]
PER_SERVER, PER_REAL_SERVER = 800, 48
_NOW = 1_800_000_000_000_000
_ROUND_SECONDS = 0.05
_SHOWN = 8
_SECONDS = 300


class Taken(msgspec.Struct, frozen=True):
    """Bytes that one state took."""

    servers: int
    real_servers: int
    """Of each virtual server."""
    resident: int
    traced: int = 0
    """0 unless allocations were traced."""
    lines: dict[str, int] = {}
    """Traced bytes by the line that allocated them."""


class Holder:
    """A node's ledger and engine that have taken up wishes from the bus, programmed, probed and announced them."""

    def __init__(self, servers: int, real_servers: int) -> None:
        self._ledger = Ledger("node-1", allow_loopback=False)
        self._kernel = StandIn(self._find, self._every)
        self._missing = servers
        self._told = asyncio.Event()
        self._keys: list[VirtualServerKey] = []
        self._engine = IpvsEngine(
            self._on_outcome,
            NothingAround(),
            open_kernel=lambda: self._kernel,  # type: ignore[arg-type, return-value]
            terms=Terms(round_seconds=_ROUND_SECONDS),
        )
        for wish in wishes(servers, real_servers):
            decision = self._ledger.fold(codec.decode(VirtualServerDesired, codec.encode(wish)), _NOW)
            if not isinstance(decision, Apply):
                raise AssertionError(f"{wish.key}: {decision}")
            self._engine.apply(decision.server, decision.token)
            self._keys.append(decision.server.key)
        self._engine.complete()

    async def settle(self) -> None:
        """Run until all is told, and the patrol has seen it twice."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._engine.run())
            await self._told.wait()
            enough = self._kernel.rounds + 2
            while self._kernel.rounds < enough:
                await asyncio.sleep(_ROUND_SECONDS)
            running.cancel()

    def _find(self, key: VirtualServerKey) -> VirtualServer | None:
        return self._ledger.serving(key)

    def _every(self) -> Iterable[VirtualServer]:
        return (server for key in self._keys if (server := self._ledger.serving(key)))

    def _on_outcome(self, key: VirtualServerKey, outcome: Outcome) -> None:
        """As the node does, whose probe is answered and whose word the hub has heard."""
        self._ledger.take_outcome(key, outcome, _NOW)
        self._ledger.take_probe(key, outcome.token, True, _NOW)
        realized = self._ledger.realized(key)
        if realized is not None:
            self._ledger.note_told(key, realized)
        self._missing -= 1
        if not self._missing:
            self._told.set()


async def take(servers: int, real_servers: int, *, traced: bool) -> Taken:
    """Build one state and weigh it."""
    await Holder(1, 1).settle()  # what is made once and stays
    gc.collect()
    before = _resident()
    if traced:
        tracemalloc.start()
    holder = Holder(servers, real_servers)
    await holder.settle()
    gc.collect()
    resident = _resident() - before
    if not traced:
        return Taken(servers, real_servers, resident)
    lines: dict[str, int] = collections.defaultdict(int)
    for statistic in tracemalloc.take_snapshot().statistics("lineno"):
        frame = statistic.traceback[0]
        lines[f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"] += statistic.size
    total, _ = tracemalloc.get_traced_memory()
    return Taken(servers, real_servers, resident, total, dict(lines))


def measure(servers: tuple[int, ...], real_servers: tuple[int, ...]) -> Findings:
    """Every combination twice: its resident memory, and its allocations."""
    points = [(count, each) for count in servers for each in real_servers]
    resident = [_in_a_process(count, each) for count, each in points]
    traced = [_in_a_process(count, each, "--traced") for count, each in points]
    allocated = fit(points, [taken.traced for taken in traced])
    rss = fit(points, [taken.resident for taken in resident])
    names = {name for taken in traced for name in taken.lines}
    by_line = {name: fit(points, [taken.lines.get(name, 0) for taken in traced]) for name in names}
    largest = max(points)
    heaviest = sorted(by_line, key=lambda name: -by_line[name].at(*largest))[:_SHOWN]
    rows: list[Row] = [
        _row("allocated", allocated),
        _row("resident", rss),
        *(_row(f"of what is allocated: `{name}`", by_line[name]) for name in heaviest),
    ]
    return Findings(
        title="Memory of the programmer's state",
        columns=("bytes", "per virtual server", "per real server"),
        rows=rows,
        goals=[
            Goal(name="memory per virtual server", measured=allocated.per_server, bound=PER_SERVER, unit="B"),
            Goal(name="memory per real server", measured=allocated.per_real_server, bound=PER_REAL_SERVER, unit="B"),
        ],
        notes=[
            "Ledger and engine, fed with encoded messages, programmed, probed, announced, looked at by the patrol;"
            " without health checks, routes and filters. Least squares over"
            f" {' / '.join(f'{count:,}' for count in servers)} × {' / '.join(map(str, real_servers))}."
        ],
        samples={
            f"{taken.servers} × {taken.real_servers}: bytes resident, allocated": [
                resident_taken.resident,
                taken.traced,
            ]
            for resident_taken, taken in zip(resident, traced, strict=True)
        },
    )


def _row(name: str, slopes: Slopes) -> Row:
    return name, number(slopes.per_server), number(slopes.per_real_server)


def _in_a_process(servers: int, real_servers: int, *options: str) -> Taken:
    command = [sys.executable, "-m", __spec__.name, str(servers), str(real_servers), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment, timeout=_SECONDS)
    return msgspec.json.decode(done.stdout, type=Taken)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def main() -> None:
    """Weigh one state."""
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", type=int)
    parser.add_argument("real_servers", type=int)
    parser.add_argument("--traced", action="store_true")
    chosen = parser.parse_args()
    taken = asyncio.run(take(chosen.servers, chosen.real_servers, traced=chosen.traced))
    sys.stdout.buffer.write(msgspec.json.encode(taken))


if __name__ == "__main__":
    main()
