from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from fleetlb.domain.addresses import Family
from fleetlb_manager.fullness import Fullness
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_key, a_pool, a_wish, a_world


def told(fullness: Fullness) -> dict[str, float]:
    """Every series, by its labels' values."""
    families: list[Metric] = [family for family in fullness.collect() if family.name != "fleetlb_addresses_moving"]
    return {" ".join(sample.labels.values()): sample.value for family in families for sample in family.samples}


def telling(world: World) -> Fullness:
    fullness = Fullness()
    fullness.tell_of(world.memory, world.authority)
    return fullness


async def test_addresses_and_claims_are_counted_as_they_come_and_go() -> None:
    world = a_world(pool=("192.0.2.0/29",), quarantine=60)
    fullness = telling(world)
    assert told(fullness) == {
        "default IPv4 free": 8,
        "default IPv4 used": 0,
        "default IPv4 quarantined": 0,
        "Bound": 0,
        "Releasing": 0,
        "Quarantined": 0,
    }
    for uid in ("u1", "u2", "u3"):
        world.say(a_key(uid), a_wish(uid))
    await world.work()
    world.say(a_key("u1"), None)
    await world.work()
    assert told(fullness) == {
        "default IPv4 free": 5,
        "default IPv4 used": 2,
        "default IPv4 quarantined": 1,
        "Bound": 2,
        "Releasing": 0,
        "Quarantined": 1,
    }


async def test_each_pool_and_family_is_told() -> None:
    world = a_world(pool=("192.0.2.0/29", "2001:db8::/126"))
    world.folding.pool_set(a_pool("198.51.100.0/30", name="gold"))
    world.say(a_key(), a_wish(ip_families=(Family.IPV6,)))
    await world.work()
    series = told(telling(world))
    assert series["default IPv6 free"] == 3
    assert series["default IPv6 used"] == 1
    assert series["gold IPv4 free"] == 4
    assert "gold IPv6 free" not in series
    world.folding.pool_gone(a_pool("198.51.100.0/30", name="gold"))
    assert "gold IPv4 free" not in told(telling(world))


def test_addresses_that_move_are_counted_until_they_are_there() -> None:
    world, claim = a_world(), a_claim("192.0.2.1")
    places = (
        {"moving_to": "spare"},
        {"moving_to": "", "group": "spare", "moving_from": "default"},
        {"moving_from": ""},
    )
    moving = [_moving(world)]
    for version, place in enumerate(places, start=2):
        metadata = replace(claim.metadata, resource_version=str(version))
        claim = replace(claim, metadata=metadata, spec=replace(claim.spec, **place))
        world.folding.claim_set(claim)
        moving.append(_moving(world))
    assert moving == [0, 1, 1, 0]


def _moving(world: World) -> float:
    [family] = [family for family in telling(world).collect() if family.name == "fleetlb_addresses_moving"]
    [sample] = family.samples
    return sample.value


def test_who_does_not_act_tells_nothing() -> None:
    world = a_world()
    fullness = telling(world)
    world.authority.acting = False
    assert told(fullness) == {}
    assert told(Fullness()) == {}


def test_a_process_without_a_manager_can_be_scraped() -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(Fullness())
    assert {family.name for family in registry.collect()} == {
        "fleetlb_pool_addresses",
        "fleetlb_address_claims",
        "fleetlb_addresses_moving",
    }
