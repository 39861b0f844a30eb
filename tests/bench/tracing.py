"""`python -m tests.bench.tracing`: what sending spans away costs a change, on two fleets side by side.

One fleet sends none, the other all of them, to a process that forgets them. They take turns, Service by Service, so
whatever else the machine does meets both; who begins changes every time.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.bench.tenant import PORT, BenchTenant
from fleetlb_cli.bench.usage import cpu_between, usage_of_all
from fleetlb_cli.demo.dialling import dial_until_answered, dial_until_refused
from fleetlb_cli.local.layout import Environment, read_environment
from fleetlb_cli.seeing import has_address, is_gone
from tests.bench.findings import Findings, Goal, median, number, page, quantile
from tests.stage.starting import running_fleet

PATIENCE = 60.0
WARM_UP = 20
SERVICES = ("manager", "status", "tenant-watcher", "dataplane-programmer")
OFF, ON = "off", "on"
ADDRESS, BYTE = "create to address", "create to first byte"
GOAL = 1.05
RESAMPLES = 2000


class Side:
    """One of the two fleets, and what was measured of it."""

    def __init__(self, tenant: BenchTenant, environment: Environment) -> None:
        """Nothing was measured yet."""
        self.samples: dict[str, list[float]] = {ADDRESS: [], BYTE: []}
        self._tenant = tenant
        self._pids = {
            name: process.pid
            for name, process in environment.processes.items()
            if name.split("/")[0] in SERVICES and process.pid is not None
        }
        self._before = usage_of_all(self._pids)

    def begin(self) -> None:
        """Forget what was measured so far."""
        self.samples = {ADDRESS: [], BYTE: []}
        self._before = usage_of_all(self._pids)

    def cpu_seconds(self) -> float:
        """Of the four services together, since the beginning."""
        return sum(cpu_between(self._before, usage_of_all(self._pids)).values())

    async def change(self, name: str) -> None:
        """A Service comes, is dialled, and goes."""
        begun, _ = await self._tenant.create(name)
        seen = await self._tenant.board.until(name, has_address, "an address", PATIENCE)
        service = self._tenant.board.get(name)
        key = VirtualServerKey(service.vip if service else "", PORT, Protocol.TCP)
        answer = await dial_until_answered(key, PATIENCE)
        assert answer.ok, f"{key}: {answer.failure}"
        self.samples[BYTE].append(time.time() - begun / 1e6)
        self.samples[ADDRESS].append((seen - begun) / 1e6)
        await self._tenant.delete(name)
        await dial_until_refused(key, PATIENCE)
        await self._tenant.board.until(name, is_gone, "its end", PATIENCE)


@contextlib.asynccontextmanager
async def _side(state: Path) -> AsyncIterator[Side]:
    environment = read_environment(state)
    place = next(iter(environment.tenants.values()))
    first = ipaddress.IPv4Network(place.node_cidr).network_address + 11
    cluster = await Cluster.connect(Path(place.kubeconfig), field_manager="fleetlb-bench")
    tenant = BenchTenant(cluster, "bench", (str(first), str(first + 1)), place.load_balancer_class)
    await tenant.prepare()
    watch = asyncio.TaskGroup()
    async with watch:
        running = watch.create_task(tenant.board.run())
        try:
            yield Side(tenant, environment)
        finally:
            running.cancel()
            await tenant.close()
            await cluster.close()


@contextlib.contextmanager
def _sink(told: list[int]) -> Iterator[dict[str, str]]:
    """What a fleet must be told; batches and bytes go into `told`."""
    command = [sys.executable, "-m", "tests.bench.span_sink"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{int(sink.stdout.readline())}"}
        told[:] = [int(word) for word in sink.communicate(timeout=30)[0].split()]


async def _measure(off: Path, on: Path, count: int) -> tuple[dict[str, Side], dict[str, float]]:
    async with _side(off) as first, _side(on) as second:
        sides = {OFF: first, ON: second}
        for number_ in range(-WARM_UP, count):
            if number_ == 0:
                first.begin()
                second.begin()
            order = (first, second) if number_ % 2 else (second, first)
            for side in order:
                await side.change(f"one{number_ + WARM_UP}")
        return sides, {name: side.cpu_seconds() for name, side in sides.items()}


def quotient(off: Sequence[float], on: Sequence[float]) -> tuple[float, float, float]:
    """Of the medians, with the bounds that 95 of 100 resamplings of the pairs lie within."""
    chance, pairs = random.Random(1), list(zip(off, on, strict=True))
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(pairs, k=len(pairs))
        found.append(median([b for _, b in drawn]) / median([a for a, _ in drawn]))
    return median(on) / median(off), quantile(found, 0.025), quantile(found, 0.975)


def findings(sides: dict[str, Side], cpu: dict[str, float], told: Sequence[int]) -> Findings:
    """The table."""
    rows, goals = [], []
    count = len(sides[OFF].samples[ADDRESS])
    for what in (ADDRESS, BYTE):
        off, on = sides[OFF].samples[what], sides[ON].samples[what]
        times, least, most = quotient(off, on)
        shares = [" / ".join(number(quantile(each, share) * 1e3) for share in (0.5, 0.95)) for each in (off, on)]
        rows.append((what, *shares, f"{times:.3f} ({least:.3f} to {most:.3f})"))
        goals.append(Goal(name=f"{what}, on / off", measured=times, bound=GOAL))
    each = [cpu[name] / count * 1e3 for name in (OFF, ON)]
    rows.append(("processor of the services, per Service", *(number(one) for one in each), f"{each[1] / each[0]:.3f}"))
    return Findings(
        title="What sending spans away costs",
        columns=("ms, p50 / p95", "off", "on", "on / off (95 %)"),
        rows=rows,
        goals=goals,
        notes=[f"{count} Services on each fleet, in turns. The sink got {told[0]} batches, {told[1] / 1e3:.0f} kB."],
        samples={f"{what}, {name}": side.samples[what] for name, side in sides.items() for what in side.samples},
    )


def main() -> int:
    """0 even where the goal is missed: the table says so."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracing", description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="Services on each fleet")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), help="folder for tracing.md and .json")
    chosen = parser.parse_args()
    told: list[int] = []
    with tempfile.TemporaryDirectory() as folder, _sink(told) as environ:
        off, on = Path(folder) / OFF, Path(folder) / ON
        alone = ("--tenants", "acme")
        with running_fleet(off, *alone), running_fleet(on, *alone, environ=environ):
            sides, cpu = asyncio.run(_measure(off, on, chosen.samples))
    found = findings(sides, cpu, told)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "tracing.md").write_text(page([found]))
    (chosen.output / "tracing.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    sys.stdout.write(page([found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
