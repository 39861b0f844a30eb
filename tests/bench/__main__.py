"""`python -m tests.bench [--quick]`: measure the IPVS engine in this kernel, say it, and write it down."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.bench import changing, drifting, loading, memory, resting, traffic
from tests.bench.findings import Findings, page
from tests.bench.loading import Size
from tests.bench.yardstick import Yardstick

LONG, LARGE, SMALL = Size(2000, 1, 10.0), Size(5000, 4, 6.0), Size(50, 2, 1.0)
_PATIENCE_SECONDS = 120.0


def main() -> int:
    """Everything, one measurement after the other; 0 even where a goal falls short: the table says so."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables: does it run at all?")
    parser.add_argument("--load", default="", help="what the host says of its load, to be shown beside the figures")
    parser.add_argument("--output", type=Path, help="folder for ipvs.md and ipvs.json")
    chosen = parser.parse_args()
    yardstick = Yardstick(5.0 if chosen.quick else _PATIENCE_SECONDS)
    every = list(_measured(_quick(yardstick) if chosen.quick else _whole(yardstick)))
    every.append(yardstick.findings(chosen.load))
    sys.stdout.write(page(every))
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        (chosen.output / "ipvs.md").write_text(page(every))
        (chosen.output / "ipvs.json").write_bytes(msgspec.json.format(msgspec.json.encode(every), indent=2))
    return 0


def _whole(yardstick: Yardstick) -> Iterator[Callable[[], Findings]]:
    yield lambda: loading.measure(LONG, 5, 500, yardstick)
    yield lambda: loading.measure(LARGE, 5, 250, yardstick)
    yield lambda: changing.measure((50, 500, 5000), 200, yardstick)
    yield lambda: resting.measure_restart(5000, 4, 3, yardstick)
    yield lambda: drifting.measure(5000, 4, 3, yardstick)
    yield lambda: resting.measure_rest(5000, 4, 60.0, 30.0, yardstick)
    yield lambda: traffic.measure(500, yardstick)
    yield lambda: memory.measure((1000, 3000), (1, 4, 16))


def _quick(yardstick: Yardstick) -> Iterator[Callable[[], Findings]]:
    yield lambda: loading.measure(SMALL, 1, 10, yardstick)
    yield lambda: changing.measure((1, 20), 5, yardstick)
    yield lambda: resting.measure_restart(20, 2, 1, yardstick)
    yield lambda: drifting.measure(20, 2, 1, yardstick)
    yield lambda: resting.measure_rest(20, 2, 4.0, 4.0, yardstick)
    yield lambda: traffic.measure(6, yardstick)
    yield lambda: memory.measure((20, 60), (1, 4))


def _measured(ways: Iterator[Callable[[], Findings]]) -> Iterator[Findings]:
    for way in ways:
        began = time.perf_counter()
        found = way()
        sys.stderr.write(f"{found.title}: {time.perf_counter() - began:.0f} s\n")
        yield found


if __name__ == "__main__":
    sys.exit(main())
