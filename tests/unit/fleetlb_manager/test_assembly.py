"""The workers together, interrupted after every single effect: what is left always becomes the same in the end."""

import pytest

from fleetlb.contracts import streams
from tests.unit.fleetlb_manager.manager_world import Crash, World, a_key, a_wish, a_world

ENDINGS = 60
"""More than any of these histories has effects."""


async def play(world: World, crash_after: int | None) -> bool:
    """Work until rest, over at most one crash. True: the crash happened."""
    world.kept.effects.clear()
    world.kept.crash_after = crash_after
    try:
        await world.work()
    except Crash:
        world.authority.generation += 1
        world.fresh.clear()
        world.rebuild()
        await world.work()
        return True
    finally:
        world.kept.crash_after = None
    return False


async def served() -> World:
    """Three Services of two tenants at rest, one asked for its address, one waits for it."""
    world = a_world("acme", "globex", pool=("192.0.2.8-192.0.2.11",))
    world.say(a_key("u1"), a_wish(ports=(80, 443)))
    world.say(a_key("g1", "globex"), a_wish(addresses=("192.0.2.10",)))
    world.say(a_key("u2"), a_wish("second", addresses=("192.0.2.10",)))
    await world.work()
    return world


def is_sound(world: World) -> None:
    """One owner for each address; what is served is what is claimed and what the streams say."""
    claimed = {}
    for claim in world.kept.claims.values():
        for port in claim.spec.ports:
            number, _, protocol = port.partition("/")
            claimed[f"{claim.spec.address}:{number}/{protocol.lower()}"] = claim.spec.owner.service_uid
    assert {key: wish.owner.service_uid for key, wish in world.kept.serving.items()} == claimed
    held = [address for addresses in world.addresses().values() for address in addresses]
    assert sorted(held) == sorted(world.phases())
    desired = [subject for subject in world.kept.streams if ".desired." in subject]
    assert len(desired) == len(claimed)


async def test_serving_interrupted_after_every_effect_gives_the_same_addresses() -> None:
    undisturbed = await served()
    crashes = 0
    for point in range(1, ENDINGS):
        world = a_world("acme", "globex", pool=("192.0.2.8-192.0.2.11",))
        world.say(a_key("u1"), a_wish(ports=(80, 443)))
        world.say(a_key("g1", "globex"), a_wish(addresses=("192.0.2.10",)))
        world.say(a_key("u2"), a_wish("second", addresses=("192.0.2.10",)))
        crashes += await play(world, point)
        is_sound(world)
        assert world.kept.load_balancers.keys() == undisturbed.kept.load_balancers.keys()
        for key, item in world.kept.load_balancers.items():
            assert item.spec.says_the_same(undisturbed.kept.load_balancers[key].spec)
    assert crashes >= 8


async def test_a_release_interrupted_after_every_effect_leaves_nothing_and_serves_who_waited() -> None:
    crashes = 0
    for point in range(1, ENDINGS):
        world = await served()
        world.say(a_key("g1", "globex"), None)
        crashes += await play(world, point)
        is_sound(world)
        assert world.addresses() == {"u1": ("192.0.2.8",), "u2": ("192.0.2.10",)}
        assert any(subject.endswith(".AGLOBEX.cluster-1.service.g1") for subject in world.kept.notified)
    assert crashes >= 8


async def test_an_edit_interrupted_after_every_effect_ends_with_the_new_ports_on_the_old_address() -> None:
    crashes = 0
    for point in range(1, ENDINGS):
        world = await served()
        world.say(a_key("u1"), a_wish(ports=(443, 8443)))
        crashes += await play(world, point)
        is_sound(world)
        assert world.addresses()["u1"] == ("192.0.2.8",)
        mine = sorted(key for key, wish in world.kept.serving.items() if wish.owner.tenant == "acme")
        assert mine == ["192.0.2.8:443/tcp", "192.0.2.8:8443/tcp"]
    assert crashes >= 5


async def test_a_change_of_address_interrupted_after_every_effect_frees_the_old_one() -> None:
    crashes = 0
    for point in range(1, ENDINGS):
        world = await served()
        world.say(a_key("u1"), a_wish(ports=(80, 443), addresses=("192.0.2.11",)))
        crashes += await play(world, point)
        is_sound(world)
        assert world.addresses()["u1"] == ("192.0.2.11",)
        assert "192.0.2.8" not in world.phases()
    assert crashes >= 8


async def test_the_removal_of_a_pool_interrupted_after_every_effect_ends_with_its_last_address() -> None:
    crashes = 0
    for point in range(1, ENDINGS):
        world = await served()
        world.delete_pool()
        world.say(a_key("u1"), None)
        await world.work()
        assert world.kept.pools
        world.say(a_key("g1", "globex"), None)
        crashes += await play(world, point)
        is_sound(world)
        assert world.addresses() == {"u2": ()}
        assert not world.kept.pools
    assert crashes >= 5


async def test_a_release_never_frees_an_address_that_a_node_still_serves() -> None:
    world = await served()
    world.kept.answering = False
    world.say(a_key("g1", "globex"), None)
    await world.work()
    assert world.phases()["192.0.2.10"] == "Releasing"
    assert not world.kept.notified
    world.authority.generation += 1
    world.rebuild()
    await world.work()
    assert world.phases()["192.0.2.10"] == "Releasing"
    world.kept.answering = True
    await world.work()
    assert world.addresses()["u2"] == ("192.0.2.10",)


async def test_with_the_pool_full_a_restart_at_rest_changes_nothing() -> None:
    world = a_world(pool=("192.0.2.8-192.0.2.9",))
    for uid in ("u1", "u2", "u3"):
        world.say(a_key(uid), a_wish(uid))
        await world.work()
    before = world.addresses()
    assert sorted(before.values()) == [(), ("192.0.2.8",), ("192.0.2.9",)]
    for _ in range(3):
        world.kept.effects.clear()
        world.authority.generation += 1
        world.rebuild()
        await world.work()
        assert world.addresses() == before
        assert world.kept.effects == []


async def test_everything_lost_but_the_objects_comes_back_to_the_same_addresses() -> None:
    world = await served()
    before = world.addresses()
    world.kept.streams.clear()
    world.kept.node_highest.clear()
    world.authority.generation += 1
    world.rebuild()
    await world.work()
    assert world.addresses() == before
    assert world.kept.serving
    for key, wish in {a_key("u1"): a_wish(ports=(80, 443)), a_key("u2"): a_wish("second")}.items():
        world.say(key, wish)
    await world.work()
    assert world.addresses()["u1"] == before["u1"]
    assert any(streams.desired_stream("default").subjects[0][:-1] in subject for subject in world.kept.streams)


@pytest.mark.parametrize("quarantine", [0, 60])
async def test_two_tenants_with_one_uid_are_two_services(quarantine: int) -> None:
    world = a_world("acme", "globex", quarantine=quarantine)
    for tenant in ("acme", "globex"):
        world.say(a_key("u1", tenant), a_wish())
    await world.work()
    assert len(world.kept.claims) == 2
    world.say(a_key("u1", "acme"), None)
    await world.work()
    assert [wish.owner.tenant for wish in world.kept.serving.values()] == ["globex"]
    assert list(world.kept.load_balancers) == [("tenant-globex", "u1")]
