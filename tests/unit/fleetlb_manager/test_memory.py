from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, EngineName
from fleetlb.domain.virtual_servers import parse_key
from fleetlb_manager.identities import ClusterKey, Slot
from fleetlb_manager.inventories import Absences
from fleetlb_manager.virtual_server_tables import Published
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_load_balancer, a_pool, a_wish, a_world

CLUSTER = ClusterKey("acme", "cluster-1")


def test_a_clusters_services_come_from_everywhere() -> None:
    world = a_world()
    world.say(a_key("observed"), a_wish())
    world.memory.load_balancers.put(a_load_balancer(a_key("object"), "192.0.2.1"))
    world.memory.claims.put(a_claim(owner=a_key("claim")))
    assert {key.uid for key in world.memory.services_in(CLUSTER)} == {"observed", "object", "claim"}
    assert world.memory.services_in(ClusterKey("acme", "other")) == set()


def test_absence_is_proven_per_cluster() -> None:
    world = a_world()
    assert not world.memory.is_absent(a_key())
    absences = world.memory.absences[CLUSTER] = Absences()
    absences.note({"u1"}, set(), 0.0)
    absences.note({"u1"}, set(), 60.0)
    assert world.memory.is_absent(a_key())
    assert not world.memory.is_absent(a_key(cluster="other"))


def test_an_address_is_routed_with_its_own_pools_network_or_another_of_the_group() -> None:
    world = a_world(pool=("192.0.2.0/29", "192.0.2.8-192.0.2.12"))
    fold, memory = world.folding, world.memory
    memory.claims.put(a_claim("192.0.2.9"))
    assert memory.route_of("192.0.2.9", "default").prefix == "192.0.2.8/30"
    assert memory.route_of("192.0.2.9", "other").prefix == ""
    assert memory.route_of("203.0.113.1", "default").prefix == ""
    fold.pool_set(a_pool("192.0.2.0/24", name="all"))
    fold.pool_set(a_pool("192.0.0.0/16", name="a-strangers", group="other"))
    assert memory.route_of("192.0.2.9", "default").prefix == "192.0.2.8/30"
    assert memory.route_of("192.0.2.9", "other").prefix == "192.0.0.0/16"
    fold.pool_gone(memory.pools["default"])
    assert memory.route_of("192.0.2.9", "default").prefix == "192.0.2.0/24"
    fold.pool_gone(memory.pools["all"])
    assert memory.route_of("192.0.2.9", "default").prefix == ""


def test_groups_and_slots_are_looked_up() -> None:
    world = a_world(nodes=("n1", "n2"))
    assert world.memory.nodes_of("default") == ("n1", "n2")
    assert world.memory.capabilities("default") == ENGINE_CAPABILITIES[EngineName.ENVOY]
    assert world.memory.nodes_of("other") is None
    assert world.memory.capabilities("other") is None
    slot = Slot("default", parse_key("192.0.2.1:443/tcp"))
    world.memory.desired.note(slot, Published(1, 1, "d"))
    assert world.memory.slots_at("192.0.2.1") == [slot]
    assert world.memory.account_of("acme") == "AACME"
    assert world.memory.account_of("nobody") == ""


def test_live_is_what_claims_or_objects_tell_whichever_is_more() -> None:
    world = a_world()
    assert world.memory.live_in("acme") == 0
    world.memory.load_balancers.put(a_load_balancer(a_key("u1"), "192.0.2.1"))
    assert world.memory.live_in("acme") == 1
    for number in (2, 3):
        world.memory.claims.put(a_claim(f"192.0.2.{number}", a_key(f"c{number}")))
    assert world.memory.live_in("acme") == 2
    assert world.memory.live_in("globex") == 0


def test_a_tenant_is_live_while_its_services_show_addresses_that_nobody_knows_of_any_more() -> None:
    world = a_world()
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(), shown=("192.0.2.1",))
    assert world.memory.live_in("acme") == 2
    world.memory.load_balancers.put(a_load_balancer(a_key("u1"), "192.0.2.1"))
    assert world.memory.live_in("acme") == 2
    assert world.memory.live_in("globex") == 0


def test_virtual_servers_are_walked_in_the_order_in_which_they_were_heard_of() -> None:
    memory = a_world().memory
    slots = [Slot("default", parse_key(f"192.0.2.1:{port}/tcp")) for port in (443, 80, 8443, 53, 22)]
    for slot in slots:
        memory.desired.note(slot, Published(1, 1, "d"))
    assert memory.slots() == memory.slots_at("192.0.2.1") == slots
