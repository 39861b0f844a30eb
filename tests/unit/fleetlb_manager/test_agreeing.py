"""Processes that were told different numbers of partitions, on an API server in memory and in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Conflict
from fleetlb.kube.leases import TYPED_LEASES, LeaseHolder
from fleetlb.kube.partition_leases import MANAGER_LEASE, PARTITIONS, lease_name, partitions_of
from fleetlb.kube.resources import NAMESPACES
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_manager.agreeing import ABSTAIN_SECONDS, PATIENCE_SECONDS, Agreeing, Agreement

SYSTEM = "fleetlb-system"


class LoopClock:
    """Seconds since the loop began."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_800_000_000.0 + self.monotonic()


class Candidate:
    """A process that was told a number, and holds nothing but the first Lease."""

    def __init__(self, cluster: Cluster, identity: str, partitions: int) -> None:
        self.cluster, self.identity = cluster, identity
        self.agreed = 0
        self.agreement = Agreement(partitions)
        self.first = self.new_holder(MANAGER_LEASE)
        self.first.on_seen = self.agreement.see
        self.agreeing = Agreeing(cluster, self.first, self.agreement, self.new_holder, on_agreed=self.count)

    def count(self) -> None:
        self.agreed += 1

    def new_holder(self, name: str) -> LeaseHolder:
        return LeaseHolder(self.cluster, namespace=SYSTEM, name=name, identity=self.identity, clock=LoopClock())


async def a_cluster() -> Cluster:
    cluster = Cluster(FakeWire(FakeKube()), "test")
    await cluster.create(NAMESPACES, {"metadata": {"name": SYSTEM}})
    return cluster


async def number_on(cluster: Cluster) -> int:
    lease = await cluster.get(TYPED_LEASES, MANAGER_LEASE, SYSTEM)
    return partitions_of(lease)


async def running(*works: Callable[[], Coroutine[Any, Any, object]], seconds: float) -> None:
    """Let these run for a while."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(forever(work)) for work in works]
        await asyncio.sleep(seconds)
        for task in started:
            task.cancel()


async def forever(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    await work()


def test_a_new_fleet_has_the_number_that_its_manager_was_told() -> None:
    async def story() -> None:
        cluster = await a_cluster()
        one = Candidate(cluster, "m-1", 4)
        assert one.agreement.objection == f"the Lease {MANAGER_LEASE} was not read yet"
        await running(one.first.run, one.agreeing.run, seconds=3)
        assert (one.agreement.objection, one.agreed, await number_on(cluster)) == ("", 1, 4)

    run_virtually(story())


@pytest.mark.parametrize("held", [1, 2])
def test_it_changes_only_when_nobody_acts_under_the_old_one(held: int) -> None:
    async def story() -> None:
        cluster = await a_cluster()
        before = Candidate(cluster, "m-1", 3)
        await running(before.first.run, before.agreeing.run, seconds=3)
        old = before.new_holder(lease_name(held))
        newcomer = Candidate(cluster, "m-2", 2)
        work = (newcomer.first.run, newcomer.agreeing.run)
        await running(old.run, *work, seconds=PATIENCE_SECONDS + 10)
        assert await number_on(cluster) == 3
        assert "FLEETLB_PARTITIONS: this manager was told 2, and the fleet has 3" in newcomer.agreement.objection
        assert not newcomer.first.held.is_set(), "the first Lease is left to those who agree"
        await running(*work, seconds=ABSTAIN_SECONDS + PATIENCE_SECONDS)
        assert (newcomer.agreement.objection, await number_on(cluster)) == ("", 2)
        for name in map(lease_name, (1, 2)):
            lease = await cluster.get(TYPED_LEASES, name, SYSTEM)
            assert not lease.spec.holder_identity, "what was held for the change is free again"

    run_virtually(story())


def test_an_older_version_of_the_lease_tells_nothing() -> None:
    async def story() -> None:
        cluster = await a_cluster()
        one = Candidate(cluster, "m-1", 2)
        await one.first.step()
        before = await cluster.get(TYPED_LEASES, MANAGER_LEASE, SYSTEM)
        await running(one.first.run, one.agreeing.run, seconds=3)
        assert PARTITIONS not in before.metadata.annotations
        one.agreement.see(before)
        assert one.agreement.objection == ""
        one.agreement.see(None)
        assert "the fleet has 1" in one.agreement.objection, "somebody deleted it"

    run_virtually(story())


class Disturbed:
    """A cluster where somebody else is faster, once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def patch(self, *args: Any, **kwargs: Any) -> Any:
        if not self.refused:
            self.refused += 1
            raise Conflict("it was renewed meanwhile")
        return await self._cluster.patch(*args, **kwargs)


def test_a_first_lease_that_changed_meanwhile_is_tried_again() -> None:
    async def story() -> None:
        cluster = await a_cluster()
        before = Candidate(cluster, "m-1", 2)
        await running(before.first.run, before.agreeing.run, seconds=3)
        one, disturbed = Candidate(cluster, "m-2", 3), Disturbed(cluster)
        agreeing = Agreeing(
            disturbed,  # type: ignore[arg-type]
            one.first,
            one.agreement,
            one.new_holder,
            on_agreed=one.count,
        )
        await running(one.first.run, agreeing.run, seconds=10)
        assert (disturbed.refused, one.agreed, await number_on(cluster)) == (1, 1, 3)

    run_virtually(story())
