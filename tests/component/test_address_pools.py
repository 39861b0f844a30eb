"""The manager's workers together, around address pools that an operator changes while they are in use."""

from typing import Any

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb_manager.counting import pool_conditions, pool_counts
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_pool, a_wish, a_world

POOL = ("192.0.2.0/29",)


async def served(world: World, *uids: str, **wish: Any) -> None:
    """Services, at rest."""
    for uid in uids:
        world.say(a_key(uid), a_wish(uid, **wish))
    await world.work()


def counts(world: World) -> tuple[int, int, int, int]:
    """Total, used, quarantined and free, as the pool's status says them."""
    said = pool_counts(world.memory.book, "default", Family.IPV4)
    return said.total, said.used, said.quarantined, said.free


def conditions(world: World) -> dict[str, str]:
    """What the pool says of itself."""
    pool, use = world.memory.pools["default"], world.memory.claims.of_pools.of("default")
    return {each.type: each.message for each in pool_conditions(pool, world.memory.book, use)}


@pytest.mark.parametrize(
    ("ranges", "excluded"),
    [(("192.0.2.0/31",), ()), (POOL, ("192.0.2.2-192.0.2.7",)), (POOL, ("192.0.2.2/31", "192.0.2.4/30"))],
    ids=["taken out", "a range excluded", "networks excluded"],
)
async def test_a_pool_that_shrinks_under_load_loses_nobody(ranges: tuple[str, ...], excluded: tuple[str, ...]) -> None:
    world = a_world(pool=POOL, quarantine=60)
    await served(world, "u0", "u1", "u2", "u3", "u4")
    addresses = world.addresses()
    world.repool(*ranges, exclude=excluded)
    await world.work()
    world.rebuild()
    await world.work()
    assert world.addresses() == addresses
    assert {key: wish.server.prefix for key, wish in world.kept.serving.items() if wish.server is not None} == {
        "192.0.2.0:443/tcp": "192.0.2.0/31",
        "192.0.2.1:443/tcp": "192.0.2.0/31",
        **{f"192.0.2.{last}:443/tcp": "" for last in (2, 3, 4)},
    }
    assert counts(world) == (5, 5, 0, 0)
    named = ", ".join(f"192.0.2.{last} of acme shop/u{last}" for last in (2, 3, 4))
    assert f": 3 ({named}). They stay" in conditions(world)["AddressesOutside"]


async def test_what_is_given_back_outside_is_not_given_again_and_the_last_one_ends_the_word_of_it() -> None:
    world = a_world(pool=POOL, quarantine=60)
    await served(world, "u0", "u1", "u2")
    world.repool(*POOL, exclude=("192.0.2.1-192.0.2.7",))
    world.say(a_key("u2"), None)
    await served(world, "late")
    assert world.addresses() == {"u0": ("192.0.2.0",), "u1": ("192.0.2.1",), "late": ()}
    assert counts(world) == (3, 2, 1, 0)
    world.clock.now += 61
    world.marks.claim("192.0.2.2")
    await world.work()
    assert counts(world) == (2, 2, 0, 0)
    assert world.addresses()["late"] == ()
    world.say(a_key("u1"), None)
    await world.work()
    assert list(conditions(world)) == ["Ready"]
    world.say(a_key("u0"), None)
    await world.work()
    world.clock.now += 61
    for address in list(world.phases()):
        world.marks.claim(address)
    await world.work()
    assert world.addresses() == {"late": ("192.0.2.0",)}
    assert counts(world) == (1, 1, 0, 0)


async def test_an_edit_of_a_service_outside_keeps_its_address_and_to_ask_for_another_moves_it() -> None:
    world = a_world(pool=POOL)
    await served(world, "u0", "u1")
    world.repool(*POOL, exclude=("192.0.2.1",))
    world.say(a_key("u1"), a_wish("u1", ports=(443, 80)))
    await world.work()
    assert world.addresses()["u1"] == ("192.0.2.1",)
    assert {"192.0.2.1:443/tcp", "192.0.2.1:80/tcp"} <= world.kept.serving.keys()
    world.say(a_key("u1"), a_wish("u1", addresses=("192.0.2.5",)))
    await world.work()
    assert world.addresses()["u1"] == ("192.0.2.5",)
    assert counts(world) == (7, 2, 0, 5)
    assert list(conditions(world)) == ["Ready"]


async def test_an_address_that_is_excluded_cannot_be_asked_for_until_it_is_put_back() -> None:
    world = a_world(pool=POOL)
    world.repool(*POOL, exclude=("192.0.2.4/31",))
    await served(world, "u1", addresses=("192.0.2.5",))
    refusal = world.kept.load_balancers["tenant-acme", "u1"].spec.refusal
    assert refusal is not None
    assert refusal.reason == "AddressNotAllowed"
    world.repool(*POOL, exclude=())
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.5",)}


@pytest.mark.parametrize(
    "selector",
    [
        PoolSelector(tenants=("globex",)),
        PoolSelector(namespaces=("bank",)),
        PoolSelector(service_labels={"fleetlb.dev/tier": "gold"}),
    ],
    ids=["tenant", "namespace", "label"],
)
async def test_a_selector_that_changes_serves_who_waits_and_takes_nothing_away(selector: PoolSelector) -> None:
    world = a_world(pool=POOL)
    await served(world, "holder")
    world.repool(*POOL, selector=selector)
    await served(world, "late")
    await served(world, "named", pool="default")
    assert world.addresses() == {"holder": ("192.0.2.0",), "late": (), "named": ()}
    world.rebuild()
    world.say(a_key("holder"), a_wish("holder", ports=(443, 80)))
    await world.work()
    assert world.addresses() == {"holder": ("192.0.2.0",), "late": (), "named": ()}
    assert len(world.kept.serving) == 2
    world.repool(*POOL, selector=PoolSelector())
    await world.work()
    assert sorted(world.addresses().values()) == [("192.0.2.0",), ("192.0.2.1",), ("192.0.2.2",)]


async def test_a_label_opens_a_pool_and_closes_it_for_new_addresses_alone() -> None:
    world, gold = a_world(pool=POOL), {"fleetlb.dev/tier": "gold"}
    world.repool(*POOL, selector=PoolSelector(service_labels=gold))
    await served(world, "web")
    assert world.addresses() == {"web": ()}
    await served(world, "web", labels=gold)
    assert world.addresses() == {"web": ("192.0.2.0",)}
    assert world.kept.load_balancers["tenant-acme", "web"].spec.service.labels == gold
    await served(world, "web")
    assert world.addresses() == {"web": ("192.0.2.0",)}
    await served(world, "web", pool="default", addresses=("192.0.2.3",))
    refusal = world.kept.load_balancers["tenant-acme", "web"].spec.refusal
    assert refusal is not None
    assert refusal.reason == "AddressNotAllowed"
    assert world.addresses() == {"web": ("192.0.2.0",)}


async def test_a_priority_that_changes_moves_nobody() -> None:
    world = a_world(pool=POOL)
    world.kept.pools["other"] = world.kept.stamp(a_pool("198.51.100.0/29", name="other"), new=True)
    world.rebuild()
    await served(world, "u1")
    world.repool(*POOL, priority=-1)
    await served(world, "u2")
    world.rebuild()
    for key in list(world.memory.load_balancers.services()):
        world.marks.service(key)
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.0",), "u2": ("198.51.100.0",)}
