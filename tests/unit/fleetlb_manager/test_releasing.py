import pytest

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.domain.errors import Transient
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_key, a_wish, a_world


async def released(quarantine: int = 60) -> World:
    """A Service that was served and is released, its node having let go."""
    world = a_world(quarantine=quarantine)
    world.say(a_key(), a_wish(ports=(80, 443)))
    await world.work()
    world.say(a_key(), None)
    return world


async def test_the_steps_in_order() -> None:
    world = await released()
    world.kept.effects.clear()
    await world.work()
    steps = [effect for effect in world.kept.effects if not effect.startswith("purge fleetlb.v1.realized")]
    assert steps[0] == "patch claim 192.0.2.0 Releasing"
    assert sorted(steps[1:3]) == [
        "publish fleetlb.v1.desired.default.192-0-2-0_443_tcp",
        "publish fleetlb.v1.desired.default.192-0-2-0_80_tcp",
    ]
    assert all(step.startswith("purge") for step in steps[3:5])
    assert steps[5:] == [
        "patch claim 192.0.2.0 Quarantined",
        "delete load balancer u1",
        "notify fleetlb.v1.released.AACME.cluster-1.service.u1",
    ]
    assert world.phases() == {"192.0.2.0": "Quarantined"}


async def test_the_quarantine_ends_after_its_time_and_not_before() -> None:
    world = await released(quarantine=60)
    await world.work()
    world.clock.now += 59
    left = await world.releasing.reconcile_claim("192.0.2.0")
    assert left == pytest.approx(1.0, abs=0.001)
    world.clock.now += 1.0
    assert await world.releasing.reconcile_claim("192.0.2.0") is None
    assert world.phases() == {}
    assert world.memory.book.holder("192.0.2.0") is None


async def test_a_clock_that_jumps_back_prolongs_nothing_for_ever() -> None:
    world = await released(quarantine=60)
    await world.work()
    world.clock.now -= 10_000
    assert await world.releasing.reconcile_claim("192.0.2.0") == 60


async def test_without_a_quarantine_the_claim_goes_at_once() -> None:
    world = await released(quarantine=0)
    await world.work()
    assert world.phases() == {}
    assert not world.memory.let_go


async def test_an_unreadable_time_or_a_lost_pool_ends_the_quarantine() -> None:
    for spoil in ("time", "pool"):
        world = a_world(quarantine=60)
        claim = a_claim(phase=ClaimPhase.QUARANTINED, released_at="" if spoil == "time" else "2099-01-01T00:00:00Z")
        world.kept.claims["192.0.2.1"] = claim
        world.folding.claim_set(claim)
        if spoil == "pool":
            world.folding.pool_gone(world.kept.pools["default"])
        await world.releasing.reconcile_claim("192.0.2.1")
        assert world.phases() == {}


async def test_only_the_holder_of_the_lease_moves_claims() -> None:
    world = await released()
    world.authority.acting = False
    world.kept.effects.clear()
    await world.work()
    assert world.kept.effects == []


async def test_a_claim_that_changed_meanwhile_is_read_again() -> None:
    world = await released()
    (claim,) = world.kept.claims.values()
    world.kept.claims["192.0.2.0"] = world.kept.stamp(claim)
    with pytest.raises(Transient):
        await world.releasing.release_service(a_key())
    await world.work()
    assert world.phases() == {"192.0.2.0": "Quarantined"}


async def test_a_claim_deleted_by_hand_ends_the_release() -> None:
    world = await released()
    world.kept.claims.clear()
    await world.work()
    assert not world.kept.load_balancers
    assert len(world.kept.notified) == 1


async def test_every_question_is_answered_once() -> None:
    world = await released()
    await world.work()
    assert len(world.kept.notified) == 1
    await world.releasing.release_service(a_key())
    assert len(world.kept.notified) == 1
    world.say(a_key(), None)
    await world.work()
    assert len(world.kept.notified) == 2
    world.say(a_key("never-seen"), None)
    await world.work()
    assert len(world.kept.notified) == 3


async def test_who_wants_it_again_is_not_told_that_it_is_released() -> None:
    world = await released()
    world.kept.answering = False
    await world.work()
    world.say(a_key(), a_wish())
    await world.work()
    world.kept.answering = True
    await world.work()
    assert world.kept.notified == []
    assert world.addresses() == {"u1": ("192.0.2.1",)}
