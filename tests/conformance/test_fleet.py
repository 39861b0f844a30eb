"""MUL-7 to MUL-16: the fleet as a whole: what is lost, repeated, old or odd on its way, and what others change."""

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.tenants import Tenant as TenantObject
from fleetlb.domain.addresses import Family
from fleetlb.domain.conditions import PROVISIONED, Reason
from fleetlb.domain.traces import mark_of, trace_id, unmarked
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from tests.e2e.fleet import FLEETLB, Fleet, eventually, key, next_node_port, tcp
from tests.stage import nodes
from tests.stage.doubles import paused, second
from tests.stage.drifting import lose
from tests.stage.hub import (
    PROGRAMMER,
    at_rest,
    claims_of,
    counters,
    desired_message,
    observed_message,
    report,
    reports_on,
)
from tests.stage.leaving import a_passing_tenant, confirm_removal, force_away, left_of, say_service, until_said
from tests.stage.networks import Network
from tests.stage.overhearing import Heard, overheard, said_by
from tests.stage.tenants import Tenant, tenant_of

BOTH = ("node-1", "node-2")
NEW = ("new-node-1", "new-node-2")


async def served(tenant: Tenant, name: str = "web") -> VirtualServerKey:
    """A Service that both nodes serve; what to dial."""
    port = tcp(80, next_node_port())
    await tenant.listen(port)
    await tenant.create(name, [port])
    web = key(await tenant.vip(name), 80)
    await tenant.until_served_by(web, *BOTH)
    return web


async def test_MUL_7_a_deleted_tenant_is_served_until_somebody_confirms(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    """Whoever did it by accident takes the finalizer off and makes the Tenant again, and has lost nothing."""
    web = await served(acme)
    removed = await fleet.management.get(TENANTS, "acme")
    async with acme.network.conversation(web) as conversation:
        answer = await conversation.ask()
        await fleet.management.delete(TENANTS, "acme")
        try:
            await until_said(fleet, "acme", "LoadBalancersLive", "confirm-removal=acme")
            await confirm_removal(fleet, "acme", "globex")
            await globex.witness()
            await acme.witness()
            async with fleet.without("manager"):
                pass
            await acme.witness()
            await acme.until_served_by(web, *BOTH)
            assert await fleet.claim(web.address) is not None
        finally:
            await force_away(fleet, "acme")
            again = TenantObject(metadata=ObjectMeta(name="acme"), spec=removed.spec)
            await fleet.management.apply(TENANTS, again, field_manager="fleetlb-local")
        await acme.witness()
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)
    assert await acme.vip("web") == web.address


@pytest.mark.parametrize("live", [False, True])
async def test_MUL_7_a_removed_tenant_leaves_nothing_and_takes_nothing_of_others(
    live: bool, acme: Tenant, fleet: Fleet, tmp_path: Path
) -> None:
    web = await served(acme)
    async with (
        acme.network.conversation(web) as conversation,
        a_passing_tenant(fleet, "passing", tmp_path / "passing.creds") as (account, bus),
    ):
        answer = await conversation.ask()

        async def is_claimed() -> bool:
            return len(await claims_of(fleet, "passing-web")) == 1

        if live:
            await say_service(bus, "passing-web")
            await eventually(is_claimed, "an address of the passing tenant", acme.patience)
        await fleet.management.delete(TENANTS, "passing")
        if live:
            await until_said(fleet, "passing", "LoadBalancersLive", "1 load balancers are live")
            assert await is_claimed()
            await confirm_removal(fleet, "passing", "passing")

        async def is_gone() -> bool:
            return not await left_of(fleet, "passing", account)

        async def is_cut_off() -> bool:
            return not bus.connected

        await eventually(is_gone, "the end of all that was made for the passing tenant", acme.patience)
        await eventually(is_cut_off, "the end of its connections", acme.patience)
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)
    await acme.witness()


async def test_MUL_9_a_lost_link_changes_nothing_that_serves_and_healing_converges_once(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    mine, theirs = await served(acme), await served(globex)
    uid = (await acme.get("web"))["metadata"]["uid"]
    await at_rest(fleet, "acme", uid)
    others = [tcp(number, next_node_port()) for number in (81, 82, 83)]
    await acme.listen(*others)
    (first,) = (await acme.get("web"))["spec"]["ports"]
    async with acme.network.conversation(mine) as conversation:
        before, answer = await fleet.load_balancer("acme", uid), await conversation.ask()
        async with fleet.without("nats"):
            for other in others:
                await acme.patch("web", {"spec": {"ports": [first, other]}})
            await acme.reason("web", PROVISIONED, "HubUnreachable")
            await acme.until_served_by(mine, *BOTH)
            await globex.until_served_by(theirs, *BOTH)
            assert await conversation.ask() == answer
            assert await fleet.load_balancer("acme", uid) == before
        await acme.until_served_by(key(mine.address, 83), *BOTH)
        assert await conversation.ask() == answer
    after = await fleet.load_balancer("acme", uid)
    assert before is not None
    assert after is not None
    assert after.metadata.generation == before.metadata.generation + 1
    assert await acme.vip("web") == mine.address
    for number in (81, 82):
        assert not (await acme.network.ask(key(mine.address, number), seconds=1.0)).ok


async def test_MUL_10_repeated_and_late_messages_cause_no_act(acme: Tenant, fleet: Fleet) -> None:
    web, network = await served(acme), acme.network
    uid, cluster = (await acme.get("web"))["metadata"]["uid"], await acme.cluster.uid()
    realized_subject = subjects.realized("default", "node-1", web)
    desired_subject = subjects.desired("default", web)

    async def schedule(name: str) -> Heard:
        """Change a Service in a way that costs no backend; what was said of it, until it was acknowledged."""
        async with overheard(fleet, desired_subject, realized_subject) as said:
            await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/scheduler": name}}})

            async def are_said() -> bool:
                return {subject for subject, _ in said} == {desired_subject, realized_subject}

            await eventually(are_said, "a wish and its acknowledgement", acme.patience)
        await acme.settled("web")
        return said

    said = await schedule("rr")
    await schedule("lc")
    await at_rest(fleet, "acme", uid)
    observed, desired = await observed_message(fleet, "acme", uid), await desired_message(fleet, web)
    assert observed is not None
    assert desired is not None

    async def outside() -> list[object]:
        balancer, claim = await fleet.load_balancer("acme", uid), await fleet.claim(web.address)
        return [balancer and balancer.spec, claim, await counters(fleet, PROGRAMMER, *network.write_counters)]

    before, service = await outside(), await acme.get("web")
    async with network.conversation(web) as conversation, fleet.tenant_bus("acme") as theirs, fleet.hub_bus() as hub:
        answer = await conversation.ask()
        for number in range(3):
            name = f"again-{uid}-{number}"
            await theirs.publish(subjects.local_observed_service(cluster, uid), observed, message_id=f"o-{name}")
            await hub.publish(desired_subject, desired, message_id=f"d-{name}")
            for place, (subject, body) in enumerate(said):
                await hub.publish(subject, body, message_id=f"l-{name}-{place}")
        await acme.refused_witness()
        assert await outside() == before
        assert await acme.get("web") == service
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)


async def test_MUL_10_a_wish_of_before_that_comes_last_does_not_stay(acme: Tenant, fleet: Fleet) -> None:
    """As after a long way through a bus; the next inventory shows it."""
    web = await served(acme)
    uid, cluster = (await acme.get("web"))["metadata"]["uid"], await acme.cluster.uid()
    old, other = await observed_message(fleet, "acme", uid), tcp(81, next_node_port())
    assert old is not None
    await acme.listen(other)
    await acme.patch("web", {"spec": {"ports": [other]}})
    await acme.until_served_by(key(web.address, 81), *BOTH)
    await acme.until_silent(web)
    async with fleet.tenant_bus("acme") as bus:
        await bus.publish(subjects.local_observed_service(cluster, uid), old, message_id=f"late-{uid}")
    await acme.until_served_by(web, *BOTH)
    await acme.until_silent(web)
    await acme.until_served_by(key(web.address, 81), *BOTH)
    assert await acme.vip("web") == web.address


async def test_MUL_11_of_two_managers_one_wins(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    web = await served(acme)
    (stale,) = [await desired_message(fleet, web)]
    assert stale is not None
    names = [f"web-{number}" for number in range(6)]
    async with second(fleet, "manager", IDENTITY="manager-double"):
        for tenant in (acme, globex):
            await asyncio.gather(*(tenant.create(name, [tcp(80, next_node_port())]) for name in names))
        with paused(fleet, "manager"):
            await acme.patch("web", {"spec": {"ports": [tcp(81, next_node_port())]}})
            addresses = {(tenant.name, name): await tenant.address(name) for tenant in (acme, globex) for name in names}
            await acme.until_silent(web)
        await globex.witness()
        now = {(tenant.name, name): await tenant.address(name) for tenant in (acme, globex) for name in names}
        assert now == addresses
        assert len({*now.values(), web.address}) == len(now) + 1
        for address in now.values():
            claim = await fleet.claim(address)
            assert claim is not None
            assert claim.spec.phase is ClaimPhase.BOUND
        async with fleet.hub_bus() as hub:
            await hub.publish(subjects.desired("default", web), stale, message_id=f"stale-{web}")
        await globex.witness()
        assert not (await acme.network.ask(web, seconds=1.0)).ok
    await acme.witness()


async def test_MUL_11_of_two_programmers_one_wins(acme: Tenant, fleet: Fleet) -> None:
    web = await served(acme)
    async with acme.network.conversation(web) as conversation:
        answer = await conversation.ask()
        async with second(fleet, PROGRAMMER) as double:
            status, said = await double.until_ended()
        assert status != 0
        assert "state" in said
        await acme.witness()
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)


async def test_MUL_13_dots_long_names_and_unicode_break_nothing(fleet: Fleet, network: Network) -> None:
    long_node = ".".join(["n" * 62] * 4) + "x"
    assert len(long_node) == 252
    async with tenant_of(fleet, "acme", "n" * 63, network) as acme:
        try:
            port = tcp(80, next_node_port()) | {"name": "p" * 15}
            await acme.listen(port)
            notes = {"example.com/note": "für Zoë 🚀 *.> fleetlb.v1.observed.>", f"example.com/{'a' * 63}": "\n"}
            async with overheard(fleet, "fleetlb.v1.observed.>") as said:
                uid = await acme.create("w" * 63, [port], annotations=notes)
                web = key(await acme.vip("w" * 63), 80)
                await acme.until_served_by(web, *BOTH)
            assert {subject for subject, _ in said if uid in subject} == {
                await said_by(fleet, "acme", f"service.{uid}")
            }
            assert not any("w" * 63 in subject or "*" in subject for subject, _ in said)
            await acme.remove_node("node-2")
            await nodes.join(acme, long_node, ("InternalIP", acme.machines["node-2"].addresses[Family.IPV4]))
            await acme.until_served_by(web, *BOTH)
            odd = {"fleetlb.dev/hostname": "bücher.example", "fleetlb.dev/pool": "🚀"}
            await acme.create("odd", [tcp(80, next_node_port())], annotations=odd)
            await acme.reason("odd", PROVISIONED, "InvalidWish")
        finally:
            await nodes.forget_all(acme)


async def test_MUL_14_messages_of_older_and_newer_watchers_are_understood(acme: Tenant, fleet: Fleet) -> None:
    """They speak of a cluster of their own, whose nodes are acme's machines."""
    cluster, uid = "cluster-of-another-time", "service-of-another-time"
    ports = [next_node_port(), next_node_port()]
    await acme.listen(tcp(80, ports[0]))
    await acme.listen(tcp(80, ports[1]), called="new-")
    addresses = [[*acme.machines[node].addresses.values()] for node in BOTH]
    told = [{"name": node, "addresses": texts} for node, texts in zip(BOTH, addresses, strict=True)]
    kind = "dev.fleetlb.v1.{}"

    def older() -> Any:
        wish = {"namespace": "old", "name": "web", "ports": [{"port": 80, "nodePort": ports[0]}]}
        return {"type": kind.format("service_observed"), "digest": "1", "wish": "1", "service": wish}

    def newer() -> Any:
        port = {"port": 80, "nodePort": ports[1], "futurePort": {"deep": [1]}}
        wish = {"namespace": "old", "name": "web", "ports": [port], "futureWish": "x", "ipFamilies": ["IPv4"]}
        service = {"type": kind.format("service_observed"), "digest": "2", "wish": "2", "service": wish}
        return service | {"futureEnvelope": {"a": 1}, "endpoints": {"ready": True, "futureEndpoints": [{}]}}

    async with fleet.tenant_bus("acme") as bus:

        async def say(subject: str, body: Any, name: str) -> None:
            await bus.publish(subject, msgspec.json.encode(body), message_id=f"{name}-{ports[0]}")

        await say(
            subjects.local_observed_nodes(cluster), {"type": kind.format("nodes_observed"), "nodes": told}, "nodes"
        )
        about = subjects.local_observed_service(cluster, uid)
        await say(about, older(), "older")
        found: list[str] = []

        async def has_address() -> bool:
            balancer = await fleet.load_balancer("acme", uid)
            found[:] = balancer.spec.addresses if balancer else ()
            return bool(found)

        await eventually(has_address, "an address for an older watcher's Service", acme.patience)
        await acme.until_served_by(key(found[0], 80), *BOTH)
        await say(about, newer(), "newer")

        await acme.until_served_by(key(found[0], 80), *NEW)
        await say(about, {"type": kind.format("service_observed"), "digest": "3"}, "gone")

        async def is_gone() -> bool:
            return await fleet.load_balancer("acme", uid) is None

        await eventually(is_gone, "the end of that Service", acme.patience)
    await fleet.management.delete(TENANT_CLUSTERS, cluster, "tenant-acme")


async def test_MUL_14_a_report_of_a_newer_hub_is_understood(acme: Tenant, fleet: Fleet) -> None:
    uid = await acme.create("web", [tcp(80, next_node_port())])
    await acme.address("web")
    async with reports_on(fleet, "acme", uid) as reports:
        await acme.patch("web", {"spec": {"ports": [tcp(81, next_node_port())]}})
        await acme.until_heard(reports)
        await acme.witness()
        newest = msgspec.json.decode(reports[-1])
    for condition in newest["conditions"]:
        condition |= {"message": "from a newer hub", "futureField": [1]}
    for ingress in newest["ingress"]:
        ingress["futureField"] = {}
    newest |= {"revision": newest["revision"] + 1, "futureField": {"deep": True}}
    await report(fleet, "acme", uid, msgspec.json.encode(newest))

    def says_so(_: object) -> bool:
        service = acme.board.get("web")
        return service is not None and {unmarked(c.message) for c in service.status.conditions} == {"from a newer hub"}

    await acme.until("web", says_so, "the words of a newer hub")


async def test_MUL_16_what_others_took_from_the_data_plane_is_mended(acme: Tenant, fleet: Fleet) -> None:
    web, beside = await served(acme), await served(acme, "beside")
    await lose(fleet, acme.network, web)
    await acme.until_served_by(web, *BOTH)
    await acme.until_served_by(beside, *BOTH)
    assert (await acme.vip("web"), await acme.vip("beside")) == (web.address, beside.address)


@pytest.mark.parametrize("what", ["load balancer", "claim", "nodes", "message"])
async def test_MUL_16_what_others_took_from_the_hub_is_mended(what: str, acme: Tenant, fleet: Fleet) -> None:
    web, cluster = await served(acme), await acme.cluster.uid()
    uid = (await acme.get("web"))["metadata"]["uid"]
    async with acme.network.conversation(web) as conversation:
        answer = await conversation.ask()
        if what == "load balancer":
            await fleet.management.delete(LOAD_BALANCERS, uid, "tenant-acme")
        elif what == "claim":
            await fleet.management.delete(ADDRESS_CLAIMS, web.address)
        elif what == "nodes":
            await fleet.management.delete(TENANT_CLUSTERS, cluster, "tenant-acme")
        else:
            async with fleet.hub_bus() as hub:
                await hub.purge_subject("FLEETLB_DESIRED_default", subjects.desired("default", web))
                # A message that is lost leaves no trace; who is told of every key anew finds that it is missing.
                await fleet.verb("restart", "manager")

        async def is_back() -> bool:
            with contextlib.suppress(NotFound):
                item = await fleet.management.get(TENANT_CLUSTERS, cluster, "tenant-acme")
                is_whole = {node.name for node in item.spec.nodes} >= {*BOTH}
                claimed = [claim.spec.address for claim in await claims_of(fleet, uid)] == [web.address]
                balancer = await fleet.load_balancer("acme", uid)
                has_message = await desired_message(fleet, web) is not None
                return is_whole and claimed and balancer is not None and has_message
            return False

        await eventually(is_back, f"a {what} that is back", acme.patience)
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)
    assert await acme.vip("web") == web.address


async def test_MUL_15_each_change_has_a_trace_of_its_own_and_can_be_explained(acme: Tenant, fleet: Fleet) -> None:
    """The same id wherever people look: conditions, Events, the object in the hub, and the command that explains."""
    web = await served(acme)
    created = await _trace_of(acme, fleet, serves=True)

    async def is_in_event() -> bool:
        events = await acme.events("web")
        return created in [mark_of(event["message"]) for event in events if event["reason"] == "EnsuredLoadBalancer"]

    await eventually(is_in_event, "an Event with the trace", acme.patience)
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/addresses": "203.0.113.250"}}})
    await acme.reason("web", PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
    refused = await _trace_of(acme, fleet, serves=False)
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/addresses": None}}})
    await acme.reason("web", PROVISIONED, Reason.COMPLETE)
    mended = await _trace_of(acme, fleet, serves=True)
    assert len({created, refused, mended}) == 3
    await acme.until_served_by(web, *BOTH)


async def _trace_of(tenant: Tenant, fleet: Fleet, *, serves: bool) -> str:
    """The trace id that a Service shows, which its object and `fleetlb why` must show too."""
    body = await tenant.get("web")
    trace = next(mark_of(c["message"]) for c in body["status"]["conditions"] if c["type"] == PROVISIONED)
    assert trace
    item = await fleet.load_balancer(tenant.name, body["metadata"]["uid"])
    assert item is not None
    assert trace_id(item.spec.trace) == trace
    await at_rest(fleet, tenant.name, body["metadata"]["uid"])
    name = f"{tenant.name}/{tenant.namespace}/web"
    command = [FLEETLB, "why", "svc", name, "--state", str(fleet.state), "-o", "json"]
    answer = await asyncio.to_thread(subprocess.run, command, text=True, capture_output=True, timeout=120)
    (told,) = json.loads(answer.stdout)
    assert (answer.returncode, told["serving"]) == (0 if serves else 1, serves), told
    assert serves or told["reason"] == Reason.ADDRESS_NOT_ALLOWED
    return trace
