"""The manager against a real API server: a pool that names another group takes its addresses there."""

import pytest

from fleetlb.contracts.objects import AddressClaimSpec, ClaimPhase
from fleetlb.domain.conditions import MOVED
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Node, Stage, Watcher, a_wish, edit_spec

pytestmark = pytest.mark.integration

VIP = "192.0.2.0"
KEY = f"{VIP}:443/tcp"


async def begin_with_two_groups(stage: Stage) -> tuple[Node, Node, Watcher]:
    """A Service that is served by the first, and another group."""
    first, watcher = await begin(stage)
    await stage.create_group("spare", nodes=("node-9",))
    other = stage.add_node("node-9", "spare")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: KEY in first.serving)
    await at_rest(stage)
    return first, other, watcher


async def move(stage: Stage, group: str) -> None:
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", group=group)


async def the_claim(stage: Stage) -> AddressClaimSpec:
    return (await stage.claims())[VIP].spec


async def until_groups(stage: Stage, *groups: str) -> None:
    async def reached() -> bool:
        return (await the_claim(stage)).groups == groups

    await stage.until(reached)


async def moved(stage: Stage) -> list[tuple[str, str]]:
    """What the pool says of its move."""
    pool = await stage.cluster.get(ADDRESS_POOLS, "default")
    return [(each.reason, each.message) for each in pool.status.conditions if each.type == MOVED]


async def test_an_address_moves_by_four_writes_and_somebody_always_carries_it(stage: Stage) -> None:
    first, other, _ = await begin_with_two_groups(stage)
    await move(stage, "spare")

    async def is_there() -> bool:
        assert KEY in first.serving or KEY in other.serving
        return (await the_claim(stage)).groups == ("spare",)

    await stage.until(is_there)
    assert (KEY in first.serving, KEY in other.serving) == (False, True)
    item = (await stage.load_balancers())["u1"]
    assert (item.spec.group, item.spec.addresses) == ("spare", (VIP,))
    await stage.settled(1.3)
    assert stage.writes["patch addressclaims"] == 3
    assert stage.writes["patch loadbalancers"] == 1
    assert await moved(stage) == []
    await stage.restart()
    await at_rest(stage)
    assert (await the_claim(stage)).groups == ("spare",)


async def test_a_silent_group_is_waited_for_through_a_restart_and_the_pool_says_so(stage: Stage) -> None:
    first, other, _ = await begin_with_two_groups(stage)
    other.answering = False
    await move(stage, "spare")
    await until_groups(stage, "default", "spare")
    await stage.settled(1.3)
    ((reason, text),) = await moved(stage)
    assert reason == "Moving"
    assert text.startswith("addresses in use that group spare does not carry alone: 1 (192.0.2.0 of acme shop/web)")
    await stage.restart()
    await stage.settled(1.3)
    assert KEY in first.serving
    assert (await stage.load_balancers())["u1"].spec.group == "default"
    first.answering = False
    await other.answer_all()
    await until_groups(stage, "spare", "default")
    await stage.settled(1.3)
    assert (await the_claim(stage)).moving_from == "default"
    await first.answer_all()
    await until_groups(stage, "spare")


async def test_a_move_that_is_called_off_leaves_nothing_in_the_other_group(stage: Stage) -> None:
    first, other, _ = await begin_with_two_groups(stage)
    other.answering = False
    await move(stage, "spare")
    await stage.until(lambda: KEY in other.serving)
    await move(stage, "default")
    await until_groups(stage, "default", "spare")
    assert KEY in first.serving
    await stage.settled()
    await other.answer_all()
    await until_groups(stage, "default")
    assert (KEY in first.serving, KEY in other.serving) == (True, False)
    assert not (await the_claim(stage)).moving_back


async def test_an_address_that_is_released_on_its_way_waits_for_the_nodes_of_both_groups(stage: Stage) -> None:
    first, other, watcher = await begin_with_two_groups(stage)
    other.answering = False
    await move(stage, "spare")
    await stage.until(lambda: KEY in other.serving)
    await watcher.say("u1", None)
    await stage.until(lambda: KEY not in first.serving)
    await stage.settled()
    assert (await the_claim(stage)).phase is ClaimPhase.RELEASING
    assert not stage.released
    await other.answer_all()
    await stage.until(lambda: stage.released)
    assert await stage.claims() == {}
