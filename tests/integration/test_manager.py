"""The manager against a real API server, with a bus in memory, balancer nodes and watchers played by hand."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.crds import all_crds
from fleetlb.contracts.objects import POOL_FINALIZER, ClaimPhase, PoolCounts
from fleetlb.contracts.tenants import CONFIRM_REMOVAL, WATCHER_CREDENTIALS_SECRET, Quotas
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints, TenantNode
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound, Unavailable
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.resources import SECRETS, Resource
from fleetlb.runtime import nats_accounts
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_manager.objects import ClaimObjects
from tests.integration.conftest import KubeApis
from tests.integration.manager_stage import Node, Stage, Watcher, a_stage, a_wish, edit_spec, free

pytestmark = pytest.mark.integration

DESIRED = streams.desired_stream("default").name


@pytest.fixture(scope="module")
def kubeconfig(kube_apis: KubeApis) -> Path:
    return kube_apis.start("manager").kubeconfig


@pytest.fixture
async def stage(kubeconfig: Path) -> AsyncIterator[Stage]:
    cluster = await Cluster.connect(kubeconfig)
    try:
        await apply_crds(cluster, all_crds())
        async with a_stage(cluster) as made:
            yield made
    finally:
        await cluster.close()


async def begin(stage: Stage, pool: str = "192.0.2.0/28", quarantine: int = 0) -> tuple[Node, Watcher]:
    """One tenant, one node, one watcher whose cluster is known, and a manager at rest."""
    await stage.set_up("acme", pool=pool, quarantine=quarantine)
    node = stage.add_node()
    stage.start()
    await stage.acting()
    watcher = await stage.watcher()
    await stage.until(stage.clusters)
    await at_rest(stage)
    return node, watcher


async def at_rest(stage: Stage) -> None:
    """Nothing to do, statuses written too; the count of writes begins anew."""
    await stage.settled(quiet=1.3)
    stage.writes.clear()


async def test_a_new_service_gets_an_address_with_two_writes(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish(ports=(4443,), node_ports=(31777,)))
    await stage.until(lambda: "192.0.2.0:4443/tcp" in node.serving)
    assert [(s.address, s.port) for s in node.serving["192.0.2.0:4443/tcp"].real_servers] == [("10.1.0.1", 31777)]
    assert stage.writes == {"create addressclaims": 1, "create loadbalancers": 1}
    claim = (await stage.claims())["192.0.2.0"]
    assert claim.spec.owner.service_uid == "u1"
    assert claim.spec.ports == ("4443/TCP",)
    assert claim.spec.generation == stage.manager.leadership.generation
    item = (await stage.load_balancers())["u1"]
    assert item.metadata.namespace == "tenant-acme"
    assert item.metadata.labels["fleetlb.dev/origin-name"] == "web"
    assert [hop.name for hop in node.seen[-1].hops] == ["decide", "claim"]


async def test_the_same_again_writes_and_publishes_nothing(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await at_rest(stage)
    seen = len(node.seen)
    await watcher.say("u1", a_wish())
    await watcher.say_nodes(TenantNode(name="node-a", addresses=("10.1.0.1",)))
    await watcher.say_inventory()
    await stage.until(lambda: stage.writes["patch tenantclusters/status"])
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert stage.writes == {"patch tenantclusters/status": 1}
    assert len(node.seen) == seen


async def test_A7_what_was_begun_before_the_lease_was_lost_is_not_finished(stage: Stage) -> None:
    """As after a pause in the middle of a Service: by the time of the next write somebody else decides."""
    node, watcher = await begin(stage)
    leadership = stage.manager.leadership
    stage.counting.before_write = lambda what: leadership.on_lost() if what == "create loadbalancers" else None
    await watcher.say("u1", a_wish())
    await stage.until(lambda: stage.writes["create loadbalancers"])
    await stage.settled()
    assert (list(await stage.claims()), await stage.load_balancers(), node.seen) == (["192.0.2.0"], {}, [])
    stage.counting.before_write = lambda what: None
    leadership.on_acquired(leadership.generation)
    await stage.until_addresses({"u1": ("192.0.2.0",)})


async def test_endpoints_and_nodes_reach_the_nodes_without_a_write_on_load_balancers(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    key = "192.0.2.0:443/tcp"
    await stage.until(lambda: key in node.serving)
    await at_rest(stage)
    await watcher.say("u1", a_wish(), ServiceEndpoints(ready=False))
    await stage.until(lambda: not node.serving[key].real_servers)
    assert node.seen[-1].reason == "NoReadyBackend"
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving[key].real_servers)
    assert not stage.writes
    await watcher.say_nodes(
        TenantNode(name="node-a", addresses=("10.1.0.1",)), TenantNode(name="node-b", addresses=("10.1.0.2",))
    )
    await stage.until(lambda: len(node.serving[key].real_servers) == 2)
    assert stage.writes == {"patch tenantclusters": 1}


async def test_NPT_1_pods_serve_where_podCIDRs_are_granted_and_nobody_does_at_port_0(stage: Stage) -> None:
    node, watcher = await begin(stage)
    pods = (Pod("10.244.0.7", "node-a"), Pod("10.245.0.7", "node-a"), Pod("169.254.169.254", "node-a"))
    told = ServiceEndpoints(ready=True, pods=(PodGroup(ports=(PodPort(port=8443),), pods=pods),))
    await watcher.say("u1", a_wish(node_ports=(0,)), told)
    await stage.until(stage.refusals)
    assert (await stage.refusals(), node.serving) == ({"u1": "Unsupported"}, {})
    await edit_spec(stage.cluster, TENANTS, "acme", podCIDRs=["10.244.0.0/16", "169.254.0.0/16"])
    key = "192.0.2.0:443/tcp"
    await stage.until(lambda: key in node.serving)
    assert [(r.address, r.port) for r in node.serving[key].real_servers] == [("10.244.0.7", 8443)]
    assert await stage.refusals() == {}
    await at_rest(stage)
    await watcher.say("u1", a_wish(node_ports=(0,)), ServiceEndpoints(ready=True))
    await stage.until(lambda: not node.serving[key].real_servers)
    assert (node.seen[-1].reason, dict(stage.writes)) == ("NoNodePort", {})


async def test_source_ranges_that_a_group_does_not_enforce_are_refused_and_change_nothing(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    before = dict(node.serving)
    await node.say_capabilities("tcp", "udp", "affinity")
    await at_rest(stage)
    await watcher.say("u1", a_wish(source_ranges=("10.0.0.0/8",)))
    await watcher.say("u2", a_wish("new", source_ranges=("10.0.0.0/8",)))
    await stage.until(stage.refusals)
    await stage.settled()
    assert await stage.refusals() == {"u1": "Unsupported", "u2": "Unsupported"}
    assert await stage.addresses() == {"u1": ("192.0.2.0",), "u2": ()}
    assert node.serving == before
    refusal = (await stage.load_balancers())["u1"].spec.refusal
    assert refusal is not None
    assert "spec.loadBalancerSourceRanges" in refusal.message
    await node.say_capabilities("tcp", "udp", "affinity", "source-ranges")
    await stage.until_addresses({"u1": ("192.0.2.0",), "u2": ("192.0.2.1",)})
    await stage.until(lambda: len(node.serving) == 2)
    await stage.until(lambda: {s.source_ranges for s in node.serving.values()} == {("10.0.0.0/8",)})
    assert await stage.refusals() == {}


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


async def test_a_release_waits_for_every_node_and_then_for_the_quarantine(stage: Stage) -> None:
    await stage.set_up("acme", pool="192.0.2.9/32", nodes=("node-1", "node-2"), quarantine=30)
    slow, quick = stage.add_node("node-1"), stage.add_node("node-2")
    stage.start()
    watcher = await stage.watcher()
    await watcher.say("u1", a_wish())
    await stage.until(lambda: slow.serving and quick.serving)
    slow.answering = False
    await watcher.say("u1", None)
    await stage.until(lambda: not quick.serving)
    await stage.settled()
    assert (await stage.claims())["192.0.2.9"].spec.phase is ClaimPhase.RELEASING
    assert "u1" in await stage.load_balancers()
    assert not stage.released
    await slow.answer_all()
    await stage.until(lambda: stage.released)
    assert (await stage.claims())["192.0.2.9"].spec.phase is ClaimPhase.QUARANTINED
    assert not await stage.load_balancers()
    assert not stage.server.streams[DESIRED].messages
    await watcher.say("u2", a_wish("next"))
    await stage.until_addresses({"u2": ()})
    await stage.settled(1.3)
    pool = await stage.cluster.get(ADDRESS_POOLS, "default")
    assert (pool.status.ipv4.used, pool.status.ipv4.quarantined, pool.status.ipv4.free) == (0, 1, 0)
    stage.clock.ahead += 31
    await stage.restart()
    await stage.until_addresses({"u2": ("192.0.2.9",)})


async def test_a_release_is_said_again_to_who_asks_again(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",)})
    await watcher.say("u1", None)
    await stage.until(lambda: len(stage.released) == 1)
    await watcher.say("u1", None)
    await stage.until(lambda: len(stage.released) >= 2)
    assert stage.released[0] == subjects.released(watcher.account, "cluster-1", "u1")


async def test_wished_again_during_the_release_it_is_released_and_then_served(stage: Stage) -> None:
    node, watcher = await begin(stage, pool="192.0.2.8-192.0.2.9")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    node.answering = False
    await watcher.say("u1", None)
    await stage.until(lambda: node.seen[-1].server is None)
    await watcher.say("u1", a_wish())
    await stage.settled()
    assert not stage.released
    await node.answer_all()
    await stage.until(lambda: node.serving)
    (address,) = await stage.claims()
    assert list(node.serving) == [f"{address}:443/tcp"]


@pytest.mark.parametrize("cut", range(1, 9))
async def test_killed_at_any_write_it_ends_with_the_same_addresses(stage: Stage, cut: int) -> None:
    node, watcher = await begin(stage, pool="192.0.2.0/29")
    await watcher.say("u0", a_wish("first", addresses=("192.0.2.3",)))
    await stage.until_addresses({"u0": ("192.0.2.3",)})
    await at_rest(stage)
    done = 0

    def kill_at(what: str) -> None:
        nonlocal done
        done += 1
        if done == cut and stage.running is not None:
            asyncio.get_running_loop().call_later(random.random() * 0.002, stage.running.cancel)

    stage.counting.before_write = kill_at
    for number in range(1, 4):
        await watcher.say(f"u{number}", a_wish(f"u{number}", ports=(80, 443)))
    await watcher.say("u0", a_wish("first", addresses=("192.0.2.4",)))
    await stage.until(lambda: done >= cut)
    stage.counting.before_write = lambda what: None
    await stage.restart()
    await stage.until(lambda: len(node.serving) == 7)
    await stage.settled(0.3)
    found = await stage.addresses()
    assert found["u0"] == ("192.0.2.4",)
    assert len({address for addresses in found.values() for address in addresses}) == 4
    claims = await stage.claims()
    assert {c.spec.owner.service_uid: a for a, c in claims.items()} == {u: a for u, (a,) in found.items()}
    assert {key.rpartition(":")[0] for key in node.serving} == set(claims)
    await stage.restart()
    await stage.settled(0.3)
    assert await stage.addresses() == found


@pytest.mark.parametrize("cut", range(1, 5))
async def test_killed_at_any_write_of_a_release_nothing_is_left(stage: Stage, cut: int) -> None:
    node, watcher = await begin(stage, quarantine=0)
    await watcher.say("u1", a_wish(ports=(80, 443)))
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 3)
    await at_rest(stage)
    done = 0

    def kill_at(what: str) -> None:
        nonlocal done
        done += 1
        if done == cut and stage.running is not None:
            asyncio.get_running_loop().call_later(random.random() * 0.002, stage.running.cancel)

    stage.counting.before_write = kill_at
    await watcher.say("u1", None)
    await stage.until(lambda: done >= min(cut, 3))
    stage.counting.before_write = lambda what: None
    await stage.restart()
    await stage.until(lambda: stage.released)
    await stage.settled(0.3)
    assert list(await stage.load_balancers()) == ["u2"]
    assert len(await stage.claims()) == 1
    assert len(node.serving) == 1
    assert len(stage.server.streams[DESIRED].messages) == 1


async def test_a_load_balancer_deleted_by_hand_comes_back_with_its_address(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    before = (await stage.load_balancers())["u1"]
    await stage.cluster.delete(LOAD_BALANCERS, "u1", "tenant-acme")
    await stage.until(stage.load_balancers)
    after = (await stage.load_balancers())["u1"]
    assert after.spec.says_the_same(before.spec)
    assert after.metadata.uid != before.metadata.uid
    await stage.until(lambda: node.seen[-1].load_balancer and node.seen[-1].load_balancer.uid == after.metadata.uid)
    assert all(wish.server is not None for wish in node.seen)


async def test_an_operators_edit_of_a_load_balancer_is_undone(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",)})
    item = (await stage.load_balancers())["u1"]
    body = patching.merge(item.metadata.uid, spec={"addresses": ["192.0.2.66"]})
    await stage.cluster.patch(LOAD_BALANCERS, "u1", body, kind=PatchKind.MERGE, namespace="tenant-acme")
    await stage.until_addresses({"u1": ("192.0.2.0",)})


@pytest.mark.parametrize("which", ["desired", "realized", "observed"])
async def test_a_deleted_stream_is_made_and_filled_again(stage: Stage, which: str) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await at_rest(stage)
    name = {
        "desired": DESIRED,
        "realized": streams.realized_stream("default").name,
        "observed": streams.observed_stream(watcher.account).name,
    }[which]
    stage.server.delete_stream(name)
    await stage.until(lambda: name in stage.server.streams)
    if which == "desired":
        await stage.until(lambda: stage.server.streams[DESIRED].messages)
        assert node.seen[-1].server == node.seen[0].server
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 2)
    assert stage.writes["create addressclaims"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"d","service":{"namespace":"a b","name":"n","ports":[]}}',
        b'{"type":"dev.fleetlb.v2.service_observed","digest":"d"}',
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"d","wish":"',
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"' + b"x" * 200_000 + b'"}',
    ],
    ids=["empty", "no text", "nested", "no label", "unknown version", "truncated", "oversized"],
)
async def test_what_cannot_be_read_is_parked_and_neighbours_are_served(stage: Stage, body: bytes) -> None:
    node, watcher = await begin(stage)
    before = REGISTRY.get_sample_value("fleetlb_parked_messages_total", {"tenant": "acme"}) or 0.0
    await watcher.put(subjects.local_observed_service("cluster-1", "bad"), body)
    await watcher.put("observed.cluster-1.nonsense.here", body)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    parked = [body for subject, body in stage.parked if subject.startswith(f"fleetlb.v1.parked.{watcher.account}.")]
    assert parked == [body[:65536]] * 2
    assert REGISTRY.get_sample_value("fleetlb_parked_messages_total", {"tenant": "acme"}) == before + 2
    assert list(await stage.load_balancers()) == ["u1"]


async def test_a_tenant_with_wrong_networks_is_not_ready_and_others_are_served(stage: Stage) -> None:
    await stage.set_up("acme")
    node = stage.add_node()
    stage.start()
    await stage.until_status("acme")
    await asyncio.sleep(1)  # creation timestamps have whole seconds
    await stage.create_tenant("younger", "10.1.7.0/24")
    refused = await stage.until_status("younger", "False")
    assert [(c.reason, "acme" in c.message) for c in refused.status.conditions] == [("Overlap", True)]
    other = await stage.watcher("acme")
    await other.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    account = (await stage.until_status("younger", "False")).status.account
    younger = Watcher(FakeBus(stage.server).for_tenant(account), account, "cluster-2")
    await younger.say("u9", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",), "u9": ()})
    assert await stage.refusals() == {"u9": "TenantNotReady"}
    await edit_spec(stage.cluster, TENANTS, "younger", nodeCIDRs=["10.7.0.0/16"])
    await stage.until_addresses({"u1": ("192.0.2.0",), "u9": ("192.0.2.1",)})


async def test_two_tenants_with_the_same_name_and_uid_get_two_load_balancers(stage: Stage) -> None:
    await stage.set_up("acme", "globex")
    node = stage.add_node()
    stage.start()
    for tenant in ("acme", "globex"):
        watcher = await stage.watcher(tenant, "cluster-1")
        await watcher.say("u1", a_wish("web", namespace="shop"))
    await stage.until(lambda: len(node.serving) == 2)
    claims = await stage.claims()
    assert {claim.spec.owner.tenant for claim in claims.values()} == {"acme", "globex"}
    backends = {key: server.real_servers[0].address for key, server in node.serving.items()}
    for address, claim in claims.items():
        wanted = "10.1.0.1" if claim.spec.owner.tenant == "acme" else "10.2.0.1"
        assert backends[f"{address}:443/tcp"] == wanted
    assert {i.metadata.namespace for i in await stage.cluster.list(LOAD_BALANCERS)} == {"tenant-acme", "tenant-globex"}


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


async def test_an_edit_of_ports_keeps_the_address(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish(ports=(80, 443)))
    await stage.until(lambda: len(node.serving) == 2)
    await at_rest(stage)
    await watcher.say("u1", a_wish(ports=(443, 8443)))
    await stage.until(lambda: sorted(node.serving) == ["192.0.2.0:443/tcp", "192.0.2.0:8443/tcp"])
    assert stage.writes == {"patch addressclaims": 1, "patch loadbalancers": 1}
    await stage.settled()
    assert len(stage.server.streams[DESIRED].messages) == 2


async def test_a_refused_edit_keeps_what_was_granted(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await watcher.say("u1", a_wish(ports=(443, 80), node_ports=(31000, 99)))
    await stage.until(stage.refusals)
    item = (await stage.load_balancers())["u1"]
    assert item.spec.refusal is not None
    assert item.spec.refusal.reason == "BackendNotAllowed"
    assert item.spec.service == a_wish()
    assert item.spec.addresses == ("192.0.2.0",)
    await stage.settled()
    assert list(node.serving) == ["192.0.2.0:443/tcp"]
    await watcher.say("u1", a_wish(ports=(443, 80)))
    await stage.until(lambda: len(node.serving) == 2)
    assert await stage.refusals() == {}


async def test_two_inventories_prove_that_a_service_is_gone(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish("u1"))
    await watcher.say("u2", a_wish("u2"))
    await stage.until(lambda: len(node.serving) == 2)
    del watcher.services["u1"]
    await watcher.say_inventory()
    await stage.settled()
    stage.clock.ahead += 5
    await watcher.say_inventory()
    await stage.settled()
    assert len(node.serving) == 2
    stage.clock.ahead += 6
    await watcher.say_inventory()
    await stage.until(lambda: len(node.serving) == 1)
    await stage.until_addresses({"u2": ("192.0.2.1",)})
    name = streams.observed_stream(watcher.account).name
    await stage.until(lambda: not any("u1" in subject for subject in stage.server.streams[name].messages))
    await stage.restart()
    await stage.settled()
    assert list(await stage.load_balancers()) == ["u2"]


async def test_an_inventory_with_an_unknown_service_asks_for_everything_again(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say_inventory({"unheard-of": "digest"})
    await stage.settled()
    assert watcher.resyncs == 0
    stage.clock.ahead += 3
    await watcher.say_inventory({"unheard-of": "digest"})
    stage.clock.ahead += 3
    await watcher.say_inventory({"unheard-of": "digest"})
    stage.clock.ahead += 3
    await stage.until(lambda: watcher.resyncs >= 1)


async def test_a_standby_takes_over_and_writes_nothing(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await at_rest(stage)
    generation = stage.manager.leadership.generation
    first = stage.running
    stage.start("manager-2")
    await stage.until(lambda: stage.manager.is_synced)
    await stage.settled()
    assert not stage.manager.leadership.acting
    assert first is not None
    first.cancel()
    await stage.acting()
    await stage.settled(1.3)
    assert stage.manager.leadership.generation > generation
    assert not stage.writes
    seen = len(node.seen)
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 2)
    assert len(node.seen) == seen + 1


async def test_what_a_manager_without_the_lease_published_is_published_over(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    stale = VirtualServerDesired(key=node.seen[0].key, generation=1, revision=10**6, owner=node.seen[0].owner)
    await FakeBus(stage.server).publish(subjects.desired("default", stale.key), codec.encode(stale), message_id="stale")
    await stage.until(lambda: node.seen[-1].revision > 10**6)
    assert node.seen[-1].server == node.seen[0].server


async def test_what_nobody_owns_is_let_go(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    wish = node.seen[0]
    assert wish.server is not None
    await stage.kill()
    orphan = subjects.desired("default", wish.key).replace("_443_", "_444_")
    key = type(wish.key)(wish.key.address, 444, wish.key.protocol)
    message = replace(wish, key=key, server=replace(wish.server, key=key))
    await FakeBus(stage.server).publish(orphan, codec.encode(message), message_id="orphan")
    await stage.until(lambda: len(node.serving) == 2)
    stage.start()
    await stage.until(lambda: len(node.serving) == 1)
    await stage.until(lambda: len(stage.server.streams[DESIRED].messages) == 1)


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


async def test_an_account_has_namespace_credentials_and_a_pushed_jwt(stage: Stage) -> None:
    await stage.set_up("acme")
    stage.start()
    tenant = await stage.until_status("acme")
    account = tenant.status.account
    secret = await stage.cluster.get(SECRETS, WATCHER_CREDENTIALS_SECRET, "tenant-acme")
    jwt, _ = nats_accounts.parse_creds(base64.b64decode(secret["data"]["nats.creds"]).decode())
    assert nats_accounts.claims_of(jwt)["iss"] == account
    assert [nats_accounts.claims_of(jwt)["sub"] for jwt in stage.pushed] == [account]
    assert streams.observed_stream(account).name in stage.server.streams
    stage.manager.forget_pushed_accounts()
    await stage.until(lambda: len(stage.pushed) == 2)
    await stage.restart()
    await stage.until(lambda: len(stage.pushed) == 3)
    assert (await stage.cluster.get(TENANTS, "acme")).status.account == account


async def test_MUL_7_a_tenant_removed_by_force_is_followed_no_more_and_its_objects_stay(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(TENANTS, "acme")
    await free(stage.cluster, TENANTS, await stage.cluster.get(TENANTS, "acme"))
    await stage.until(lambda: "acme" not in stage.manager.memory.registrations)
    await watcher.say("u1", None)
    await stage.settled()
    assert list(await stage.load_balancers()) == ["u1"]
    assert len(node.serving) == 1


async def removal_of_tenant(stage: Stage, name: str) -> dict[str, str]:
    """What a Tenant says of its removal, by reason."""
    conditions = (await stage.cluster.get(TENANTS, name)).status.conditions
    return {c.reason: c.message for c in conditions if c.type == "Removed"}


async def left_of(stage: Stage, tenant: str) -> list[str]:
    """Whatever the API server and the bus still hold of a tenant."""
    namespace = f"tenant-{tenant}"
    kinds: tuple[Resource[Any], ...] = (LOAD_BALANCERS, TENANT_CLUSTERS, SECRETS)
    found = [item for kind in kinds for item in await stage.cluster.list(kind, namespace)]
    names = [item["metadata"]["name"] if isinstance(item, dict) else item.metadata.name for item in found]
    names += [address for address, claim in (await stage.claims()).items() if claim.spec.owner.tenant == tenant]
    secrets = await stage.cluster.list(SECRETS, "fleetlb-system")
    names += [each["metadata"]["name"] for each in secrets if each["metadata"]["name"].endswith(f"-{tenant}")]
    names += [tenant for each in await stage.cluster.list(TENANTS) if each.metadata.name == tenant]
    return names


async def confirm(stage: Stage, tenant: str, text: str) -> None:
    """Annotate a Tenant's removal with a text."""
    found = await stage.cluster.get(TENANTS, tenant)
    body = patching.annotate(found.metadata.uid, {CONFIRM_REMOVAL: text})
    await stage.cluster.patch(TENANTS, tenant, body, kind=PatchKind.MERGE)


async def test_MUL_7_a_deleted_tenant_is_served_until_somebody_confirms(stage: Stage) -> None:
    node, _ = await begin(stage)
    await stage.create_tenant("guarded", "10.9.0.0/16")
    watcher = await stage.watcher("guarded", "cluster-9")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(TENANTS, "guarded")
    await stage.until(lambda: removal_of_tenant(stage, "guarded"))
    said = (await removal_of_tenant(stage, "guarded"))["LoadBalancersLive"]
    assert "1 load balancers are live" in said
    assert "confirm-removal=guarded" in said
    await confirm(stage, "guarded", "acme")
    await watcher.say("u2", a_wish("second"))
    await stage.until(lambda: len(node.serving) == 2)
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert len(node.serving) == 2
    assert list(await removal_of_tenant(stage, "guarded")) == ["LoadBalancersLive"]
    assert not stage.forgotten
    assert {claim.spec.phase for claim in (await stage.claims()).values()} == {ClaimPhase.BOUND}
    await watcher.say("u1", None)
    await watcher.say("u2", None)
    await stage.until(lambda: stage.forgotten)
    await stage.end_namespace("tenant-guarded")


async def test_MUL_7_a_confirmed_tenant_leaves_nothing_and_a_namesake_inherits_nothing(stage: Stage) -> None:
    node, other = await begin(stage, quarantine=60)
    await other.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    others, kept = dict(node.serving), await left_of(stage, "acme")
    await stage.create_tenant("passing", "10.9.0.0/16")
    watcher = await stage.watcher("passing", "cluster-9")
    for uid in ("u1", "u2"):
        await watcher.say(uid, a_wish(uid))
    await stage.until(lambda: len(node.serving) == 3)
    assert "cluster-9" in await stage.clusters()
    account = watcher.account
    node.answering = False
    await stage.cluster.delete(TENANTS, "passing")
    await confirm(stage, "passing", "passing")
    await stage.until(lambda: sum(wish.server is None for wish in node.seen) >= 2)
    await watcher.say("u3", a_wish("third"))
    await stage.settled()
    assert "InProgress" in await removal_of_tenant(stage, "passing")
    assert (len(await stage.claims()), stage.forgotten) == (3, [])
    await stage.restart()
    node.answering = True
    await node.answer_all()

    async def is_quarantined() -> bool:
        phases = [claim.spec.phase for claim in (await stage.claims()).values()]
        return phases.count(ClaimPhase.QUARANTINED) == 2

    await stage.until(is_quarantined)
    await stage.until(lambda: stage.end_namespace("tenant-passing"))
    stage.clock.ahead += 61
    await stage.restart()

    await stage.until(partial(is_gone, stage, "passing"))
    assert {who for who, _ in stage.forgotten} == {account}
    assert streams.observed_stream(account).name not in stage.server.streams
    assert node.serving == others
    assert await left_of(stage, "acme") == kept
    await stage.create_tenant("passing", "10.9.0.0/16")
    again = await stage.watcher("passing", "cluster-9")
    assert again.account != account
    await stage.settled()
    assert node.serving == others
    assert set(await stage.load_balancers()) == {"u1"}


class Dying:
    """Lets so many writes pass and no more."""

    def __init__(self, passing: int) -> None:
        self.left = passing

    def __call__(self, what: str) -> None:
        if not self.left:
            raise Unavailable(f"the manager dies before {what}")
        self.left -= 1


async def test_MUL_7_a_removal_is_finished_by_the_next_manager_wherever_the_first_one_died(stage: Stage) -> None:
    await begin(stage)
    for passing in range(6):
        name = f"brief-{passing}"
        await stage.create_tenant(name, f"10.{20 + passing}.0.0/16")
        await stage.until_status(name)
        await stage.settled()
        dying = stage.counting.before_write = Dying(passing)
        await stage.cluster.delete(TENANTS, name)
        await stage.until(partial(has_died, stage, dying, name))
        await stage.kill()
        stage.counting.before_write = lambda what: None
        stage.start()
        await stage.acting()
        await stage.until(partial(is_gone, stage, name))
        await stage.end_namespace(f"tenant-{name}")
    assert len(await left_of(stage, "acme")) == 4


def has_died(stage: Stage, dying: Dying, tenant: str) -> bool:
    """Whether a manager has come as far as it may, or to the end."""
    return not dying.left or tenant not in stage.manager.memory.tenants


async def is_gone(stage: Stage, tenant: str) -> bool:
    """Whether nothing is left of a tenant."""
    return not await left_of(stage, tenant)


async def test_a_group_that_is_made_later_serves_who_waits(stage: Stage) -> None:
    await stage.create_pool("192.0.2.0/28")
    await stage.create_tenant("acme", "10.1.0.0/16")
    stage.start()
    watcher = await stage.watcher()
    await watcher.say("u1", a_wish())
    await stage.until(stage.refusals)
    await stage.create_group()
    node = stage.add_node()
    await stage.until(lambda: node.serving)
    assert (await stage.cluster.get(BALANCER_GROUPS, "default")).spec.nodes == ("node-1",)


async def test_a_cluster_object_deleted_by_hand_comes_back(stage: Stage) -> None:
    _, _ = await begin(stage)
    await stage.cluster.delete(TENANT_CLUSTERS, "cluster-1", "tenant-acme")
    await stage.until(lambda: stage.writes["create tenantclusters"])
    await stage.until(stage.clusters)
    assert (await stage.clusters())["cluster-1"].spec.nodes[0].name == "node-a"


async def test_a_hundred_services_at_once_flow_and_the_counts_are_right(stage: Stage) -> None:
    node, watcher = await begin(stage, pool="198.51.100.0/24")
    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(watcher.say(f"u{number}", a_wish(f"u{number}")))
    await stage.until(lambda: len(node.serving) == 100)
    assert stage.writes["create addressclaims"] == stage.writes["create loadbalancers"] == 100
    await stage.settled(1.3)
    pool = await stage.cluster.get(ADDRESS_POOLS, "default")
    tenant = await stage.cluster.get(TENANTS, "acme")
    assert (pool.status.ipv4.total, pool.status.ipv4.used, pool.status.ipv4.free) == (256, 100, 156)
    assert (tenant.status.usage.load_balancers, tenant.status.usage.addresses) == (100, 100)


async def test_a_claim_deleted_by_hand_is_made_again_if_the_address_is_free(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(ADDRESS_CLAIMS, "192.0.2.0")
    await stage.until(lambda: stage.writes["create addressclaims"] == 2)
    await stage.settled()
    assert await stage.addresses() == {"u1": ("192.0.2.0",)}
    with pytest.raises(NotFound):
        await stage.cluster.get(ADDRESS_CLAIMS, "192.0.2.1")
    assert list(node.serving) == ["192.0.2.0:443/tcp"]
