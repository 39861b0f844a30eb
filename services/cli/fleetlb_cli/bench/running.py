"""The whole benchmark on a fresh fleet: steady state at several sizes, a burst, idleness, and the floor of each."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.resources import NAMESPACES
from fleetlb_cli.bench.bare import BareClients
from fleetlb_cli.bench.churn import Churn, Storm
from fleetlb_cli.bench.floor import HopFloor, measure_hops
from fleetlb_cli.bench.mass import NOT_COUNTED, Burst, create_at_once
from fleetlb_cli.bench.null_controller import NULL_CLASS, NullController
from fleetlb_cli.bench.samples import Series, write_raw
from fleetlb_cli.bench.steady import Steady
from fleetlb_cli.bench.tenant import BenchTenant
from fleetlb_cli.bench.usage import Usage, cpu_between, usage_of_all
from fleetlb_cli.bench.writes import count_writes
from fleetlb_cli.local.layout import Environment
from fleetlb_cli.seeing import has_address

IDLE_SECONDS = 30
OURS, FLOOR, SCRATCH = "bench", "bench-null", "bench-scratch"


class Idle(msgspec.Struct, frozen=True):
    """A stretch of time in which nobody changed anything."""

    cpu_seconds: dict[str, float]
    writes: dict[str, int]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run measured."""

    series: list[Series]
    hops: HopFloor
    burst: Burst
    burst_floor: Burst
    bare_seconds: float
    burst_cpu: dict[str, float]
    usage: dict[str, Usage]
    idle: Idle
    churn: Churn


class Benchmark:
    """Measures one tenant of a running local fleet."""

    def __init__(
        self,
        environment: Environment,
        console: Console,
        stop: Callable[[str], Awaitable[None]],
        *,
        samples: int,
        standing: list[int],
        burst: int,
    ) -> None:
        """`stop` stops a process of the fleet by name."""
        self._environment = environment
        self._stop = stop
        self._console = console
        self._samples = samples
        self._standing = standing
        self._burst = burst

    async def run(self, output: Path) -> Results:
        """Measure everything; raw samples go to `output`/raw.jsonl."""
        place = next(iter(self._environment.tenants.values()))
        first = ipaddress.IPv4Network(place.node_cidr).network_address + 11
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            cluster = await self._connect(stack, place.kubeconfig)
            management = await self._connect(stack, self._environment.management.kubeconfig)
            ours = BenchTenant(cluster, OURS, (str(first), str(first + 1)), place.load_balancer_class)
            floor = BenchTenant(cluster, FLOOR, (), NULL_CLASS)
            stack.push_async_callback(ours.close)
            await ours.prepare()
            await floor.prepare()
            for each in (cluster, management):
                await each.apply(NAMESPACES, {"metadata": {"name": SCRATCH}})
            null = NullController(cluster, FLOOR)
            background = [tasks.create_task(run) for run in (ours.board.run(), floor.board.run(), null.run())]
            storm = Storm(ours, self._environment, first + 100)
            results = await self._measure(ours, floor, storm, [cluster, management], tasks)
            for task in background:
                task.cancel()
        write_raw(output / "raw.jsonl", results.series)
        (output / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
        return results

    async def _connect(self, stack: AsyncExitStack, kubeconfig: str) -> Cluster:
        cluster = await Cluster.connect(Path(kubeconfig), field_manager="fleetlb-bench")
        stack.push_async_callback(cluster.close)
        return cluster

    async def _measure(
        self,
        ours: BenchTenant,
        floor: BenchTenant,
        storm: Storm,
        clusters: list[Cluster],
        tasks: asyncio.TaskGroup,
    ) -> Results:
        nats = self._environment.nats
        self._console.print("single hops, bare")
        hops = await measure_hops(clusters[0], SCRATCH, nats.url, Path(nats.hub_creds), self._samples, tasks)
        series: list[Series] = []
        standing: list[str] = []
        for size in self._standing:
            self._console.print(f"{size} standing: {self._samples} samples of each")
            fresh = [f"standing-{number}" for number in range(len(standing), size)]
            standing += fresh
            await ours.create_many(fresh)
            for name in fresh:
                await ours.board.until(name, has_address, "an address", 300)
            await asyncio.sleep(2)
            series += await Steady(ours, floor, size).run(self._samples)
        idle = await self._rest(clusters)
        usage = usage_of_all(self._pids())
        await ours.delete_many(standing)
        self._console.print("endpoints that come and go")
        churn = await storm.measure(tasks)
        await asyncio.sleep(15)  # quarantine, and the deletions' own work
        burst, floor_burst, bare, cpu = await self._all_at_once(ours, floor, clusters)
        return Results(
            series=series,
            hops=hops,
            burst=burst,
            burst_floor=floor_burst,
            bare_seconds=bare,
            burst_cpu=cpu,
            usage=usage,
            idle=idle,
            churn=churn,
        )

    async def _rest(self, clusters: list[Cluster]) -> Idle:
        self._console.print(f"{IDLE_SECONDS} s of rest")
        await asyncio.sleep(10)
        writes, before = await count_writes(clusters), usage_of_all(self._pids())
        await asyncio.sleep(IDLE_SECONDS)
        cpu = cpu_between(before, usage_of_all(self._pids()))
        after = await count_writes(clusters)
        after.subtract(writes)
        return Idle(cpu, {name: n for name, n in after.items() if n > 0 and name not in NOT_COUNTED})

    async def _all_at_once(
        self, ours: BenchTenant, floor: BenchTenant, clusters: list[Cluster]
    ) -> tuple[Burst, Burst, float, dict[str, float]]:
        self._console.print(f"{self._burst} Services at once")
        names = [f"mass-{number}" for number in range(self._burst)]
        before = usage_of_all(self._pids())
        burst = await create_at_once(ours, clusters, names)
        cpu = cpu_between(before, usage_of_all(self._pids()))
        self._console.print("the same by the null controller, and the same writes by bare clients")
        floor_burst = await create_at_once(floor, clusters, names)
        for process in ("manager", "status", f"tenant-watcher/{next(iter(self._environment.tenants))}"):
            await self._stop(process)
        bare = await BareClients(clusters[0], clusters[1], SCRATCH).write(self._burst)
        return burst, floor_burst, bare, cpu

    def _pids(self) -> dict[str, int]:
        processes = self._environment.processes.items()
        return {name: process.pid for name, process in processes if process.pid is not None}
