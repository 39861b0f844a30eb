"""The manager against a real API server: from a wish to an address, an object and virtual servers, and back to rest."""

import asyncio

import pytest

from fleetlb.contracts import streams
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints, TenantNode
from fleetlb.kube.fleet_objects import (
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    TENANTS,
)
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec

pytestmark = pytest.mark.integration

DESIRED = streams.desired_stream("default").name


async def test_a_new_service_gets_an_address_with_two_writes(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish(ports=(4443,), node_ports=(31777,)))
    await stage.until(lambda: "192.0.2.0:4443/tcp" in node.serving)
    assert [(s.address, s.port) for s in node.serving["192.0.2.0:4443/tcp"].real_servers] == [("10.1.0.1", 31777)]
    assert stage.writes == {"create addressclaims": 1, "create loadbalancers": 1}
    claim = (await stage.claims())["192.0.2.0"]
    assert claim.spec.owner.service_uid == "u1"
    assert claim.spec.ports == ("4443/TCP",)
    assert claim.spec.generation == stage.manager.partitions.fleet.generation
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
