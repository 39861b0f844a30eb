"""ETP: externalTrafficPolicy, health checks and endpoints. The test says where pods are, and asks who answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.stage import nodes
from tests.stage.backends import conversation_with, is_from, serving, start_pod
from tests.stage.disclosing import disclosing
from tests.stage.health_ports import Says, health_ports
from tests.stage.slices import ENDED, ENDING, READY, UNREADY, say_pods
from tests.stage.talking import Conversation
from tests.stage.tenants import Tenant
from tests.stage.traffic import asking

LOCAL = {"externalTrafficPolicy": "Local"}
BOTH = ("node-1", "node-2")
GRACE_SECONDS = 1.0
"""How long a pod serves on after it was told to end."""
TOLERATED_LOSS = 0.01
"""Of questions while a pod moves that serves so long."""
WANTED_SHARE = 0.95
"""Of questions during a rolling update."""


@pytest.fixture
async def fresh_nodes(acme: Tenant) -> AsyncIterator[None]:
    """The next test gets nodes to which nothing was done."""
    yield
    await nodes.forget_all(acme)


async def test_ETP_1_under_cluster_every_node_is_a_backend(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": READY})
    await acme.create("web", [port], externalTrafficPolicy="Cluster")
    await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)


async def test_ETP_2_under_local_only_nodes_with_a_pod_get_traffic(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": UNREADY, "node-2": READY})
    await acme.create("web", [port], **LOCAL)
    web = key(await acme.vip("web"), 80)
    await acme.until_served_by(web, "node-2")
    await say_pods(acme, "web", {"node-1": READY})
    await acme.until_served_by(web, "node-1")
    await say_pods(acme, "web", {"node-1": READY, "node-2": READY})
    await acme.until_served_by(web, *BOTH)
    await acme.patch("web", {"spec": {"externalTrafficPolicy": "Cluster"}})
    await say_pods(acme, "web", {"node-1": READY})
    await acme.witness()
    await acme.until_served_by(web, *BOTH)


async def test_ETP_3_under_local_backends_are_told_the_clients_own_address(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": READY})
    async with disclosing(fleet, acme) as disclosure:
        await acme.create("web", [port], annotations=disclosure.annotations, ipFamilies=["IPv4"], **LOCAL)
        vip = await acme.address("web")
        await disclosure.listen(vip, 80)
        assert disclosure.words in await acme.reason("web", PROVISIONED, "Complete")
        for client in range(4):
            _, address = acme.network.client(client, Family.IPV4)
            await acme.until_answered(key(vip, 80), {f"acme node-1 {address}"}, client)
        await acme.delete("web")
        await acme.until_gone("web")


async def test_ETP_3_where_backends_are_not_told_the_service_says_so(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": READY})
    await acme.create("web", [port], **LOCAL)
    assert "backends see the balancer's address" in await acme.reason("web", PROVISIONED, "Complete")
    vip = await acme.vip("web")
    await acme.until_answered(key(vip, 80), acme.answers(Family.IPV4, ["node-1"]))


async def test_ETP_4_under_local_the_health_check_node_port_decides(acme: Tenant) -> None:
    port, health = tcp(80, next_node_port()), next_node_port()
    await acme.listen(port)
    async with health_ports(acme, health) as ports:
        await say_pods(acme, "web", {"node-1": READY, "node-2": READY})
        await acme.create("web", [port], healthCheckNodePort=health, **LOCAL)
        web = key(await acme.vip("web"), 80)
        await acme.until_served_by(web, *BOTH)
        await _until_asked(acme, lambda: all(ports[node].asked for node in BOTH))
        assert {*ports["node-1"].paths, *ports["node-2"].paths} == {"/healthz"}
        ports["node-1"].says = Says.UNHEALTHY
        await acme.until_served_by(web, "node-2")
        ports["node-1"].says = Says.HEALTHY
        await acme.until_served_by(web, *BOTH)
        ports["node-2"].says = Says.NOTHING
        await acme.until_served_by(web, "node-1")


async def test_ETP_5_a_changed_or_removed_health_check_node_port_is_followed(acme: Tenant) -> None:
    port, first, second = tcp(80, next_node_port()), next_node_port(), next_node_port()
    await acme.listen(port)
    async with health_ports(acme, first) as old, health_ports(acme, second) as new:
        old["node-1"].says = Says.UNHEALTHY
        await say_pods(acme, "web", {"node-1": READY, "node-2": READY})
        await acme.create("web", [port], healthCheckNodePort=first, **LOCAL)
        web = key(await acme.vip("web"), 80)
        await acme.until_served_by(web, "node-2")
        await acme.patch("web", {"spec": {"externalTrafficPolicy": "Cluster", "healthCheckNodePort": None}})
        await acme.until_served_by(web, *BOTH)
        await acme.patch("web", {"spec": {"healthCheckNodePort": second, **LOCAL}})
        await _until_asked(acme, lambda: all(new[node].asked > 1 for node in BOTH))
        before = [old[node].asked for node in BOTH]
        seen = [new[node].asked for node in BOTH]
        await _until_asked(acme, lambda: all(new[node].asked > n + 1 for node, n in zip(BOTH, seen, strict=True)))
        assert [old[node].asked for node in BOTH] == before
        await acme.until_served_by(web, *BOTH)


async def test_ETP_6_when_a_pod_moves_traffic_follows(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    async with serving(acme, "node-2", port):
        async with serving(acme, "node-1", port):
            await say_pods(acme, "web", {"node-1": READY})
            await acme.create("web", [port], **LOCAL)
            web = key(await acme.vip("web"), 80)
            await acme.until_served_by(web, "node-1")
            async with asking(acme, web) as tally:
                await tally.more()
                await say_pods(acme, "web", {"node-1": READY, "node-2": READY})
                await tally.more()
                await say_pods(acme, "web", {"node-1": ENDING, "node-2": READY})
                await asyncio.sleep(GRACE_SECONDS)
                await tally.more()
        async with asking(acme, web) as after:
            await after.more()
    tally.failures += after.failures
    assert tally.answers.keys() == set(BOTH)
    assert after.answers.keys() == {"node-2"}
    assert tally.share >= 1 - TOLERATED_LOSS, tally.failures


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
async def test_ETP_7_a_rolling_update_costs_few_requests(policy: str, acme: Tenant) -> None:
    """Under Cluster kube-proxy hands on what comes to a node without a pod, so node ports stay open there."""
    port = tcp(80, next_node_port())
    ports_of_pods = [port] if policy == "Local" else []
    if policy == "Cluster":
        await acme.listen(port)
    conditions = {"node-1": READY, "node-2": READY}
    pods = {node: await start_pod(acme, node, *ports_of_pods) for node in BOTH}
    await say_pods(acme, "web", conditions)
    await acme.create("web", [port], externalTrafficPolicy=policy)
    web = key(await acme.vip("web"), 80)
    await acme.until_served_by(web, *BOTH)
    async with asking(acme, web) as tally:
        for node in BOTH:
            await say_pods(acme, "web", conditions | {node: ENDING})
            await asyncio.sleep(GRACE_SECONDS)
            await pods[node].close()
            await say_pods(acme, "web", conditions | {node: ENDED})
            await tally.more()
            pods[node] = await start_pod(acme, node, *ports_of_pods)
            await say_pods(acme, "web", conditions)
            await tally.more()
    for pod in pods.values():
        await pod.close()
    assert tally.share >= WANTED_SHARE, tally.failures
    assert tally.answers.keys() == set(BOTH)


async def test_ETP_8_pods_that_end_but_serve_get_traffic_when_there_are_no_others(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": ENDING, "node-2": ENDED})
    await acme.create("web", [port], **LOCAL)
    web = key(await acme.vip("web"), 80)
    await acme.until_served_by(web, "node-1")
    await say_pods(acme, "web", {"node-1": ENDING, "node-2": READY})
    await acme.until_served_by(web, "node-2")


async def test_ETP_10_a_pod_that_is_not_ready_gets_no_new_connections(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await say_pods(acme, "web", {"node-1": READY, "node-2": READY})
    await acme.create("web", [port], **LOCAL)
    web = key(await acme.vip("web"), 80)
    async with conversation_with(acme, web, "node-1") as conversation:
        await say_pods(acme, "web", {"node-1": UNREADY, "node-2": READY})
        await acme.until_served_by(web, "node-2")
        assert is_from(await conversation.ask(), acme, "node-1")
    await say_pods(acme, "web", {"node-1": UNREADY, "node-2": UNREADY})
    await acme.until_silent(web)
    # What publishNotReadyAddresses makes of it is said by the endpoint controller: ready, though its pod is not.
    await acme.patch("web", {"spec": {"publishNotReadyAddresses": True}})
    await say_pods(acme, "web", {"node-1": {"ready": True, "serving": False, "terminating": False}})
    await acme.until_served_by(web, "node-1")


@pytest.mark.usefixtures("fresh_nodes")
async def test_ETP_11_a_node_marked_for_deletion_drains(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port])
    web = key(await acme.vip("web"), 80)
    async with conversation_with(acme, web, "node-1") as conversation:
        await nodes.begin_deletion(acme, "node-1")
        await acme.until_served_by(web, "node-2")
        assert is_from(await conversation.ask(), acme, "node-1")
        await nodes.end_deletion(acme, "node-1")
        await acme.witness()
        assert is_from(await conversation.ask(), acme, "node-1")


async def test_ETP_12_without_endpoints_nobody_answers_and_it_works_again_with_some(acme: Tenant) -> None:
    ports = [tcp(80, next_node_port()), udp(80, next_node_port())]
    await acme.listen(*ports)
    await acme.create("other", [port | {"nodePort": next_node_port()} for port in ports])
    await say_pods(acme, "web", {"node-1": READY})
    await acme.create("web", ports)
    vip = await acme.vip("web")
    keys = [key(vip, 80, protocol) for protocol in (Protocol.TCP, Protocol.UDP)]
    for each in keys:
        await acme.until_served_by(each, *BOTH)
    await say_pods(acme, "web", {})
    await acme.reason("web", SERVING, "NoReadyBackend")
    for each in keys:
        await acme.until_silent(each)
    assert await acme.address("web") == vip
    await say_pods(acme, "web", {"node-2": READY})
    assert await acme.vip("web") == vip
    for each in keys:
        await acme.until_served_by(each, *BOTH)


async def test_ETP_13_a_udp_client_reaches_the_pod_that_replaced_its_own(acme: Tenant) -> None:
    port = udp(53, next_node_port())
    await say_pods(acme, "dns", {"node-1": READY})
    async with serving(acme, "node-2", port):
        async with serving(acme, "node-1", port):
            await acme.create("dns", [port], **LOCAL)
            dns = key(await acme.vip("dns"), 53, Protocol.UDP)
            await acme.until_served_by(dns, "node-1")
            async with acme.network.conversation(dns) as conversation:
                assert is_from(await conversation.ask(), acme, "node-1")
                await say_pods(acme, "dns", {"node-1": ENDED, "node-2": READY})
                await _until_answered_from(conversation, acme, "node-2")
        await say_pods(acme, "dns", {"node-2": ENDED})
    async with acme.network.conversation(dns) as conversation:
        await _until_unanswered(conversation, acme)
        async with serving(acme, "node-2", port, generation="-anew"):
            await say_pods(acme, "dns", {"node-2": READY})
            await _until_answered_from(conversation, acme, "node-2-anew")


async def _until_answered_from(conversation: Conversation, tenant: Tenant, node: str) -> None:
    async def is_answered() -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            return is_from(await conversation.ask(1.0), tenant, node)
        return False

    await eventually(is_answered, f"an answer from {node}", tenant.patience)


async def _until_unanswered(conversation: Conversation, tenant: Tenant) -> None:
    async def is_unanswered() -> bool:
        try:
            await conversation.ask(1.0)
        except (OSError, TimeoutError):
            return True
        return False

    await eventually(is_unanswered, "silence", tenant.patience)


async def _until_asked(tenant: Tenant, condition: Callable[[], bool]) -> None:
    async def is_true() -> bool:
        return condition()

    await eventually(is_true, "questions on the health check node port", tenant.patience)
