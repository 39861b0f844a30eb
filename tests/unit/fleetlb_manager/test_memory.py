from fleetlb.domain.virtual_servers import parse_key
from fleetlb_manager.identities import ClusterKey, Slot
from fleetlb_manager.inventories import Absences
from fleetlb_manager.virtual_server_tables import Published
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_load_balancer, a_wish, a_world

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


def test_groups_and_slots_are_looked_up() -> None:
    world = a_world(nodes=("n1", "n2"))
    assert world.memory.nodes_of("default") == ("n1", "n2")
    assert world.memory.capabilities("default") == frozenset({"tcp", "udp", "affinity"})
    assert world.memory.nodes_of("other") is None
    assert world.memory.capabilities("other") is None
    slot = Slot("default", parse_key("192.0.2.1:443/tcp"))
    world.memory.desired.note(slot, Published(1, 1, "d"))
    assert world.memory.slots_at("192.0.2.1") == {slot}
    assert world.memory.account_of("acme") == "AACME"
    assert world.memory.account_of("nobody") == ""
