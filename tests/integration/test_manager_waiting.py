"""The manager against a real API server: who waits for an address or a quota, and who is next."""

import pytest
from msgspec.structs import replace

from fleetlb.contracts.tenants import Quotas
from fleetlb.domain.services import ServiceEndpoints
from fleetlb.kube.fleet_objects import (
    ADDRESS_POOLS,
    TENANTS,
)
from fleetlb_manager.objects import ClaimObjects
from tests.integration.manager_beginning import begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec

pytestmark = pytest.mark.integration


async def test_a_full_pool_refuses_and_serves_the_oldest_first(stage: Stage) -> None:
    _, watcher = await begin(stage, pool="192.0.2.8-192.0.2.9")
    for uid in ("u1", "u2", "u3", "u4"):
        await watcher.say(uid, a_wish(uid))
        await stage.settled(0.05)
    assert await stage.refusals() == {"u3": "PoolExhausted", "u4": "PoolExhausted"}
    before = await stage.addresses()
    await watcher.say("u2", None)
    await stage.until_addresses({"u1": before["u1"], "u3": before["u2"], "u4": ()})
    assert await stage.refusals() == {"u4": "PoolExhausted"}
    await watcher.say("u1", None)
    await stage.until_addresses({"u3": before["u2"], "u4": before["u1"]})
    assert await stage.refusals() == {}


async def test_a_newcomer_does_not_overtake_who_waits(stage: Stage) -> None:
    _, watcher = await begin(stage, pool="192.0.2.9/32")
    await watcher.say("u1", a_wish("u1"))
    await stage.settled(0.05)
    await watcher.say("u2", a_wish("u2"))
    await stage.settled(0.05)
    await watcher.say("u1", None)
    await watcher.say("u3", a_wish("u3"))
    await stage.until_addresses({"u2": ("192.0.2.9",), "u3": ()})


async def test_a_growing_pool_serves_who_waits(stage: Stage) -> None:
    _, watcher = await begin(stage, pool="192.0.2.9/32")
    for uid in ("u1", "u2"):
        await watcher.say(uid, a_wish(uid))
        await stage.settled(0.05)
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", addresses=["192.0.2.9/32", "192.0.2.20/32"])
    await stage.until_addresses({"u1": ("192.0.2.9",), "u2": ("192.0.2.20",)})


async def test_an_address_asked_for_that_is_taken_is_given_when_it_is_free(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", a_wish("one", addresses=("192.0.2.5",)))
    await stage.until_addresses({"u1": ("192.0.2.5",)})
    await watcher.say("u2", a_wish("two", addresses=("192.0.2.5",)))
    await stage.until_addresses({"u1": ("192.0.2.5",), "u2": ()})
    assert await stage.refusals() == {"u2": "AddressInUse"}
    await watcher.say("u1", None)
    await stage.until_addresses({"u2": ("192.0.2.5",)})


async def test_a_lost_race_for_an_address_costs_one_more_proposal(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish("u1"))
    await stage.until(lambda: node.serving)
    mine = (await stage.claims())["192.0.2.0"]

    def somebody_is_faster(what: str) -> None:
        if what == "create addressclaims":
            stage.counting.before_write = lambda what: None
            spec = replace(mine.spec, address="192.0.2.1", owner=replace(mine.spec.owner, service_uid="other"))
            meta = replace(mine.metadata, name="192.0.2.1", uid="", resource_version="")
            stage.tasks.create_task(ClaimObjects(stage.cluster).create(replace(mine, metadata=meta, spec=spec)))

    stage.counting.before_write = somebody_is_faster
    stage.counting.delay_writes = 0.05
    await watcher.say("u2", a_wish("u2"))
    await stage.until(lambda: len(node.serving) == 2)
    assert (await stage.addresses())["u2"] == ("192.0.2.2",)
    assert (await stage.claims())["192.0.2.1"].spec.owner.service_uid == "other"


async def test_a_quota_refuses_and_serves_when_it_is_raised_or_something_is_given_back(stage: Stage) -> None:
    await stage.create_group()
    await stage.create_pool("192.0.2.0/28")
    await stage.create_tenant("acme", "10.1.0.0/16", quotas=Quotas(load_balancers=1))
    node = stage.add_node()
    stage.start()
    watcher = await stage.watcher()
    for uid in ("u1", "u2", "u3"):
        await watcher.say(uid, a_wish(uid))
        await stage.settled(0.05)
    assert await stage.refusals() == {"u2": "QuotaExceeded", "u3": "QuotaExceeded"}
    await watcher.say("u1", None)
    await stage.until(lambda: "192.0.2.1:443/tcp" in node.serving)
    assert await stage.refusals() == {"u3": "QuotaExceeded"}
    await edit_spec(stage.cluster, TENANTS, "acme", quotas={"loadBalancers": 2})
    await stage.until(lambda: len(node.serving) == 2)
    await edit_spec(stage.cluster, TENANTS, "acme", quotas={"loadBalancers": 0})
    await watcher.say("u2", a_wish("u2"), ServiceEndpoints(ready=False))
    await stage.until(lambda: not node.serving["192.0.2.1:443/tcp"].real_servers)
    assert await stage.refusals() == {}
    tenant = await stage.cluster.get(TENANTS, "acme")
    await stage.until(lambda: stage.manager.memory.tenants["acme"].status.usage.load_balancers == 2)
    assert tenant.status.namespace == "tenant-acme"
