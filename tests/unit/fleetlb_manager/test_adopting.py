"""Lost objects of the hub are rebuilt to the addresses that Services show (IPA-11)."""

import pytest

from fleetlb.domain.errors import Transient
from fleetlb_manager.adopting import ASK_AGAIN_SECONDS, WINDOW_SECONDS, Adoption
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_wish, a_world

OLD, OTHER, NEW = a_key("old"), a_key("other"), a_key("new")


@pytest.fixture
def adoption() -> Adoption:
    made = Adoption()
    made.begin([OLD, OTHER], 100.0)
    return made


def test_newcomers_wait_until_everybody_has_chosen(adoption: Adoption) -> None:
    assert adoption.goes_before(NEW, 100.0)
    assert not adoption.goes_before(OLD, 100.0)
    adoption.done(OLD)
    assert adoption.goes_before(NEW, 100.0)
    adoption.done(OTHER)
    assert not adoption.goes_before(NEW, 100.0)


def test_they_wait_for_who_is_heard_of_soon_after_the_beginning(adoption: Adoption) -> None:
    adoption.begin([], 100.0)
    adoption.note(OLD, 100.0 + WINDOW_SECONDS - 1)
    assert adoption.goes_before(NEW, 100.0 + WINDOW_SECONDS - 1)


def test_they_do_not_wait_for_ever(adoption: Adoption) -> None:
    assert not adoption.goes_before(NEW, 100.0 + WINDOW_SECONDS)
    adoption.begin([], 200.0)
    adoption.note(OLD, 200.0 + WINDOW_SECONDS)
    assert not adoption.goes_before(NEW, 200.0 + WINDOW_SECONDS)


def lost(world: World, *uids: str) -> None:
    """The hub forgets all that it made for these Services, and a new manager begins."""
    for uid in uids:
        item = world.kept.load_balancers.pop(("tenant-acme", uid))
        for address in item.spec.addresses:
            del world.kept.claims[address]
    world.rebuild()


async def served(*uids: str, pool: tuple[str, ...] = ("192.0.2.0/30",)) -> World:
    """A world where each of these shows its address."""
    world = a_world(pool=pool)
    for uid in uids:
        world.say(a_key(uid), a_wish(uid))
        await world.work()
    for uid, addresses in world.addresses().items():
        world.say(a_key(uid), a_wish(uid), shown=addresses)
    await world.work()
    return world


async def test_lost_objects_are_rebuilt_to_the_same_addresses() -> None:
    world = await served("u1", "u2", "u3")
    before = world.addresses()
    assert len(set(before.values())) == 3
    lost(world, "u3", "u1", "u2")
    await world.work()
    assert world.addresses() == before


async def test_a_newcomer_does_not_get_what_somebody_shows() -> None:
    world = await served("u1", "u2")
    before = world.addresses()
    lost(world, "u1", "u2")
    world.say(a_key("u0"), a_wish("u0"))
    with pytest.raises(Transient, match="choose first") as waiting:
        await world.serving.reconcile(a_key("u0"))
    assert waiting.value.retry_after == ASK_AGAIN_SECONDS
    await world.work()
    after = world.addresses()
    assert {uid: after[uid] for uid in before} == before
    assert after["u0"] not in before.values()


@pytest.mark.parametrize("shown", ["198.51.100.9", "192.0.2.1"], ids=["in no pool", "of somebody else"])
async def test_what_is_shown_is_no_right(shown: str) -> None:
    world = await served("u1", "u2")
    assert world.addresses()["u2"] == ("192.0.2.1",)
    world.say(a_key("u3"), a_wish("u3"), shown=(shown,))
    await world.work()
    assert world.addresses()["u3"] == ("192.0.2.2",)


async def test_nonsense_that_is_shown_is_parked() -> None:
    world = await served("u1")
    world.say(a_key("u1"), a_wish("u1"), shown=("nowhere",))
    await world.work()
    observed = world.memory.observations.service(a_key("u1"))
    assert observed is not None
    assert observed.shown == ("192.0.2.0",)
