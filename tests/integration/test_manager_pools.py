"""The manager against a real API server: where addresses come from, and what pools and groups that change do."""

from typing import Any

import pytest

from fleetlb.contracts.objects import POOL_FINALIZER, ClaimPhase, PoolCounts
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.kube.fleet_objects import (
    ADDRESS_POOLS,
    BALANCER_GROUPS,
)
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec, free

pytestmark = pytest.mark.integration


async def test_a_group_and_a_pool_that_change_are_followed(stage: Stage) -> None:
    node, watcher = await begin(stage, pool="192.0.2.0/28")
    await watcher.say("u1", a_wish(ports=(443, 80)))
    await stage.until(lambda: len(node.serving) == 2)
    assert {server.prefix for server in node.serving.values()} == {"192.0.2.0/28"}
    assert (await stage.load_balancers())["u1"].spec.ip_mode == "Proxy"
    await at_rest(stage)
    await edit_spec(stage.cluster, BALANCER_GROUPS, "default", engine="ipvs", forwarding="direct", drainSeconds=7)
    key = "192.0.2.0:80/tcp"
    await stage.until(lambda: {s.forwarding for s in node.serving.values()} == {"direct"})
    assert [(real.port, real.check_port) for real in node.serving[key].real_servers] == [(80, 31001)]
    assert node.serving[key].drain_seconds == 7
    assert (await stage.load_balancers())["u1"].spec.ip_mode == "VIP"
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", addresses=["192.0.2.0/24"])
    await stage.until(lambda: {s.prefix for s in node.serving.values()} == {"192.0.2.0/24"})
    await at_rest(stage)
    seen = len(node.seen)
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", addresses=["192.0.2.0/24", "198.51.100.0/24"])
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert len(node.seen) == seen
    assert not stage.writes["patch loadbalancers"]


async def removal_of(stage: Stage, name: str = "default") -> str:
    """What a pool says of its removal; empty before it does."""
    conditions = (await stage.cluster.get(ADDRESS_POOLS, name)).status.conditions
    return next((c.message for c in conditions if c.reason == "Draining"), "")


async def test_IPA_8_a_pool_in_use_is_drained_and_goes_by_itself(stage: Stage) -> None:
    node, watcher = await begin(stage, quarantine=60)
    await stage.create_pool("198.51.100.0/29", name="other")
    await watcher.say("u1", a_wish(pool="default"))
    await watcher.say("u2", a_wish("second", pool="default"))
    await stage.until(lambda: len(node.serving) == 2)
    served = dict(node.serving)
    await stage.cluster.delete(ADDRESS_POOLS, "default")
    await stage.until(lambda: removal_of(stage))
    assert "in use: 2, of 1 tenants; at rest: 0" in await removal_of(stage)
    await watcher.say("u3", a_wish("third", pool="default"))
    await watcher.say("u4", a_wish("fourth"))
    await stage.until(lambda: len(node.serving) == 3)
    assert (await stage.addresses())["u4"] == ("198.51.100.0",)
    refusal = (await stage.load_balancers())["u3"].spec.refusal
    assert refusal is not None
    assert (refusal.reason, "is being removed" in refusal.message) == ("AddressNotAllowed", True)
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert served.items() <= node.serving.items()
    await watcher.say("u1", None)
    await watcher.say("u2", None)
    await stage.until(lambda: removal_of(stage))
    await stage.until(lambda: len(node.serving) == 1)
    await stage.settled(quiet=1.3)
    assert "in use: 0, of 0 tenants; at rest: 2" in await removal_of(stage)
    stage.clock.ahead += 61
    await stage.restart()
    await stage.until(lambda: pool_names(stage, "other"))
    assert list(await stage.claims()) == ["198.51.100.0"]


async def pool_names(stage: Stage, *names: str) -> bool:
    """Whether these are all pools there are."""
    return {pool.metadata.name for pool in await stage.cluster.list(ADDRESS_POOLS)} == set(names)


async def test_IPA_8_a_pool_that_nobody_uses_goes_at_once(stage: Stage) -> None:
    await begin(stage)
    assert (await stage.cluster.get(ADDRESS_POOLS, "default")).metadata.finalizers == (POOL_FINALIZER,)
    await stage.cluster.delete(ADDRESS_POOLS, "default")
    await stage.until(lambda: pool_names(stage), 5.0)


async def test_IPA_8_a_pool_removed_by_force_takes_no_address_away(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(ADDRESS_POOLS, "default")
    await free(stage.cluster, ADDRESS_POOLS, await stage.cluster.get(ADDRESS_POOLS, "default"))
    await stage.until(lambda: pool_names(stage))
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert list(node.serving) == ["192.0.2.0:443/tcp"]
    assert (await stage.claims())["192.0.2.0"].spec.phase is ClaimPhase.BOUND
    await stage.create_pool("192.0.2.0/28")
    await stage.settled(quiet=1.3)
    assert await stage.addresses() == {"u1": ("192.0.2.0",)}


@pytest.mark.parametrize(
    "edit",
    [
        {"addresses": ["192.0.2.16-192.0.2.17"]},
        {"addresses": ["192.0.2.8-192.0.2.9", "192.0.2.16-192.0.2.17"], "exclude": ["192.0.2.8", "192.0.2.9/32"]},
    ],
    ids=["taken out", "excluded"],
)
async def test_IPA_8_a_range_that_a_pool_loses_is_served_on_and_said(stage: Stage, edit: dict[str, Any]) -> None:
    node, watcher = await begin(stage, pool="192.0.2.8-192.0.2.9")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    assert node.serving["192.0.2.8:443/tcp"].prefix == "192.0.2.8/31"
    await edit_spec(stage.cluster, ADDRESS_POOLS, "default", **edit)

    async def said() -> str:
        conditions = (await stage.cluster.get(ADDRESS_POOLS, "default")).status.conditions
        return next((c.message for c in conditions if c.type == "AddressesOutside"), "")

    await stage.until(said)
    assert "1 (192.0.2.8 of acme shop/web)" in await said()
    await stage.until(lambda: node.serving["192.0.2.8:443/tcp"].prefix == "")  # routed by itself
    await watcher.say("u2", a_wish("second"))
    await watcher.say("u3", a_wish("third"))
    await stage.until(lambda: len(node.serving) == 3)
    await watcher.say("u4", a_wish("fourth"))
    await stage.until(lambda: stage.refusals())
    assert await stage.refusals() == {"u4": "PoolExhausted"}
    assert (await stage.addresses())["u1"] == ("192.0.2.8",)
    assert sorted(await stage.claims()) == ["192.0.2.16", "192.0.2.17", "192.0.2.8"]
    await at_rest(stage)
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert not stage.writes
    assert (await stage.cluster.get(ADDRESS_POOLS, "default")).status.ipv4 == PoolCounts(total=3, used=3)
    await watcher.say("u1", None)

    async def is_silent() -> bool:
        return not await said()

    await stage.until(is_silent)
    assert (await stage.cluster.get(ADDRESS_POOLS, "default")).status.ipv4 == PoolCounts(total=2, used=2)
    assert await stage.refusals() == {"u4": "PoolExhausted"}


async def test_IPA_7_pools_give_by_selector_and_priority_and_a_change_wakes_who_waits(stage: Stage) -> None:
    node, watcher = await begin(stage, pool="192.0.2.0/28")
    gold = {"fleetlb.dev/tier": "gold"}
    await stage.create_pool("198.51.100.0/28", name="gold", priority=5, selector=PoolSelector(service_labels=gold))
    await stage.create_pool("203.0.113.0/28", name="nobodys", priority=9, selector=PoolSelector(tenants=("nobody",)))
    await at_rest(stage)
    await watcher.say("plain", a_wish("plain"))
    await watcher.say("golden", a_wish("golden", labels=gold))
    await watcher.say("asking", a_wish("asking", pool="nobodys"))
    await stage.until(lambda: stage.refusals())
    given: dict[str, tuple[str, ...]] = {"plain": ("192.0.2.0",), "golden": ("198.51.100.0",), "asking": ()}
    await stage.until_addresses(given)
    assert (await stage.load_balancers())["golden"].spec.service.labels == gold
    refusal = (await stage.load_balancers())["asking"].spec.refusal
    assert refusal is not None
    assert refusal.message == "fleetlb.dev/pool: pool 'nobodys' is not granted to this tenant"
    await edit_spec(stage.cluster, ADDRESS_POOLS, "nobodys", selector={"tenants": ["nobody", "acme"]})
    await stage.until_addresses(given | {"asking": ("203.0.113.0",)})
    await stage.until(lambda: len(node.serving) == 3)
    await at_rest(stage)
    seen = len(node.seen)
    await edit_spec(stage.cluster, ADDRESS_POOLS, "gold", selector={"namespaces": ["elsewhere"]}, priority=-5)
    await edit_spec(stage.cluster, ADDRESS_POOLS, "nobodys", selector=None)
    await stage.restart()
    await stage.settled(quiet=1.3)
    await stage.until_addresses(given | {"asking": ("203.0.113.0",)})
    assert not {what for what in stage.writes if "addresspools" not in what}
    assert len(node.seen) == seen
    await watcher.say("later", a_wish("later", labels=gold))
    await stage.until_addresses(given | {"asking": ("203.0.113.0",), "later": ("203.0.113.1",)})
