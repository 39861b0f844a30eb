import pytest

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.domain.errors import Transient
from fleetlb_manager.choices import Choice, Holding
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_key, a_wish, a_world

CHOICE = Choice("default", (Holding("192.0.2.1", "default", "default"),))


def foreign(world: World, **more: object) -> None:
    """Somebody else's claim that this memory does not know of."""
    world.kept.claims["192.0.2.1"] = a_claim(owner=a_key("other"), version=50, **more)  # type: ignore[arg-type]


async def test_a_free_address_becomes_ours_with_all_that_the_release_will_need() -> None:
    world = a_world()
    world.authority.generation = 9
    assert await world.claiming.claim_all(a_key(), a_wish(ports=(80, 443)), CHOICE)
    claim = world.kept.claims["192.0.2.1"]
    assert claim.spec.ports == ("80/TCP", "443/TCP")
    assert (claim.spec.generation, claim.spec.group, claim.spec.pool) == (9, "default", "default")
    assert (claim.spec.owner.namespace, claim.spec.owner.name) == ("shop", "web")
    assert world.memory.claims.at("192.0.2.1") == claim
    assert await world.claiming.claim_all(a_key(), a_wish(ports=(80, 443)), CHOICE)
    assert world.kept.effects == ["create claim 192.0.2.1"]


async def test_a_lost_race_is_folded() -> None:
    world = a_world()
    foreign(world)
    assert not await world.claiming.claim_all(a_key(), a_wish(), CHOICE)
    assert world.memory.book.holder("192.0.2.1") == str(a_key("other"))
    assert world.kept.effects == []


async def test_our_own_claim_of_unknown_outcome_is_ours() -> None:
    world = a_world()
    world.kept.claims["192.0.2.1"] = a_claim(version=50)
    assert await world.claiming.claim_all(a_key(), a_wish(), CHOICE)


async def test_a_claim_on_its_way_out_is_not_ours() -> None:
    world = a_world()
    world.kept.claims["192.0.2.1"] = a_claim(version=50, phase=ClaimPhase.RELEASING)
    assert not await world.claiming.claim_all(a_key(), a_wish(), CHOICE)


async def test_other_ports_are_written() -> None:
    world = a_world()
    await world.claiming.claim_all(a_key(), a_wish(), CHOICE)
    assert await world.claiming.claim_all(a_key(), a_wish(ports=(8443,)), CHOICE)
    assert world.kept.claims["192.0.2.1"].spec.ports == ("8443/TCP",)


@pytest.mark.parametrize("gone", [True, False])
async def test_a_claim_that_changed_meanwhile_is_tried_again(gone: bool) -> None:
    world = a_world()
    await world.claiming.claim_all(a_key(), a_wish(), CHOICE)
    if gone:
        world.kept.claims.clear()
    else:
        world.kept.claims["192.0.2.1"] = world.kept.stamp(world.kept.claims["192.0.2.1"])
    with pytest.raises(Transient):
        await world.claiming.claim_all(a_key(), a_wish(ports=(8443,)), CHOICE)
    assert await world.claiming.claim_all(a_key(), a_wish(ports=(8443,)), CHOICE)
    assert world.kept.claims["192.0.2.1"].spec.ports == ("8443/TCP",)
