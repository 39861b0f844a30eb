"""What is heard of a fleet in memory."""

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import ServiceReleased, ServiceReported
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANTS
from fleetlb.kube.resources import NAMESPACES
from fleetlb.runtime.bus import Message
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import ACCOUNT, CLUSTER, SERVICE, a_load_balancer, a_tenant
from fleetlb_cli.tail.choosing import Choice
from fleetlb_cli.tail.directory import Directory
from fleetlb_cli.tail.following import Listener, listening

REPORTED = subjects.reported(ACCOUNT, CLUSTER, SERVICE)
RELEASED = subjects.released(ACCOUNT, CLUSTER, SERVICE)
REPORT = codec.encode(ServiceReported(generation=1, revision=1))


@pytest.fixture
async def cluster() -> Cluster:
    """With tenant acme and its Service shop/web."""
    cluster = Cluster(FakeWire(FakeKube()), "test")
    tenant, balancer = a_tenant(), a_load_balancer()
    await cluster.create(NAMESPACES, {"metadata": {"name": balancer.metadata.namespace}})
    await cluster.create(TENANTS, tenant)
    status = {"status": {"account": tenant.status.account}}
    await cluster.patch(TENANTS, "acme", status, kind=PatchKind.MERGE, subresource="status")
    await cluster.create(LOAD_BALANCERS, balancer)
    return cluster


async def test_messages_come_in_order_with_the_names_of_whose_they_are(cluster: Cluster) -> None:
    bus = FakeBus()
    async with listening(cluster, bus, Choice()) as listener:
        await bus.notify(REPORTED, REPORT)
        await bus.notify("$JS.API.something", b"")
        await bus.notify(RELEASED, codec.encode(ServiceReleased()))
        heard = [await listener.next(), await listener.next()]
    assert [(each.kind, each.tenant, each.service) for each in heard] == [
        ("reported", "acme", "shop/web"),
        ("released", "acme", "shop/web"),
    ]


async def test_who_reads_too_slowly_is_told_how_many_were_left_out() -> None:
    listener = Listener(Directory(), Choice(kinds=frozenset({"reported"})), room=2)
    for _ in range(5):
        listener.hear(Message(REPORTED, REPORT))
    listener.hear(Message(RELEASED, codec.encode(ServiceReleased())))
    await listener.next()
    assert listener.dropped == 3
