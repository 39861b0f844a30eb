import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import POOL_FINALIZER
from fleetlb.domain.errors import Transient
from fleetlb_manager.choices import Choice
from fleetlb_manager.draining import PROPOSAL_SECONDS, Step, decide_step
from fleetlb_manager.granting import Granting
from fleetlb_manager.pool_holdings import PoolUse
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_pool, a_wish, a_world

DELETED = "2026-11-25T13:00:00Z"
FREE = PoolUse()


@pytest.mark.parametrize(
    ("finalizers", "deleted", "use", "step"),
    [
        ((), None, FREE, Step.GUARD),
        (("other/one",), None, FREE, Step.GUARD),
        ((POOL_FINALIZER,), None, PoolUse(addresses=1), Step.NOTHING),
        ((POOL_FINALIZER,), DELETED, PoolUse(addresses=1), Step.NOTHING),
        ((POOL_FINALIZER,), DELETED, PoolUse(resting=1), Step.NOTHING),
        ((POOL_FINALIZER, "other/one"), DELETED, FREE, Step.LET_GO),
        (("other/one",), DELETED, FREE, Step.NOTHING),
        (("other/one",), DELETED, PoolUse(addresses=1), Step.NOTHING),
    ],
)
def test_a_pool_is_guarded_until_it_is_deleted_and_free(
    finalizers: tuple[str, ...], deleted: str | None, use: PoolUse, step: Step
) -> None:
    assert decide_step(a_pool(finalizers=finalizers, deleted=deleted), use) is step


def unguarded(*others: str) -> World:
    """A world whose pool was never seen by a manager."""
    world = a_world()
    found = world.kept.pools["default"]
    world.kept.pools["default"] = replace(found, metadata=replace(found.metadata, finalizers=others))
    world.rebuild()
    return world


async def served(world: World) -> World:
    """A Service at rest."""
    world.say(a_key(), a_wish())
    await world.work()
    world.kept.effects.clear()
    return world


async def test_no_claim_is_made_before_the_pool_is_guarded() -> None:
    world = unguarded("other/one")
    world.marks.pools.clear()
    world.say(a_key(), a_wish())
    await world.work()
    assert world.kept.effects[:2] == [
        f"finalizers of pool default: other/one {POOL_FINALIZER}",
        "create claim 192.0.2.0",
    ]


async def test_a_pool_that_is_seen_is_guarded_once() -> None:
    world = unguarded()
    await world.work()
    await world.draining.reconcile("default")
    assert world.kept.effects == [f"finalizers of pool default: {POOL_FINALIZER}"]


async def test_a_pool_in_use_is_drained_and_goes_with_its_last_claim() -> None:
    world = await served(a_world(quarantine=60))
    world.delete_pool()
    world.say(a_key("late"), a_wish("late"))
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.0",), "late": ()}
    assert list(world.kept.serving) == ["192.0.2.0:443/tcp"]
    world.say(a_key(), None)
    await world.work()
    assert world.phases() == {"192.0.2.0": "Quarantined"}
    assert "default" in world.kept.pools
    world.clock.now += 61
    world.marks.claim("192.0.2.0")
    await world.work()
    assert not world.kept.claims
    assert not world.kept.pools


async def test_one_that_was_edited_while_its_pool_drains_keeps_its_address() -> None:
    world = await served(a_world())
    world.delete_pool()
    world.say(a_key(), a_wish(ports=(443, 8443)))
    await world.work()
    assert sorted(world.kept.serving) == ["192.0.2.0:443/tcp", "192.0.2.0:8443/tcp"]


async def test_a_pool_deleted_by_force_costs_nobody_an_address() -> None:
    world = await served(a_world())
    world.kept.pools.clear()
    world.folding.pool_gone(a_pool())
    await world.work()
    assert world.phases() == {"192.0.2.0": "Bound"}
    assert list(world.kept.serving) == ["192.0.2.0:443/tcp"]


async def test_a_pool_does_not_go_under_a_choice_that_is_not_claimed_yet() -> None:
    world = a_world()
    assert isinstance(Granting(world.bench, world.chooser).decide(a_key(), a_wish(), ()), Choice)
    world.delete_pool()
    assert await world.draining.reconcile("default") == PROPOSAL_SECONDS
    world.chooser.abandon(a_key(), ())
    assert await world.draining.reconcile("default") is None
    assert not world.kept.pools


async def test_what_changed_meanwhile_is_tried_again_and_a_standby_does_nothing() -> None:
    world = unguarded()
    world.authority.acting = False
    await world.draining.reconcile("default")
    assert world.kept.effects == []
    world.authority.acting = True
    seen = world.kept.pools["default"]
    world.kept.pools["default"] = world.kept.stamp(seen)
    with pytest.raises(Transient):
        await world.draining.reconcile("default")
    world.folding.pool_set(world.kept.pools["default"])
    world.delete_pool()
    with pytest.raises(Transient):
        await world.draining.guard("default")
    await world.draining.reconcile("unknown")


async def test_letting_go_meets_a_pool_that_is_gone_or_another_one_already() -> None:
    world = a_world()
    world.delete_pool()
    kept = world.kept.pools["default"]
    world.kept.pools["default"] = world.kept.stamp(kept)
    with pytest.raises(Transient):
        await world.draining.reconcile("default")
    del world.kept.pools["default"]
    assert await world.draining.reconcile("default") is None
