"""Borrows a fleet, runs the benchmark on it and writes down what was found."""

import functools
from pathlib import Path

from rich.console import Console

from fleetlb_cli.bench.running import Benchmark
from fleetlb_cli.bench.telling import page
from fleetlb_cli.borrowing import FleetFailed, borrowed_fleet, run_until_signalled, stop_process


def run(samples: int, standing: str, burst: int, state: Path, output: Path) -> int:
    """Returns the exit code."""
    try:
        sizes = [int(size) for size in standing.split(",")]
        return run_until_signalled(_bench(samples, sizes, burst, state, output))
    except FleetFailed as problem:
        Console(stderr=True).print(str(problem))
        return 1


async def _bench(samples: int, standing: list[int], burst: int, state: Path, output: Path) -> int:
    console = Console()
    async with borrowed_fleet(state, "acme") as environment:
        stop = functools.partial(stop_process, state)
        benchmark = Benchmark(environment, console, stop, samples=samples, standing=standing, burst=burst)
        results = await benchmark.run(output)
    text = page(results)
    (output / "results.md").write_text(text)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return 0
