"""Many Services at once: how long until each has an address, and what was written for it."""

import asyncio
import time
from collections import Counter

import msgspec

from fleetlb.kube.cluster import Cluster
from fleetlb_cli.bench.tenant import BenchTenant
from fleetlb_cli.bench.writes import count_writes
from fleetlb_cli.seeing import has_address

PATIENCE = 300.0
NOT_COUNTED = ("events", "leases", "ipaddresses")
"""Events are best effort, leases follow the clock, and an API server makes the IPAddress of a Service itself."""


class Burst(msgspec.Struct, frozen=True):
    """What a burst took."""

    services: int
    seconds: float
    writes: dict[str, int]

    @property
    def writes_per_service(self) -> float:
        """Writes of API servers for each Service, its own creation not counted."""
        return sum(self.writes.values()) / self.services


async def create_at_once(tenant: BenchTenant, clusters: list[Cluster], names: list[str]) -> Burst:
    """Create Services with several writers and wait until every one has an address."""
    before = await count_writes(clusters)
    clock = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tenant.create_many(names))
        for name in names:
            tasks.create_task(tenant.board.until(name, has_address, "an address", PATIENCE))
    seconds = time.perf_counter() - clock
    await asyncio.sleep(3)  # let the writes that follow an address be counted too
    made = await count_writes(clusters)
    made.subtract(before)
    return Burst(len(names), seconds, _counted(made, len(names)))


def _counted(made: Counter[str], own: int) -> dict[str, int]:
    counted = {name: n for name, n in made.items() if n > 0 and name.split("/")[0] not in NOT_COUNTED}
    counted["services"] = counted.get("services", 0) - own
    return counted
