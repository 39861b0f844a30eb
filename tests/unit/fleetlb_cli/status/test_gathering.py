"""What is read of a fleet in memory, and of one whose NATS does not answer."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.streams import observed_stream, realized_stream
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from fleetlb.kube.holding import holders
from fleetlb.kube.lease_marks import WENT_BACK
from fleetlb.kube.lease_terms import Lease, LeaseMeta, LeaseSpec, micro_time
from fleetlb.kube.leases import TYPED_LEASES
from fleetlb.kube.partition_leases import MANAGER_LEASE, PARTITIONS
from fleetlb.kube.resources import NAMESPACES
from fleetlb.runtime.bus import Bus
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import ACCOUNT, CLUSTER, a_group, a_load_balancer, a_tenant
from fleetlb_cli.following import following_nodes
from fleetlb_cli.reaching import Hub
from fleetlb_cli.status.gathering import gather
from fleetlb_cli.status.viewing import view_of
from tests.unit.fleetlb_cli.status.a_fleet import POOL

SYSTEM = "fleetlb-system"
NATS = "nats://hub:4222"


def a_hub(bus: Bus | None, problem: str = "") -> Hub:
    """The way to a bus, which is open or shut."""
    connecting: asyncio.Future[Bus | None] = asyncio.get_running_loop().create_future()
    connecting.set_result(bus)
    hub = Hub(connecting)
    hub.problem = problem
    return hub


def a_lease(name: str, age: float, **annotations: str) -> Lease:
    spec = LeaseSpec(holder_identity="m-1", lease_duration_seconds=15, renew_time=micro_time(time.time() - age))
    return Lease(metadata=LeaseMeta(name=name, namespace=SYSTEM, annotations=annotations), spec=spec)


@pytest.fixture
async def cluster() -> Cluster:
    """One tenant with one Service; the manager acts, the status service was not heard for long."""
    cluster = Cluster(FakeWire(FakeKube()), "test")
    for namespace in (SYSTEM, "tenant-acme"):
        await cluster.create(NAMESPACES, {"metadata": {"name": namespace}})
    await cluster.create(TENANTS, a_tenant())
    await cluster.patch(TENANTS, "acme", {"status": {"account": ACCOUNT}}, kind=PatchKind.MERGE, subresource="status")
    await cluster.create(LOAD_BALANCERS, a_load_balancer())
    await cluster.create(ADDRESS_POOLS, POOL)
    await cluster.create(BALANCER_GROUPS, a_group("node-1", "node-2"))
    own = ObjectMeta(name=CLUSTER, namespace="tenant-acme")
    await cluster.create(TENANT_CLUSTERS, TenantCluster(metadata=own, spec=TenantClusterSpec(tenant="acme")))
    await cluster.create(TYPED_LEASES, a_lease("fleetlb-manager", 1, **{WENT_BACK: "7"}))
    await cluster.create(TYPED_LEASES, a_lease("fleetlb-status", 600))
    return cluster


class Server:
    """The part of NATS' API that is asked, in pages of one."""

    def __init__(self, bus: FakeBus, *looks: list[dict[str, Any]]) -> None:
        """`looks`: consumers at each look; the last ones stay."""
        self._bus = bus
        self._looks = list(looks)

    async def start(self) -> None:
        """Answer from now on."""
        name = realized_stream("default").name
        await self._bus.serve(f"$JS.API.CONSUMER.LIST.{name}", self._consumers)
        await self._bus.serve(f"$JS.API.STREAM.MSG.GET.{observed_stream(ACCOUNT).name}", self._message)

    async def _consumers(self, _: str, body: bytes) -> bytes:
        now, offset = self._looks[0], msgspec.json.decode(body)["offset"]
        if offset + 1 >= len(now) and len(self._looks) > 1:
            self._looks.pop(0)
        return msgspec.json.encode({"total": len(now), "consumers": now[offset : offset + 1]})

    async def _message(self, _: str, body: bytes) -> bytes:
        assert msgspec.json.decode(body)["last_by_subj"] == subjects.observed_inventory(ACCOUNT, CLUSTER)
        return msgspec.json.encode({"message": {"time": "2027-01-15T08:00:00Z", "data": ""}})


def consumer(node: str, waiting: int) -> dict[str, Any]:
    return {"config": {"filter_subject": subjects.realized_by("default", node)}, "num_waiting": waiting}


async def test_everything_is_read(cluster: Cluster) -> None:
    bus = FakeBus()
    await Server(bus, [consumer("other", 1), consumer("node-1", 1), consumer("node-2", 0)]).start()
    seen = await gather(cluster, a_hub(bus), NATS, SYSTEM)
    assert (seen.nats, seen.nats_problem) == (NATS, "")
    assert seen.following == {"default": frozenset({"node-1"})}
    assert seen.watchers == {CLUSTER: 1_800_000_000.0}
    assert [len(each) for each in (seen.tenants, seen.clusters, seen.load_balancers, seen.pools, seen.groups)] == [
        1
    ] * 5
    (manager,) = seen.managers
    assert (manager.holder, manager.is_held) == ("m-1", True)
    assert "went back in time" in manager.objection
    assert (seen.status.is_held, seen.status.objection) == (False, "")


async def test_a_follower_that_just_got_a_message_is_looked_at_again() -> None:
    bus = FakeBus()
    await Server(bus, [consumer("node-1", 0)], [consumer("node-1", 1)]).start()
    assert await following_nodes(bus, a_group("node-1")) == {"node-1"}


async def test_without_nats_the_rest_is_read(cluster: Cluster) -> None:
    seen = await gather(cluster, a_hub(None, "nobody listens there"), NATS, SYSTEM)
    assert (seen.nats_problem, seen.following, seen.watchers) == ("nobody listens there", {}, {})
    assert len(seen.load_balancers) == 1


async def test_nats_that_does_not_answer_is_a_problem_of_nats_alone(cluster: Cluster) -> None:
    seen = await gather(cluster, a_hub(FakeBus()), NATS, SYSTEM)
    assert "nobody answers" in seen.nats_problem
    assert len(seen.load_balancers) == 1


async def test_a_bus_that_was_lost_is_none() -> None:
    bus = FakeBus()
    hub = a_hub(bus)
    assert await hub.bus(0) is bus
    bus.disconnect()
    assert (await hub.bus(0), hub.problem) == (None, "no answer for 0 s")
    bus.reconnect()
    assert (await hub.bus(0), hub.problem) == (bus, "")


async def test_each_partition_has_its_manager(cluster: Cluster) -> None:
    await cluster.patch(
        TYPED_LEASES,
        MANAGER_LEASE,
        {"metadata": {"annotations": {PARTITIONS: "3"}}},
        kind=PatchKind.MERGE,
        namespace=SYSTEM,
    )
    await cluster.create(TYPED_LEASES, a_lease("fleetlb-manager-1", 600))
    hub = await holders(cluster, SYSTEM)
    held = hub.managers
    assert [(each.name, each.is_held) for each in held] == [
        ("fleetlb-manager", True),
        ("fleetlb-manager-1", False),
        ("fleetlb-manager-2", False),
    ]
    assert all("went back in time" in each.objection for each in held), "it stands on the first, for all"
    assert hub.manager_of("globex").name == "fleetlb-manager-1"
    assert [process.holder for process in view_of(await gather(cluster, a_hub(None), NATS, SYSTEM)).processes] == [
        "m-1",
        "",
        "",
        "",
    ]
