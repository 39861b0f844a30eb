"""Two candidates for one Lease on a real kube-apiserver."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.lease_terms import GENERATION
from fleetlb.kube.lease_timing import LeaseTiming
from fleetlb.kube.leases import LeaseHolder
from fleetlb.kube.resources import LEASES, NAMESPACES
from fleetlb.testkit.eventually import eventually

pytestmark = pytest.mark.integration

QUICK = LeaseTiming(duration=1, renew=0.1, retry=0.05)


@pytest.fixture
async def cluster(kube_api: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube_api)
    yield connected
    await connected.close()


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    created = await cluster.create(NAMESPACES, {"metadata": {"generateName": "leases-"}})
    name: str = created["metadata"]["name"]
    return name


def candidate(cluster: Cluster, namespace: str, identity: str) -> LeaseHolder:
    return LeaseHolder(cluster, namespace=namespace, name="l", identity=identity, timing=QUICK)


async def test_one_holds_and_the_other_follows_at_once_after_a_clean_stop(cluster: Cluster, namespace: str) -> None:
    a, b = candidate(cluster, namespace, "a"), candidate(cluster, namespace, "b")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(a.run())
        await asyncio.wait_for(a.held.wait(), 5)
        second = group.create_task(b.run())
        await asyncio.sleep(0.3)
        assert (a.is_valid(), b.held.is_set()) == (True, False)
        first.cancel()
        await asyncio.wait_for(b.held.wait(), 0.5)
        assert b.generation > a.generation
        second.cancel()
    lease = await cluster.get(LEASES, "l", namespace)
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseTransitions"] == 1
    assert lease["metadata"]["annotations"] == {GENERATION: str(b.generation)}


async def test_a_holder_that_dies_is_followed_after_its_duration(cluster: Cluster, namespace: str) -> None:
    a, b = candidate(cluster, namespace, "a"), candidate(cluster, namespace, "b")
    await a.step()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        died = loop.time()
        second = group.create_task(b.run())
        await asyncio.wait_for(b.held.wait(), 5)
        assert QUICK.duration <= loop.time() - died < 2 * QUICK.duration
        second.cancel()
    assert not a.is_valid(), "the dead one's term was over before the other began"


async def test_of_many_candidates_one_holds(cluster: Cluster, namespace: str) -> None:
    candidates = [candidate(cluster, namespace, f"c{n}") for n in range(8)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in candidates]
        generations = []
        for _ in range(4):
            await eventually(lambda: any(each.held.is_set() for each in candidates))
            holders = [index for index, each in enumerate(candidates) if each.held.is_set()]
            assert len(holders) == 1
            generations.append(candidates[holders[0]].generation)
            tasks[holders[0]].cancel()
            await asyncio.wait([tasks[holders[0]]])
        assert generations == sorted(set(generations))
        for task in tasks:
            task.cancel()
