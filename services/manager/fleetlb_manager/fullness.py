"""How full pools are and how many claims there are, as metrics: from memory, when they are asked for. O(pools).

Only who acts tells them, so the sum over replicas is that of the fleet. Pools are the only thing that series grow with.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleetlb.domain.addresses import Family
from fleetlb_manager.counting import pool_counts
from fleetlb_manager.memory import Memory
from fleetlb_manager.workbench import Authority


class Fullness(Collector):
    """What the manager of this process has to give; nothing before it was given one."""

    def __init__(self) -> None:
        """Nothing to tell of."""
        self._told: tuple[Memory, Authority] | None = None

    def tell_of(self, memory: Memory, authority: Authority) -> None:
        """From now on of this memory, while the authority says that its holder acts."""
        self._told = (memory, authority)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        addresses = GaugeMetricFamily(
            "fleetlb_pool_addresses",
            "Addresses of a pool that are free, used or quarantined; a family that it has none of is left out.",
            labels=["pool", "family", "state"],
        )
        claims = GaugeMetricFamily("fleetlb_address_claims", "Claims of addresses, by phase.", labels=["phase"])
        moving = GaugeMetricFamily(
            "fleetlb_addresses_moving", "Addresses on their way from one balancer group to another."
        )
        if self._told is not None and self._told[1].acting:
            memory = self._told[0]
            for name in memory.book.pools:
                for family in Family:
                    counts = pool_counts(memory.book, name, family)
                    if counts.total:
                        for state in ("free", "used", "quarantined"):
                            addresses.add_metric([name, family, state], getattr(counts, state))
            for phase, count in memory.claims.in_phase.items():
                claims.add_metric([phase], count)
            moving.add_metric([], memory.claims.moving)
        yield from (addresses, claims, moving)


FULLNESS = Fullness()
REGISTRY.register(FULLNESS)
