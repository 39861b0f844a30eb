"""NOD: which nodes of a tenant's cluster are backends, and what their changes do. Traffic says who is one."""

from collections.abc import AsyncIterator

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.kube.fleet_objects import TENANT_CLUSTERS
from tests.conformance.conftest import Stage
from tests.e2e.fleet import Fleet, key, next_node_port, tcp
from tests.stage import nodes
from tests.stage.backends import conversation_with, is_from, serving
from tests.stage.hub import PROGRAMMER, counters
from tests.stage.overhearing import overheard, said_by, said_meanwhile
from tests.stage.starting import watcher_told
from tests.stage.tenants import Tenant

BOTH = ("node-1", "node-2")


@pytest.fixture(autouse=True)
async def fresh_nodes(acme: Tenant) -> AsyncIterator[None]:
    """The next test gets nodes to which nothing was done."""
    yield
    await nodes.forget_all(acme)


async def served(acme: Tenant, name: str = "web") -> str:
    """A Service served by both nodes; its address."""
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await acme.create(name, [port])
    vip = await acme.vip(name)
    await acme.until_served_by(key(vip, 80), *BOTH)
    return vip


async def test_NOD_1_the_label_is_read_as_a_boolean(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    for excluding, including in [("", "false"), ("true", "0"), ("no-boolean", "F"), ("TRUE", None)]:
        await nodes.exclude(acme, "node-1", excluding)
        await acme.until_served_by(web, "node-2")
        await nodes.exclude(acme, "node-1", including)
        await acme.until_served_by(web, *BOTH)


async def test_NOD_2_a_node_that_is_being_deleted_is_out(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    await nodes.begin_deletion(acme, "node-1")
    await acme.until_served_by(web, "node-2")
    await nodes.end_deletion(acme, "node-1")
    await acme.add_node("node-1")
    await acme.until_served_by(web, *BOTH)


async def test_NOD_3_a_taint_of_the_autoscaler_counts_when_nodes_change_and_not_before(
    acme: Tenant, fleet: Fleet
) -> None:
    web = key(await served(acme), 80)

    async def taint_alone() -> None:
        await nodes.taint(acme, "node-1", nodes.DOOMED)
        await acme.unsaid_witness()

    assert await said_meanwhile(fleet, "acme", taint_alone, await said_by(fleet, "acme", "nodes")) == []
    await acme.until_served_by(web, *BOTH)
    await nodes.join(acme, "node-3", ("InternalIP", acme.machines["node-2"].addresses[Family.IPV4]))
    await acme.until_served_by(web, "node-2")
    await nodes.taint(acme, "node-1")
    await acme.remove_node("node-3")
    await acme.until_served_by(web, *BOTH)


async def test_NOD_3_a_taint_of_the_autoscaler_counts_when_a_service_changes(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    other = tcp(81, next_node_port())
    await acme.listen(other)
    await nodes.taint(acme, "node-1", nodes.DOOMED)
    await acme.unsaid_witness()
    await acme.until_served_by(web, *BOTH)
    await acme.patch("web", {"spec": {"ports": [other]}})
    await acme.until_served_by(key(web.address, 81), "node-2")


async def test_NOD_4_a_node_that_is_not_ready_stays_and_keeps_its_connections(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    async with conversation_with(acme, web, "node-1") as conversation:
        await nodes.beat(acme, "node-1", ready=False)
        await nodes.exclude(acme, "node-2")
        await acme.until_served_by(web, "node-1")
        assert is_from(await conversation.ask(), acme, "node-1")


async def test_NOD_4_health_decides_about_new_connections(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    async with serving(acme, "node-2", port):
        async with serving(acme, "node-1", port):
            await acme.create("web", [port])
            web = key(await acme.vip("web"), 80)
            await acme.until_served_by(web, *BOTH)
            await nodes.beat(acme, "node-1", ready=False)
        await acme.until_served_by(web, "node-2")


async def test_NOD_5_a_cordon_alone_excludes_no_node(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    await nodes.cordon(acme, "node-1")
    await nodes.taint(acme, "node-1", {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    await nodes.exclude(acme, "node-2")
    await acme.until_served_by(web, "node-1")


async def test_NOD_6_new_removed_and_labelled_nodes_change_every_service(acme: Tenant) -> None:
    services = [key(await served(acme, name), 80) for name in ("one", "two")]

    async def all_served_by(*left: str) -> None:
        for service in services:
            await acme.until_served_by(service, *left)

    await acme.remove_node("node-1")
    await all_served_by("node-2")
    await acme.add_node("node-1")
    await all_served_by(*BOTH)
    await nodes.exclude(acme, "node-2")
    await all_served_by("node-1")
    await nodes.exclude(acme, "node-2", None)
    await all_served_by(*BOTH)
    await nodes.give_provider_id(acme, "node-1", "example://1")
    await acme.witness()
    await all_served_by(*BOTH)


async def test_NOD_7_heartbeats_cause_no_message_and_no_write(acme: Tenant, fleet: Fleet) -> None:
    web, about_nodes = key(await served(acme), 80), await said_by(fleet, "acme", "nodes")
    cluster = fleet.environment.tenants["acme"].cluster_uid

    async def written() -> tuple[int, dict[str, float]]:
        item = await fleet.management.get(TENANT_CLUSTERS, cluster, "tenant-acme")
        return item.metadata.generation, await counters(fleet, PROGRAMMER, *acme.network.write_counters)

    async def beats() -> None:
        for number in range(10):
            await nodes.beat(acme, "node-1", ready=number % 2 == 0)
        await acme.refused_witness()

    before = await written()
    assert await said_meanwhile(fleet, "acme", beats, about_nodes, "fleetlb.v1.desired.>") == []
    assert await written() == before
    async with overheard(fleet, about_nodes) as told:
        await nodes.exclude(acme, "node-1")
        await acme.until_served_by(web, "node-2")
    assert told, "a change of nodes would have been heard"


async def test_NOD_8_without_an_eligible_node_the_service_is_warned_and_recovers(acme: Tenant) -> None:
    vip = await served(acme)
    for node in BOTH:
        await nodes.exclude(acme, node)
    assert "no eligible node" in await acme.reason("web", SERVING, "NoEligibleNode")
    event = await acme.until_event("web", "UnAvailableLoadBalancer")
    assert event["type"] == "Warning"
    assert await acme.address("web") == vip
    await acme.until_silent(key(vip, 80))
    await nodes.exclude(acme, "node-2", None)
    assert await acme.vip("web") == vip
    await acme.until_served_by(key(vip, 80), "node-2")


async def test_NOD_9_another_address_of_a_node_is_followed(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    second = acme.machines["node-2"].addresses
    await acme.remove_node("node-2")
    await acme.until_served_by(web, "node-1")
    await nodes.give_addresses(acme, "node-1", *(("InternalIP", text) for text in second.values()))
    await acme.until_served_by(web, "node-2")


async def test_NOD_10_internal_addresses_are_preferred_and_external_ones_fallen_back_on(acme: Tenant) -> None:
    web = key(await served(acme), 80)
    one, two = (acme.machines[name].addresses[Family.IPV4] for name in BOTH)
    await acme.remove_node("node-2")
    await nodes.give_addresses(acme, "node-1", ("ExternalIP", one), ("InternalIP", two))
    await acme.until_served_by(web, "node-2")
    await nodes.give_addresses(acme, "node-1", ("Hostname", "somewhere"), ("ExternalIP", one))
    await acme.until_served_by(web, "node-1")
    # Not in the tenant's networks, so it cannot be dialled and the next one is taken.
    await nodes.give_addresses(acme, "node-1", ("InternalIP", "192.0.2.1"), ("ExternalIP", two))
    await acme.until_served_by(web, "node-2")


async def test_NOD_10_the_preferred_type_of_address_can_be_chosen(globex: Tenant, stage: Stage) -> None:
    port = tcp(80, next_node_port())
    await globex.listen(port)
    await globex.remove_node("node-2")
    one, two = (globex.machines[name].addresses[Family.IPV4] for name in BOTH)
    await nodes.give_addresses(globex, "node-1", ("InternalIP", one), ("ExternalIP", two))
    await globex.create("web", [port])
    web = key(await globex.vip("web"), 80)
    await globex.until_served_by(web, "node-1")
    with watcher_told(stage.state, "globex", NODE_ADDRESS_TYPES="ExternalIP,InternalIP"):
        await globex.until_served_by(web, "node-2")
        await nodes.give_addresses(globex, "node-1", ("InternalIP", one))
        await globex.until_served_by(web, "node-1")


async def test_NOD_11_backends_that_were_refused_are_tried_again_for_their_service_alone(
    acme: Tenant, globex: Tenant
) -> None:
    first, second = tcp(80, next_node_port()), tcp(81, next_node_port())
    for tenant in (acme, globex):
        await tenant.listen(first, second)
        await tenant.remove_node("node-2")
        await tenant.create("web", [first])
    mine, theirs = key(await acme.vip("web"), 81), key(await globex.vip("web"), 80)
    async with acme.network.obstructed(mine, acme.machines["node-2"]):
        for tenant in (acme, globex):
            await tenant.add_node("node-2")
        await acme.patch("web", {"spec": {"ports": [first, second]}})
        await acme.reason("web", PROVISIONED, "DataplaneRejected")
        await globex.until_served_by(theirs, *BOTH)
        assert await globex.vip("web") == theirs.address
    await acme.until_served_by(mine, *BOTH)
    assert await acme.vip("web") == mine.address
