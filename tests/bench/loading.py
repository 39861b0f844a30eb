"""How long an empty kernel takes to hold a table: by the engine, by prepared bytes, by `ipvsadm -R` and by pyroute2.

Every load has a network namespace of its own: a kernel that was emptied is not as fast as one that was always empty.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator

import msgspec

from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from tests.bench.bare import Bare, ipvsadm_restore, prepare, pyroute2_add
from tests.bench.driving import WatchedKernel, driving
from tests.bench.findings import Findings, Goal, Row, median, number
from tests.bench.tables import count_held, operations_for, restore_text, virtual_servers
from tests.bench.yardstick import Yardstick

ENGINE, CONFIRMED = "engine, until the kernel holds all", "engine, until all is read back and told"
BARE, BARE_EACH = "prepared bytes, the last of 64 answered", "prepared bytes, each answered"
ENCODING = "the same, with the time to encode the bytes"
IPVSADM, PYROUTE2 = "ipvsadm -R", "pyroute2, extrapolated"
BARE_AT_MOST, PYROUTE2_AT_LEAST = 1.3, 12.0
_SETTLE_SECONDS = 0.3
_RESIZE_SECONDS = 5.0

Way = Callable[[], dict[str, float]]


class Size(msgspec.Struct, frozen=True):
    """One table, and how many times faster than `ipvsadm -R` the engine should be at it."""

    servers: int
    real_servers: int
    than_ipvsadm: float

    def __str__(self) -> str:
        return f"{self.servers:,} × {self.real_servers}"


def measure(size: Size, rounds: int, sample: int, yardstick: Yardstick) -> Findings:
    """Each way once in every round, beginning with another one each time. pyroute2 loads `sample` virtual servers."""
    servers = virtual_servers(size.servers, size.real_servers)
    times: dict[str, list[float]] = {}
    ways = _ways(servers, servers[:sample])
    for turn in range(rounds):
        for step in range(len(ways)):
            count, way = ways[(turn + step) % len(ways)]
            with empty_kernel():
                yardstick.wait_for_quiet()
                for name, seconds in way().items():
                    times.setdefault(name, []).append(seconds)
                check_held(count, size.real_servers)
    return _findings(size, times, rounds, min(sample, len(servers)))


@contextlib.contextmanager
def empty_kernel() -> Iterator[None]:
    """Within, the thread is in a new network namespace."""
    gc.collect()
    with Namespace("bench") as namespace, namespace.entered():
        yield
        with contextlib.closing(Kernel()) as kernel:
            kernel.flush()
    time.sleep(_SETTLE_SECONDS)  # the kernel takes it down in its own time


def check_held(services: int, real_servers: int) -> None:
    """Raises AssertionError unless the kernel holds so many services, with so many destinations each.

    A kernel that makes its hash table larger shows only a part of it meanwhile, so it is looked at again.
    """
    end = time.monotonic() + _RESIZE_SECONDS
    while (held := count_held()) != (services, services * real_servers):
        if time.monotonic() > end:
            raise AssertionError(f"the kernel holds {held} services and destinations, not {services} × {real_servers}")
        time.sleep(0.05)


def _ways(servers: list[VirtualServer], sample: list[VirtualServer]) -> list[tuple[int, Way]]:
    """How many services the kernel must hold afterwards, and how it is made to."""
    operations, text = operations_for(servers), restore_text(servers)
    with contextlib.closing(Bare()) as bare:
        last, each = (prepare(bare.family, operations, answer_each=each) for each in (False, True))

    def by_bytes(sends: list[tuple[bytes, int]]) -> float:
        with contextlib.closing(Bare()) as bare:
            return bare.load(sends)

    def by_encoding() -> float:
        with contextlib.closing(Bare()) as bare:
            began = time.perf_counter()
            bare.load(prepare(bare.family, operations, answer_each=False))
            return time.perf_counter() - began

    return [
        (len(servers), lambda: asyncio.run(_by_engine(servers))),
        (len(servers), lambda: {BARE: by_bytes(last)}),
        (len(servers), lambda: {BARE_EACH: by_bytes(each)}),
        (len(servers), lambda: {ENCODING: by_encoding()}),
        (len(servers), lambda: {IPVSADM: ipvsadm_restore(text)}),
        (len(sample), lambda: {PYROUTE2: pyroute2_add(sample) * len(servers) / len(sample)}),
    ]


async def _by_engine(servers: list[VirtualServer]) -> dict[str, float]:
    async with driving(servers, WatchedKernel) as driven:
        told = await driven.all_told()
        return {ENGINE: driven.kernel.last_write - driven.began, CONFIRMED: told}


def _findings(size: Size, times: dict[str, list[float]], rounds: int, sample: int) -> Findings:
    medians = {name: median(times[name]) for name in (ENGINE, CONFIRMED, BARE, ENCODING, BARE_EACH, IPVSADM, PYROUTE2)}
    entries, ours = size.servers * (1 + size.real_servers), medians[ENGINE]
    rows: list[Row] = [
        (
            name,
            number(seconds),
            f"{number(min(times[name]))} – {number(max(times[name]))}",
            number(entries / seconds),
            number(seconds / ours),
        )
        for name, seconds in medians.items()
    ]
    goals = [
        *(
            Goal(name=f"{size}: engine / {name}", measured=ours / medians[name], bound=BARE_AT_MOST, unit="×")
            for name in (BARE, BARE_EACH)
        ),
        _faster(f"{size}: {IPVSADM} / engine", medians[IPVSADM] / ours, size.than_ipvsadm),
        _faster(f"{size}: {PYROUTE2} / engine", medians[PYROUTE2] / ours, PYROUTE2_AT_LEAST),
    ]
    return Findings(
        title=f"Loading {size} real servers into an empty kernel",
        columns=("by", "seconds (median)", "from – to", "entries/s", "× engine"),
        rows=rows,
        goals=goals,
        notes=[
            f"{rounds} rounds; {IPVSADM} includes the start of its process; pyroute2 was timed with {sample} virtual"
            " servers and multiplied."
        ],
        samples={f"{size}: {name}": seconds for name, seconds in times.items()},
    )


def _faster(name: str, measured: float, bound: float) -> Goal:
    return Goal(name=name, measured=measured, bound=bound, unit="×", is_least=True)
