"""How long a table that somebody cleared with `ipvsadm -C` stays so."""

import asyncio
import time

from fleetlb_dataplane_programmer.ipvs.patrolling import ROUND_SECONDS
from tests.bench.bare import ipvsadm_clear
from tests.bench.driving import CountedKernel, driving
from tests.bench.findings import Findings, Goal, median, number
from tests.bench.loading import check_held, empty_kernel
from tests.bench.tables import virtual_servers
from tests.bench.yardstick import Yardstick

AT_MOST_SECONDS = 5.0
_GIVE_UP_SECONDS = 60.0
_LOOK_SECONDS = 0.01


def measure(servers: int, real_servers: int, rounds: int, yardstick: Yardstick) -> Findings:
    """Cleared right after the patrol has looked, which is the worst moment."""
    size = f"{servers:,} × {real_servers}"
    with empty_kernel():
        yardstick.wait_for_quiet()
        seconds = asyncio.run(_drift(servers, real_servers, rounds))
    return Findings(
        title="Cleared by hand",
        columns=("table", "rounds", "restored after (s, median)", "from – to"),
        rows=[(size, str(rounds), number(median(seconds)), f"{number(min(seconds))} – {number(max(seconds))}")],
        goals=[
            Goal(name=f"cleared at {size}: restored, worst", measured=max(seconds), bound=AT_MOST_SECONDS, unit="s")
        ],
        notes=[
            f"From the start of `ipvsadm -C`, right after a look of the patrol, which comes every {ROUND_SECONDS:g} s."
        ],
        samples={f"cleared at {size}": seconds},
    )


async def _drift(servers: int, real_servers: int, rounds: int) -> list[float]:
    seconds: list[float] = []
    wished = virtual_servers(servers, real_servers)
    async with driving(wished, CountedKernel, round_seconds=ROUND_SECONDS) as driven:
        await driven.all_told()
        for _ in range(rounds):
            await driven.kernel.is_left_alone(1)
            whole = driven.kernel.written + servers * (1 + real_servers)
            began = time.perf_counter()
            await asyncio.to_thread(ipvsadm_clear)
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                while driven.kernel.written < whole:
                    await asyncio.sleep(_LOOK_SECONDS)
            seconds.append(driven.kernel.last_write - began)
            check_held(servers, real_servers)
    return seconds
