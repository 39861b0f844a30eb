import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import InventoryObserved, NodesObserved
from fleetlb.domain.services import TenantNode
from fleetlb.runtime.bus import Message
from fleetlb_manager.clusters import CONTACT_SECONDS, RESYNC_SECONDS, SETTLING_SECONDS
from fleetlb_manager.identities import ClusterKey
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_wish, a_world

CLUSTER = ClusterKey("acme", "cluster-1")
RESYNC = subjects.resync("AACME", "cluster-1")


def observe(world: World, what: str, body: bytes, cluster: str = "cluster-1") -> None:
    world.messages.observed("acme", "AACME", Message(f"fleetlb.v1.observed.AACME.{cluster}.{what}", body, 1))


def nodes(world: World, *names: str, cluster: str = "cluster-1") -> None:
    observed = tuple(TenantNode(name=name, addresses=(f"10.1.0.{index}",)) for index, name in enumerate(names, 1))
    observe(world, "nodes", codec.encode(NodesObserved(nodes=observed)), cluster)


def inventory(world: World, *uids: str, **digests: str) -> None:
    said = {uid: world.memory.observations.service(a_key(uid)) for uid in uids}
    services = {uid: found.digest for uid, found in said.items() if found} | digests
    observe(world, "inventory", codec.encode(InventoryObserved(services=services, watcher_version="1.2")))


async def test_a_new_cluster_gets_one_object_with_its_nodes() -> None:
    world = a_world()
    nodes(world, "node-a", cluster="cluster-2")
    await world.work()
    nodes(world, "node-a", cluster="cluster-2")
    await world.work()
    assert world.kept.effects == ["create cluster cluster-2"]
    made = world.kept.clusters["tenant-acme", "cluster-2"]
    assert made.spec.nodes[0].name == "node-a"
    assert made.metadata.labels == {"fleetlb.dev/tenant": "acme"}


async def test_a_node_more_is_one_write_and_reaches_every_load_balancer() -> None:
    world = a_world()
    nodes(world, "node-a")
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(uid))
    await world.work()
    world.kept.effects.clear()
    nodes(world, "node-a", "node-b")
    await world.work()
    assert world.kept.effects[0] == "patch cluster cluster-1 nodes"
    assert len(world.kept.effects) == 3
    assert all(wish.server and len(wish.server.real_servers) == 2 for wish in world.kept.serving.values())


async def test_a_cluster_is_not_made_before_its_nodes_are_known() -> None:
    world = a_world()
    observe(world, "inventory", codec.encode(InventoryObserved(services={})), "cluster-2")
    await world.work()
    assert world.kept.effects == []


@pytest.mark.parametrize("edited", [True, False])
async def test_an_object_made_or_deleted_by_others_is_taken_as_it_is(edited: bool) -> None:
    world = a_world()
    item = world.kept.clusters["tenant-acme", "cluster-1"]
    if edited:
        spec = replace(item.spec, nodes=())
        changed = world.kept.stamp(replace(item, spec=spec), respecified=True)
        world.kept.clusters["tenant-acme", "cluster-1"] = changed
        world.folding.cluster_set(changed)
    else:
        world.kept.clusters.clear()
    nodes(world, "node-b")
    await world.work()
    assert world.kept.clusters["tenant-acme", "cluster-1"].spec.nodes[0].name == "node-b"


async def test_the_contact_is_renewed_seldom() -> None:
    world = a_world()
    nodes(world, "node-a")
    inventory(world)
    await world.work()
    status = world.kept.clusters["tenant-acme", "cluster-1"].status
    assert (status.watcher_version, status.services, status.last_contact) == ("1.2", 0, "2027-01-15T08:00:00Z")
    world.kept.effects.clear()
    world.clock.now += CONTACT_SECONDS / 2
    inventory(world)
    await world.work()
    assert world.kept.effects == []
    world.clock.now += CONTACT_SECONDS
    inventory(world)
    await world.work()
    assert world.kept.effects == ["patch cluster cluster-1 status"]


async def test_two_inventories_without_a_service_release_it_and_its_message_goes_first() -> None:
    world = a_world()
    nodes(world, "node-a")
    world.say(a_key("u1"), a_wish("u1"))
    world.say(a_key("u2"), a_wish("u2"))
    await world.work()
    for _ in range(2):
        assert len(world.kept.serving) == 2
        inventory(world, "u2")
        await world.work()
        world.clock.now += 6
    inventory(world, "u2")
    world.kept.effects.clear()
    await world.work()
    assert world.kept.effects[0] == "purge fleetlb.v1.observed.AACME.cluster-1.service.u1"
    assert world.addresses() == {"u2": ("192.0.2.1",)}
    world.rebuild()
    await world.work()
    assert world.addresses() == {"u2": ("192.0.2.1",)}


async def test_an_old_inventory_proves_nothing() -> None:
    world = a_world()
    nodes(world, "node-a")
    world.say(a_key("u1"), a_wish("u1"))
    await world.work()
    world.memory.observations.restart("acme")
    for _ in range(3):
        inventory(world)
        await world.work()
        world.clock.now += 20
    assert len(world.kept.serving) == 1


async def test_a_released_service_that_the_watcher_forgot_is_forgotten() -> None:
    world = a_world()
    nodes(world, "node-a")
    world.say(a_key("u1"), a_wish("u1"))
    await world.work()
    world.say(a_key("u1"), None)
    await world.work()
    inventory(world, "u1")
    await world.work()
    assert world.memory.observations.service(a_key("u1")) is not None
    inventory(world)
    await world.work()
    assert world.memory.observations.service(a_key("u1")) is None
    assert subjects.observed_service("AACME", "cluster-1", "u1") not in world.kept.streams


async def test_a_lost_message_is_asked_for_once_in_a_while() -> None:
    world = a_world()
    nodes(world, "node-a")
    inventory(world, u9="unheard")
    assert await world.clusters.reconcile(CLUSTER) == pytest.approx(SETTLING_SECONDS + 0.01, abs=0.001)
    world.clock.now += SETTLING_SECONDS
    assert await world.clusters.reconcile(CLUSTER) is None
    assert world.kept.notified == [RESYNC]
    world.clock.now += 1
    inventory(world, u9="unheard")
    await world.clusters.reconcile(CLUSTER)
    world.clock.now += SETTLING_SECONDS
    left = await world.clusters.reconcile(CLUSTER)
    assert left == pytest.approx(RESYNC_SECONDS - SETTLING_SECONDS - 1)
    world.clock.now += RESYNC_SECONDS
    await world.clusters.reconcile(CLUSTER)
    assert world.kept.notified == [RESYNC, RESYNC]


async def test_what_arrives_in_time_is_not_asked_for() -> None:
    world = a_world()
    nodes(world, "node-a")
    world.say(a_key("u1"), a_wish())
    inventory(world, "u1", u2="late")
    await world.work()
    inventory(world, "u1")
    world.clock.now += 60
    assert await world.clusters.reconcile(CLUSTER) is None
    assert world.kept.notified == []


async def test_a_standby_or_an_unknown_tenant_does_nothing() -> None:
    world = a_world()
    nodes(world, "node-b")
    world.authority.acting = False
    assert await world.clusters.reconcile(CLUSTER) is None
    world.authority.acting = True
    world.folding.tenant_gone(world.kept.tenants["acme"])
    assert await world.clusters.reconcile(CLUSTER) is None
    assert world.kept.effects == []


async def test_nothing_is_made_for_a_tenant_that_leaves() -> None:
    world = a_world()
    tenant = world.kept.tenants["acme"]
    meta = replace(tenant.metadata, deletion_timestamp="2026-11-25T13:00:00Z")
    world.folding.tenant_set(world.kept.stamp(replace(tenant, metadata=meta)))
    nodes(world, "node-a", cluster="cluster-2")
    await world.work()
    assert world.kept.effects == []
