"""Faults made by hand on a whole fleet, each of which `fleetlb why` must name; and what it says when all is well."""

import asyncio
import json
import subprocess

import pytest

from fleetlb.contracts.object_meta import GROUP
from fleetlb.domain.conditions import SERVING
from fleetlb.domain.traces import mark_of
from fleetlb.explaining.explanations import Explanation, explain
from fleetlb.explaining.steps import Stage
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb.kube.resources import NODES
from fleetlb_cli.naming import Wanted
from fleetlb_cli.reaching import connected, find_target
from fleetlb_cli.why.looking import look
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage.pools import pool_for

pytestmark = pytest.mark.e2e

MANAGER, STATUS, PROGRAMMER, WATCHER = "manager", "status", "dataplane-programmer/node-1", "tenant-watcher/acme"


async def explained(fleet: Fleet, tenant: TenantCluster, name: str = "web") -> Explanation:
    """What is said of a Service now."""
    target = find_target(None, None, None, fleet.state)
    async with connected(target, "e2e") as (cluster, bus):
        (seen,) = await look(cluster, bus, target, Wanted(tenant.name, tenant.namespace, name), "fleetlb-system")
    return explain(seen)


async def blamed(fleet: Fleet, tenant: TenantCluster, stage: Stage, reason: str) -> Explanation:
    """Wait until a Service's trouble is named like this, and what to do with it."""
    found: list[Explanation] = []

    async def is_named() -> bool:
        found.append(await explained(fleet, tenant))
        return (found[-1].stage, found[-1].reason) == (stage, reason)

    try:
        await eventually(is_named, f"{stage}: {reason}")
    except AssertionError as problem:
        raise AssertionError(f"{problem}; it was {found[-1]}") from None
    assert found[-1].cure, "it says what to do"
    return found[-1]


async def one_service(acme: TenantCluster, **more: object) -> int:
    """A Service whose backends answer; its node port."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)], **more)
    return port


async def ask(fleet: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`fleetlb …` about this fleet."""
    command = [FLEETLB, *arguments, "--state", str(fleet.state)]
    return await asyncio.to_thread(subprocess.run, command, text=True, capture_output=True, timeout=60)


async def test_MUL_15_what_serves_is_said_to_serve_with_its_trace(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme)
    address = await acme.serving("web")
    status = (await acme.get("web"))["status"]
    trace = next(mark_of(c["message"]) for c in status["conditions"] if c["type"] == SERVING)
    name = f"acme/{acme.namespace}/web"

    async def is_judged() -> bool:
        return (await explained(fleet, acme)).serving

    await eventually(is_judged, "a verdict in the hub")
    answer = await ask(fleet, "why", "svc", name, "-o", "json")
    assert answer.returncode == 0, answer
    (told,) = json.loads(answer.stdout)
    assert (told["service"], told["stage"], told["trace"]) == (name, "serving", trace)
    assert told["given"]["addresses"] == address
    shown = await ask(fleet, "why", "svc", f"{acme.namespace}/web")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, f"{name}: serving")
    assert trace in shown.stdout
    journey = await ask(fleet, "trace", "svc", name, "-o", "json")
    (told,) = json.loads(journey.stdout)
    assert (journey.returncode, told["trace"]) == (0, trace)
    stations = [passage["station"] for passage in told["stations"]]
    assert stations == ["watch", "publish", "decide", "claim", "program", "acknowledge", "probe"]
    assert all(passage["tookMs"] >= 0 for passage in told["stations"])


async def test_a_name_that_nobody_has(fleet: Fleet, acme: TenantCluster) -> None:
    await blamed(fleet, acme, Stage.TENANT, "NotFound")
    answer = await ask(fleet, "why", "svc", f"acme/{acme.namespace}/web")
    assert answer.returncode == 1
    nobody = await ask(fleet, "why", "svc", "nowhere/web")
    assert (nobody.returncode, nobody.stdout) == (1, "")


async def test_a_service_of_another_type_or_class(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.create("web", [tcp(8080, port)], type="NodePort")
    await blamed(fleet, acme, Stage.TENANT, "NotALoadBalancer")
    await acme.delete("web")
    await acme.create("web", [tcp(8080, port)], loadBalancerClass="example.org/other")
    await blamed(fleet, acme, Stage.TENANT, "OtherClass")


async def test_a_wish_that_the_watcher_refuses(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme, annotations={f"{GROUP}/drain-seconds": "soon"})
    found = await blamed(fleet, acme, Stage.WATCHER, "InvalidWish")
    assert "drain-seconds" in found.message
    assert found.since


async def test_an_address_that_is_no_address_of_a_pool(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme, annotations={f"{GROUP}/addresses": "198.51.100.7"})
    await blamed(fleet, acme, Stage.MANAGER, "AddressNotAllowed")


async def test_a_pool_that_is_full(fleet: Fleet, acme: TenantCluster) -> None:
    base = fleet.environment.pools["default"].cidr.rsplit(".", 2)[0]
    async with pool_for(fleet, acme, "single", f"{base}.255.254-{base}.255.254") as wish:
        await acme.create("first", [tcp(8080, next_node_port())], annotations=wish)
        await acme.address("first")
        await one_service(acme, annotations=wish)
        found = await blamed(fleet, acme, Stage.MANAGER, "PoolExhausted")
        assert "single" in found.message


async def test_a_quota_that_is_used_up(fleet: Fleet, acme: TenantCluster) -> None:
    await _quota(fleet, 0)
    try:
        await one_service(acme)
        found = await blamed(fleet, acme, Stage.MANAGER, "QuotaExceeded")
        assert "0 of 0 used" in found.message
    finally:
        await _quota(fleet, None)
    await acme.serving("web")


async def _quota(fleet: Fleet, load_balancers: int | None) -> None:
    body = {"spec": {"quotas": {"loadBalancers": load_balancers}}}
    await fleet.management.patch(TENANTS, "acme", body, kind=PatchKind.MERGE)


async def test_no_backend_is_ready(fleet: Fleet, acme: TenantCluster) -> None:
    await acme.endpoints("web", {"node-1": False})
    await one_service(acme)
    found = await blamed(fleet, acme, Stage.BACKENDS, "NoReadyBackend")
    assert found.given["endpoints"] == "ready: false"


async def test_no_node_may_be_used(fleet: Fleet, acme: TenantCluster) -> None:
    await _exclude_nodes(acme, "")
    try:
        await one_service(acme)
        await blamed(fleet, acme, Stage.BACKENDS, "NoEligibleNode")
    finally:
        await _exclude_nodes(acme, None)
    await acme.serving("web")


async def _exclude_nodes(acme: TenantCluster, label: str | None) -> None:
    body = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": label}}}
    for node in acme.nodes:
        await acme.cluster.patch(NODES, node, body, kind=PatchKind.MERGE)


async def test_no_backend_answers(fleet: Fleet, acme: TenantCluster) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    found = await blamed(fleet, acme, Stage.BACKENDS, "ProbeUnanswered")
    assert found.given["node"] == "node-1"


async def test_a_port_that_the_node_cannot_have(fleet: Fleet, acme: TenantCluster) -> None:
    port = await one_service(acme)
    address = await acme.serving("web")
    holder = await asyncio.start_server(lambda *_: None, address, 8081)
    async with holder:
        await acme.patch("web", {"spec": {"ports": [tcp(8081, port)]}})
        await blamed(fleet, acme, Stage.NODE, "DataplaneRejected")


async def test_a_node_that_says_nothing(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without(PROGRAMMER):
        await one_service(acme)
        found = await blamed(fleet, acme, Stage.NODE, "NotAcknowledged")
        assert found.given["node"] == "node-1"
    await acme.serving("web")
    async with fleet.without(PROGRAMMER):
        await acme.delete("web")
        found = await blamed(fleet, acme, Stage.NODE, "ReleasePending")
        assert found.given["waits for"] == "node-1"


async def test_nobody_decides(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without(MANAGER):
        await one_service(acme)
        await blamed(fleet, acme, Stage.MANAGER, "NoManager")


async def test_nobody_judges(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without(STATUS):
        await one_service(acme)
        await blamed(fleet, acme, Stage.STATUS, "NoStatusService")


async def test_nobody_watches(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without(WATCHER):
        await one_service(acme)
        await blamed(fleet, acme, Stage.WATCHER, "NotObserved")


async def test_what_was_granted_is_not_shown(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme)
    await acme.serving("web")
    async with fleet.without(WATCHER):
        await acme.patch("web", {"status": {"loadBalancer": {"ingress": None}}}, subresource="status")
        await blamed(fleet, acme, Stage.WATCHER, "NotShown")


async def test_a_suspended_tenant(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme)
    await acme.serving("web")
    suspended = {"spec": {"suspended": True}}
    await fleet.management.patch(TENANTS, "acme", suspended, kind=PatchKind.MERGE)
    try:
        await blamed(fleet, acme, Stage.MANAGER, "TenantSuspended")
    finally:
        await fleet.management.patch(TENANTS, "acme", {"spec": {"suspended": False}}, kind=PatchKind.MERGE)


async def test_a_hub_that_cannot_be_looked_at(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without("nats"):
        answer = await ask(fleet, "why", "svc", f"acme/{acme.namespace}/web")
    assert (answer.returncode, answer.stdout) == (3, "")
    assert "the fleet cannot be looked at: NATS at" in answer.stderr
