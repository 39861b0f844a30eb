"""The manager against a real API server: what it says of plans is what it does, and saying it writes nothing."""

import asyncio

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressPoolSpec
from fleetlb.contracts.plans import (
    PoolPlanAnswered,
    PoolPlanRequested,
    ServicePlan,
    ServicesPlanAnswered,
    ServicesPlanRequested,
)
from fleetlb.domain.services import TenantService
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from fleetlb.testkit.fake_bus import FakeBus
from tests.integration.manager_beginning import begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec

pytestmark = pytest.mark.integration


async def plan(stage: Stage, *services: TenantService) -> tuple[ServicePlan, ...]:
    question = ServicesPlanRequested(tenant="acme", cluster="cluster-1", services=services)
    answer = await FakeBus(stage.server).request(subjects.PLAN_SERVICES, codec.encode(question))
    return codec.decode(ServicesPlanAnswered, answer).plans


def addresses(found: ServicePlan) -> tuple[str, ...]:
    return tuple(each.address for each in found.addresses)


def written(stage: Stage) -> dict[str, int]:
    """Writes of all kinds but statuses, which come late."""
    return {what: number for what, number in stage.writes.items() if not what.endswith("/status")}


async def test_what_is_planned_is_what_the_manager_does(stage: Stage) -> None:
    _, watcher = await begin(stage, pool="192.0.2.8-192.0.2.9")
    await stage.manager.answer()
    for uid in ("u1", "u2", "u3"):
        (said,) = await plan(stage, a_wish(uid))
        await watcher.say(uid, a_wish(uid))
        await stage.settled(0.05)
        assert addresses(said) == (await stage.addresses())[uid]
        assert (said.refusal.reason if said.refusal else None) == (await stage.refusals()).get(uid)


async def test_plans_write_nothing_and_hold_nothing_back(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await stage.manager.answer()
    await watcher.say("u1", a_wish("u1"))
    await stage.settled()
    before, first = written(stage), await plan(stage, a_wish("a"), a_wish("b"))
    answers = await asyncio.gather(*(plan(stage, a_wish("a"), a_wish("b")) for _ in range(200)))
    assert set(answers) == {first}
    await stage.settled()
    assert written(stage) == before
    await watcher.say("a", a_wish("a"))
    await stage.until_addresses({"u1": (await stage.addresses())["u1"], "a": addresses(first[0])})


async def test_a_pool_that_would_grow_names_who_is_served_then(stage: Stage) -> None:
    _, watcher = await begin(stage, pool="192.0.2.9/32")
    await stage.manager.answer()
    for uid in ("u1", "u2", "u3"):
        await watcher.say(uid, a_wish(uid))
        await stage.settled(0.05)
    ranges = ("192.0.2.9/32", "192.0.2.20/32")
    question = PoolPlanRequested(name="default", spec=AddressPoolSpec(addresses=ranges, quarantine_seconds=0))
    answer = await FakeBus(stage.server).request(subjects.PLAN_POOL, codec.encode(question))
    found = codec.decode(PoolPlanAnswered, answer)
    assert [(each.name, each.addresses) for each in found.served] == [("u2", ("192.0.2.20",))]
    assert (found.waiting, found.ipv4.total) == (1, 2)
    assert (await stage.addresses())["u2"] == ()
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", addresses=list(ranges))
    await stage.until_addresses({"u1": ("192.0.2.9",), "u2": ("192.0.2.20",), "u3": ()})
