"""Bad input and hostile tenants: a clear refusal for the one concerned, nothing for everybody else."""

import asyncio
import base64
import json
import re
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET, Tenant, TenantSpec
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import Invalid, NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, LOAD_BALANCERS, TENANTS
from fleetlb.kube.resources import SECRETS
from fleetlb.runtime.bus import TooLarge
from fleetlb_cli.demo.dialling import dial_until_answered
from tests.e2e.fleet import Fleet, TenantCluster, eventually, key, next_node_port, tcp

pytestmark = pytest.mark.e2e

REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], str, str]] = {
    "scheduler not served": ({}, {"fleetlb.dev/scheduler": "sh"}, "Unsupported", "fleetlb.dev/scheduler: sh"),
    "unknown scheduler": ({}, {"fleetlb.dev/scheduler": "fastest"}, "InvalidWish", "fleetlb.dev/scheduler: 'fastest'"),
    "malformed address": ({}, {"fleetlb.dev/addresses": "not-an-ip"}, "InvalidWish", "fleetlb.dev/addresses"),
    "unknown annotation": ({}, {"fleetlb.dev/sharing": "x"}, "Unsupported", "fleetlb.dev/sharing"),
    "address outside every pool": ({}, {"fleetlb.dev/addresses": "127.1.2.3"}, "AddressNotAllowed", "127.1.2.3"),
    "unknown pool": ({}, {"fleetlb.dev/pool": "nowhere"}, "AddressNotAllowed", "nowhere"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_wish_says_field_and_reason_and_is_served_once_mended(case: str, acme: TenantCluster) -> None:
    spec, annotations, reason, named = REFUSED[case]
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)], annotations=annotations, **spec)
    assert named in await acme.reason("web", PROVISIONED, reason)
    assert await acme.reason("web", SERVING, reason)
    mended = {"metadata": {"annotations": dict.fromkeys(annotations)}, "spec": dict.fromkeys(spec)}
    await acme.patch("web", mended)
    assert (await dial_until_answered(key(await acme.serving("web"), 8080), 10)).ok


async def test_a_malformed_source_range_never_gets_past_the_api_server(acme: TenantCluster) -> None:
    port = next_node_port()
    with pytest.raises(Invalid, match=r"10\.0\.0\.0/99"):
        await acme.create("web", [tcp(8080, port)], loadBalancerSourceRanges=["10.0.0.0/99"])
    annotations = {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/99"}
    with pytest.raises(Invalid, match=r"10\.0\.0\.0/99"):
        await acme.create("web", [tcp(8080, port)], annotations=annotations)


async def test_refused_while_serving_keeps_what_was_granted(acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/scheduler": "sh"}}})
    assert "fleetlb.dev/scheduler: sh" in await acme.reason("web", PROVISIONED, "Unsupported")
    assert (await dial_until_answered(key(address, 8080), 5)).ok
    assert await acme.address("web") == address


async def test_an_address_in_use_is_refused_and_given_once_free(acme: TenantCluster, globex: TenantCluster) -> None:
    port = next_node_port()
    for tenant in (acme, globex):
        await tenant.serve(tcp=(port,))
    await acme.create("owner", [tcp(8080, port)])
    address = await acme.serving("owner")
    wish = {"fleetlb.dev/addresses": address}
    await globex.create("wanting", [tcp(8080, port)], annotations=wish)
    message = await globex.reason("wanting", PROVISIONED, "AddressInUse")
    assert "acme" not in message, "a refusal names no other tenant"
    await acme.delete("owner")
    assert await globex.serving("wanting") == address


async def test_pool_exhausted_waits_with_a_reason_and_the_oldest_is_served_first(
    acme: TenantCluster, fleet: Fleet
) -> None:
    cidr = fleet.environment.pools["default"].cidr
    base = cidr.rsplit(".", 1)[0].rsplit(".", 1)[0]
    # An address of the same /16 that no fleet's default pool (a /20 at its beginning) holds.
    pool = AddressPool(
        metadata=ObjectMeta(name="tiny"),
        spec=AddressPoolSpec(addresses=(f"{base}.255.253-{base}.255.253",), auto_assign=False, quarantine_seconds=1),
    )
    await fleet.management.apply(ADDRESS_POOLS, pool)
    await _grant_pools(fleet, "acme", ["default", "tiny"])
    try:
        ports = [next_node_port() for _ in range(3)]
        await acme.serve(tcp=tuple(ports))
        wish = {"fleetlb.dev/pool": "tiny"}
        await acme.create("first", [tcp(8080, ports[0])], annotations=wish)
        address = await acme.serving("first")
        await acme.create("second", [tcp(8080, ports[1])], annotations=wish)
        assert "tiny" in await acme.reason("second", PROVISIONED, "PoolExhausted")
        await asyncio.sleep(1.1)  # creationTimestamps are whole seconds
        await acme.create("third", [tcp(8080, ports[2])], annotations=wish)
        await acme.reason("third", PROVISIONED, "PoolExhausted")
        await acme.delete("first")
        assert await acme.serving("second") == address
        await acme.reason("third", PROVISIONED, "PoolExhausted")

        async def counted() -> bool:
            counts = (await fleet.management.get(ADDRESS_POOLS, "tiny")).status.ipv4
            return (counts.total, counts.used, counts.free) == (1, 1, 0)

        await eventually(counted, "the pool's counts")
    finally:
        await acme.clean()
        await _grant_pools(fleet, "acme", ["default"])
        await fleet.management.delete(ADDRESS_POOLS, "tiny")


async def _grant_pools(fleet: Fleet, tenant: str, pools: list[str]) -> None:
    await fleet.management.patch(TENANTS, tenant, {"spec": {"pools": pools}}, kind=PatchKind.MERGE)


GARBAGE = {
    "garbage": b"\x00\xff\xfegarbage",
    "truncated": b'{"type":"dev.fleetlb.v1.service_observed","digest":"ab',
    "nested": b'{"type":"dev.fleetlb.v1.service_observed","digest":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "unknown version": b'{"type":"dev.fleetlb.v9.service_observed","digest":"a"}',
    "wrong type": b'{"type":"dev.fleetlb.v1.service_observed","digest":"a","service":{"namespace":7}}',
}


async def _parked(fleet: Fleet) -> float:
    url = fleet.environment.processes["manager"].http
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    return sum(float(n) for n in re.findall(r"^fleetlb_parked_messages_total\{[^}]*\} (\S+)$", text, re.MULTILINE))


@pytest.mark.parametrize("case", GARBAGE)
async def test_unreadable_messages_are_parked_and_counted_and_others_go_on(
    case: str, acme: TenantCluster, globex: TenantCluster, fleet: Fleet
) -> None:
    before = await _parked(fleet)
    cluster = fleet.environment.tenants["acme"].cluster_uid
    async with fleet.tenant_bus("acme") as bus:
        await bus.publish(f"observed.{cluster}.service.garbage", GARBAGE[case], message_id=f"garbage-{case}")

    async def parked() -> bool:
        return await _parked(fleet) > before

    await eventually(parked, "a parked message")
    for tenant in (acme, globex):
        port = next_node_port()
        await tenant.serve(tcp=(port,))
        await tenant.create("witness", [tcp(8080, port)])
        await tenant.serving("witness")


async def test_an_oversized_message_is_refused_and_says_so(fleet: Fleet) -> None:
    cluster = fleet.environment.tenants["acme"].cluster_uid
    async with fleet.tenant_bus("acme") as bus:
        with pytest.raises((TooLarge, Transient)):
            await bus.publish(f"observed.{cluster}.service.big", b"x" * 300_000, message_id="big")
    account = (await fleet.management.get(TENANTS, "acme")).status.account
    wanted = json.dumps({"last_by_subj": f"fleetlb.v1.observed.{account}.{cluster}.service.big"}).encode()
    async with fleet.hub_bus() as hub:
        answer = json.loads(await hub.request(f"$JS.API.STREAM.MSG.GET.FLEETLB_OBSERVED_{account}", wanted, 5))
    assert answer["error"]["code"] == 404, answer


async def test_a_tenant_cannot_publish_to_another_tenants_subjects(fleet: Fleet) -> None:
    globex = await fleet.management.get(TENANTS, "globex")
    cluster = fleet.environment.tenants["globex"].cluster_uid
    stream = f"FLEETLB_OBSERVED_{globex.status.account}"
    subject = f"fleetlb.v1.observed.{globex.status.account}.{cluster}.service.forged"
    async with fleet.hub_bus() as hub, fleet.tenant_bus("acme") as bus:
        with pytest.raises(Transient):
            await bus.publish(subject, b"{}", message_id="forged")
        await bus.notify(subject, b"{}")
        with pytest.raises(Transient):
            await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", 1)
        names = json.loads(await hub.request("$JS.API.STREAM.NAMES", b"{}", 5))["streams"]
        assert stream in names, "the stream that was asked for must exist, or the refusals above prove nothing"
        wanted = json.dumps({"last_by_subj": subject}).encode()
        answer = json.loads(await hub.request(f"$JS.API.STREAM.MSG.GET.{stream}", wanted, 5))
        assert "error" in answer, "the forged message was stored"


async def test_a_tenant_with_an_overlapping_or_invalid_range_is_not_served_and_others_are(
    fleet: Fleet, acme: TenantCluster
) -> None:
    with pytest.raises(Invalid, match="nodeCIDRs"):
        await fleet.management.apply(
            TENANTS, Tenant(metadata=ObjectMeta(name="broken"), spec=TenantSpec(node_cidrs=("300.1.2.3/40",)))
        )
    inside = fleet.environment.tenants["acme"].node_cidr
    thief = Tenant(metadata=ObjectMeta(name="thief"), spec=TenantSpec(node_cidrs=(inside,)))
    await fleet.management.apply(TENANTS, thief)
    try:

        async def refused() -> bool:
            status = (await fleet.management.get(TENANTS, "thief")).status
            return any(c.type == "Ready" and c.status == "False" and c.reason == "Overlap" for c in status.conditions)

        await eventually(refused, "Ready=False with reason Overlap")
        port = next_node_port()
        await acme.serve(tcp=(port,))
        await acme.create("web", [tcp(8080, port)])
        await acme.serving("web")
    finally:
        await fleet.management.delete(TENANTS, "thief")


async def test_a_tenant_created_while_everything_runs_gets_credentials_that_work(fleet: Fleet, tmp_path: Path) -> None:
    late = Tenant(metadata=ObjectMeta(name="late"), spec=TenantSpec(node_cidrs=("127.250.0.0/16",)))
    await fleet.management.apply(TENANTS, late)
    found: dict[str, Any] = {}

    async def minted() -> bool:
        try:
            secret = await fleet.management.get(SECRETS, WATCHER_CREDENTIALS_SECRET, "tenant-late")
            found.update(secret)
        except NotFound:
            return False
        return True

    await eventually(minted, "credentials of the new tenant")
    creds = tmp_path / "late.creds"
    creds.write_bytes(base64.b64decode(found["data"][WATCHER_CREDENTIALS_KEY]))
    try:
        async with fleet.bus(str(creds)) as bus:

            async def stored() -> bool:
                body = b'{"type":"dev.fleetlb.v1.nodes_observed","nodes":[]}'
                try:
                    ack = await bus.publish("observed.c1.nodes", body, message_id="n1")
                except Transient:
                    return False
                account = (await fleet.management.get(TENANTS, "late")).status.account
                return ack.stream == f"FLEETLB_OBSERVED_{account}"

            await eventually(stored, "a message in the new tenant's own stream")
    finally:
        await fleet.management.delete(TENANTS, "late")


async def test_a_port_that_the_balancer_node_cannot_bind_says_so(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    taken = socket.create_server((address, 9090))
    try:
        await acme.patch("web", {"spec": {"ports": [tcp(8080, port), tcp(9090, port + 500)]}})
        assert "in use" in (await acme.reason("web", PROVISIONED, "DataplaneRejected")).lower()
        assert (await dial_until_answered(key(address, 8080), 5)).ok, "the other port goes on"
    finally:
        taken.close()


async def test_status_cleared_by_somebody_is_repaired(acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    await acme.patch("web", {"status": {"loadBalancer": {"ingress": None}, "conditions": None}}, "status")
    await acme.until("web", lambda service: service is not None and not service.vip, "the cleared status")
    assert await acme.serving("web") == address


async def test_a_load_balancer_deleted_by_hand_comes_back_with_its_address(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    first = await fleet.load_balancer("acme", uid)
    assert first is not None
    await fleet.management.delete(LOAD_BALANCERS, uid, "tenant-acme")

    async def back() -> bool:
        again = await fleet.load_balancer("acme", uid)
        return again is not None and again.metadata.uid != first.metadata.uid and again.spec.addresses == (address,)

    await eventually(back, "the LoadBalancer with the same address")
    assert (await dial_until_answered(key(address, 8080), 5)).ok
    assert await acme.serving("web") == address
