"""What a scrape costs is bounded: series do not grow with Services, in none of the four processes."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.testkit.fake_kube import Place
from fleetlb.testkit.virtual_time import VirtualTimeLoop
from tests.simulation.chance import chance_by
from tests.simulation.fleet import Fleet
from tests.simulation.outside import NODES, Outside

FEW, MANY = 10, 1_000
LARGE = AddressPool(metadata=ObjectMeta(name="large"), spec=AddressPoolSpec(addresses=("198.51.100.0/22",), priority=1))


def series() -> set[tuple[str, ...]]:
    """Every series of this process, which all four services share here."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
        for family in REGISTRY.collect()
        for sample in family.samples
    }


async def growing(disks: Path) -> list[set[tuple[str, ...]]]:
    """The series with few Services served, and with many."""
    outside = Outside(disks, asyncio.get_running_loop().time)
    outside.install()
    outside.management.create(Place("addresspools.fleetlb.dev", "", "large"), msgspec.to_builtins(LARGE))
    timed = "fleetlb_network_programming_duration_seconds_count"
    before = REGISTRY.get_sample_value(timed) or 0
    async with Fleet(outside) as fleet:
        outside.let_in("acme")
        found = []
        for begin, end in ((0, FEW), (FEW, MANY)):
            for number in range(begin, end):
                outside.make("acme", f"web-{number}")
            await fleet.rest()
            assert {len(plane) for plane in outside.planes.values()} == {end}
            found.append(series())
            used = {"pool": "large", "family": "IPv4", "state": "used"}
            assert REGISTRY.get_sample_value("fleetlb_pool_addresses", used) == end
            assert (REGISTRY.get_sample_value(timed) or 0) - before >= end * len(NODES)
            for name in ("fleetlb-manager", "fleetlb-status"):
                assert REGISTRY.get_sample_value("leader_election_master_status", {"name": name}) == 1
        assert not fleet.complaints
        return found


@pytest.mark.timeout(300)
def test_a_thousand_services_have_no_more_series_than_ten(tmp_path: Path) -> None:
    with chance_by(1), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        few, many = runner.run(growing(tmp_path))
    # With so many comes a kind of outcome that there was not yet.
    assert len(many - few) < 5, many - few
    assert len(many) < 1_000
