from msgspec.structs import replace

from fleetlb.contracts.objects import LoadBalancerSpec
from fleetlb_manager.carried import Carried, CarriedPool, Change
from tests.unit.fleetlb_manager.manager_world import a_key, a_load_balancer

HERE, THERE = CarriedPool("acme", "default", "default"), CarriedPool("acme", "spare", "default")
FIRST, SECOND = a_key("u1"), a_key("u2")


def carrying(*addresses: str, group: str = "default") -> LoadBalancerSpec:
    return replace(a_load_balancer().spec, addresses=addresses, group=group, pool="default")


def test_the_first_and_the_last_of_a_pool_on_a_group_are_told_and_those_between_are_not() -> None:
    carried = Carried()
    one, other = carrying("192.0.2.1"), carrying("192.0.2.2")
    assert carried.put(FIRST, [one]) == Change((one,), (HERE,))
    assert carried.put(SECOND, [other]) == Change((other,), ())
    assert carried.put(FIRST, []) == Change((one,), ())
    assert carried.put(SECOND, []) == Change((other,), (HERE,))
    assert carried.put(SECOND, []) == Change()


def test_only_what_differs_is_told() -> None:
    carried = Carried()
    one, there = carrying("192.0.2.1"), carrying("192.0.2.1", group="spare")
    carried.put(FIRST, [one])
    assert carried.put(FIRST, [one, there]) == Change((there,), (THERE,))
    assert carried.put(FIRST, [there]) == Change((one,), (HERE,))
    more = carrying("192.0.2.1", "192.0.2.2", group="spare")
    assert carried.put(FIRST, [more]) == Change((there, more), ())
    assert carried.put(FIRST, [more]) == Change()


def test_tenants_are_counted_apart() -> None:
    carried = Carried()
    carried.put(FIRST, [carrying("192.0.2.1")])
    change = carried.put(a_key("u1", "globex"), [carrying("192.0.2.2")])
    assert change.pools == (CarriedPool("globex", "default", "default"),)


def test_what_holds_no_address_is_not_carried() -> None:
    carried = Carried()
    assert carried.put(FIRST, [carrying()]) == Change()
    assert carried.get(FIRST) == ()


def test_who_names_an_address_is_known_for_as_long_as_it_does() -> None:
    carried = Carried()
    carried.put(FIRST, [carrying("192.0.2.1", "192.0.2.2")])
    carried.put(SECOND, [carrying("192.0.2.2")])
    assert (carried.at("192.0.2.1"), carried.at("192.0.2.2")) == ((FIRST,), (FIRST, SECOND))
    carried.put(FIRST, [carrying("192.0.2.1")])
    assert carried.at("192.0.2.2") == (SECOND,)
    carried.put(FIRST, [])
    assert carried.at("192.0.2.1") == ()


def test_an_object_that_speaks_of_another_cluster_now_is_the_same_object() -> None:
    carried = Carried()
    carried.put(FIRST, [carrying("192.0.2.1")])
    moved = FIRST._replace(cluster="c9")
    assert carried.put(moved, [carrying("192.0.2.1", group="spare")]).pools == (HERE, THERE)
    assert carried.at("192.0.2.1") == (moved,)
