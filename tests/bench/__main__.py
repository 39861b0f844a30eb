"""`python -m tests.bench kernel|host`: measure the IPVS engine, say it, and write it down."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.bench import changing, drifting, loading, memory, resting, thinking, traffic
from tests.bench.findings import Findings, page
from tests.bench.loading import Size
from tests.bench.yardstick import Yardstick

LONG, LARGE, SMALL = Size(2000, 1, 10.0), Size(5000, 4, 6.0), Size(50, 2, 1.0)
_PATIENCE_SECONDS = 120.0


def main() -> int:
    """One measurement after the other; 0 even where a goal falls short: the table says so."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", choices=("kernel", "host"), help="kernel: all that needs IPVS; host: needs none")
    parser.add_argument("--quick", action="store_true", help="small tables: does it run at all?")
    parser.add_argument("--load", default="", help="what the host says of its load, to be shown beside the figures")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), help="folder for ipvs-PART.md and .json")
    chosen = parser.parse_args()
    yardstick = Yardstick(5.0 if chosen.quick else _PATIENCE_SECONDS)
    chosen.output.mkdir(parents=True, exist_ok=True)
    every: list[Findings] = []
    for way in (_host if chosen.part == "host" else _kernel)(chosen.quick, yardstick):
        began = time.perf_counter()
        every.append(way())
        sys.stderr.write(f"{every[-1].title}: {time.perf_counter() - began:.0f} s\n")
        _write(chosen.output / f"ipvs-{chosen.part}", [*every, yardstick.findings(chosen.load)])
    sys.stdout.write((chosen.output / f"ipvs-{chosen.part}.md").read_text())
    return 0


def _kernel(quick: bool, yardstick: Yardstick) -> Iterator[Callable[[], Findings]]:
    if quick:
        yield lambda: loading.measure(SMALL, 1, 10, yardstick)
        yield lambda: changing.measure((1, 20), 5, yardstick)
        yield lambda: resting.measure_restart(20, 2, 1, yardstick)
        yield lambda: drifting.measure(20, 2, 1, yardstick)
        yield lambda: resting.measure_rest(20, 2, 4.0, 4.0, yardstick)
        yield lambda: traffic.measure(6, yardstick)
        return
    yield lambda: loading.measure(LONG, 5, 500, yardstick)
    yield lambda: loading.measure(LARGE, 5, 250, yardstick)
    yield lambda: changing.measure((50, 500, 5000), 200, yardstick)
    yield lambda: resting.measure_restart(5000, 4, 3, yardstick)
    yield lambda: drifting.measure(5000, 4, 3, yardstick)
    yield lambda: resting.measure_rest(5000, 4, 60.0, 30.0, yardstick)
    yield lambda: traffic.measure(500, yardstick)


def _host(quick: bool, yardstick: Yardstick) -> Iterator[Callable[[], Findings]]:
    servers, real_servers = ((20, 60), (1, 4)) if quick else ((1000, 3000), (1, 4, 16))
    yield lambda: thinking.measure((SMALL,) if quick else (LONG, LARGE), 1 if quick else 5, yardstick)
    yield lambda: memory.measure(servers, real_servers)


def _write(path: Path, findings: list[Findings]) -> None:
    path.with_suffix(".md").write_text(page(findings))
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(findings), indent=2))


if __name__ == "__main__":
    sys.exit(main())
