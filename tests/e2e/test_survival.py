"""Any one process may die at any time: addresses stay, live connections do not notice, the next change is done."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from fleetlb.kube.errors import ApiError
from fleetlb_cli.demo.dialling import dial, dial_until_answered
from tests.e2e.fleet import Fleet, TenantCluster, eventually, key, next_node_port, tcp

pytestmark = pytest.mark.e2e

CONTROL = [
    "manager",
    "status",
    "tenant-watcher/acme",
    "dataplane-programmer/node-1",
    "nats",
    "etcd",
    "kube-apiserver/management",
    "kube-apiserver/acme",
    "kube-controller-manager/acme",
]


@asynccontextmanager
async def live_connection(address: str, port: int) -> AsyncIterator[None]:
    """A connection that must answer before and after the block."""
    reader, writer = await asyncio.open_connection(address, port)

    async def ask() -> bytes:
        writer.write(b"still there?\n")
        return await asyncio.wait_for(reader.readline(), 10)

    try:
        before = await ask()
        yield
        assert await ask() == before
    finally:
        writer.close()
        await writer.wait_closed()


async def _ready(fleet: Fleet) -> bool:
    async with aiohttp.ClientSession() as session:
        for process in fleet.environment.processes.values():
            if not process.http:
                continue
            try:
                async with session.get(f"{process.http}/readyz") as answer:
                    if answer.status != 200:
                        return False
            except aiohttp.ClientError:
                return False
    return True


async def _answers(tenant: TenantCluster) -> bool:
    try:
        await tenant.cluster.raw("/readyz")
    except ApiError:
        return False
    return True


@pytest.mark.parametrize("process", CONTROL)
async def test_killed(process: str, acme: TenantCluster, fleet: Fleet) -> None:
    standing, fresh = next_node_port(), next_node_port()
    await acme.serve(tcp=(standing, fresh))
    await acme.create("standing", [tcp(8080, standing)])
    address = await acme.serving("standing")
    pid = fleet.environment.processes[process].pid
    async with live_connection(address, 8080):
        await fleet.verb("kill", process)
        assert (await dial(key(address, 8080))).ok, "a new connection while the process is away"
        await eventually(lambda: _ready(fleet), "readiness of every service", 60)
        assert fleet.environment.processes[process].pid != pid
        await eventually(lambda: _answers(acme), "the tenant's API server", 60)
        await acme.create("fresh", [tcp(8081, fresh)])
        assert (await dial_until_answered(key(await acme.serving("fresh"), 8081), 10)).ok
    assert await acme.serving("standing") == address


async def test_envoy_killed_serves_again_with_the_same_addresses(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    await fleet.verb("kill", "envoy/node-1")
    assert (await dial_until_answered(key(address, 8080), 30)).ok
    assert await acme.serving("web") == address


async def test_change_made_while_the_manager_was_away_is_carried_out(acme: TenantCluster, fleet: Fleet) -> None:
    one, two = next_node_port(), next_node_port()
    await acme.serve(tcp=(one, two))
    await acme.create("old", [tcp(8080, one)])
    old = await acme.serving("old")
    await fleet.verb("stop", "manager")
    try:
        await acme.delete("old")
        await acme.create("new", [tcp(8081, two)])
        assert await acme.reason("new", "fleetlb.dev/Provisioned", "InProgress")
        assert (await dial(key(old, 8080))).ok, "nothing is undone while nobody decides"
    finally:
        await fleet.verb("start", "manager")
    assert (await dial_until_answered(key(await acme.serving("new"), 8081), 10)).ok
    await acme.until("old", lambda service: service is None, "the end of the deleted Service")


async def test_every_stream_deleted_and_nats_restarted(
    acme: TenantCluster, globex: TenantCluster, fleet: Fleet
) -> None:
    port = next_node_port()
    for tenant in (acme, globex):
        await tenant.serve(tcp=(port,))
        await tenant.create("web", [tcp(8080, port)])
    addresses = [await tenant.serving("web") for tenant in (acme, globex)]
    async with live_connection(addresses[0], 8080):
        for name in await _stream_names(fleet):
            await _delete_stream(fleet, name)
        await fleet.verb("restart", "nats")
        await eventually(lambda: _ready(fleet), "readiness of every service", 60)
        fresh = next_node_port()
        await acme.serve(tcp=(fresh,))
        await acme.create("fresh", [tcp(8082, fresh)])
        assert (await dial_until_answered(key(await acme.serving("fresh"), 8082), 10)).ok
        await globex.delete("web")
        await globex.until("web", lambda service: service is None, "a deletion carried out")
    assert await acme.serving("web") == addresses[0]


async def test_V6_a_service_deleted_before_nats_was_killed_stays_deleted(acme: TenantCluster, fleet: Fleet) -> None:
    one, two = next_node_port(), next_node_port()
    await acme.serve(tcp=(one, two))
    uid = await acme.create("old", [tcp(8080, one)])
    old = await acme.serving("old")
    await acme.patch("old", {"spec": {"ports": [tcp(8083, one)]}})  # so that something older was replaced
    assert (await dial_until_answered(key(old, 8083), 10)).ok
    await acme.delete("old")
    await acme.until("old", lambda service: service is None, "the end of the deleted Service")
    await eventually(lambda: _nothing_is_said_of(fleet, uid), "the last message about it purged", 40)
    pid = fleet.environment.processes["nats"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await acme.create("new", [tcp(8084, two)])
    assert (await dial_until_answered(key(await acme.serving("new"), 8084), 10)).ok
    assert await fleet.load_balancer("acme", uid) is None
    for port in (8080, 8083):
        assert not (await dial(key(old, port))).ok, port


async def _nothing_is_said_of(fleet: Fleet, uid: str) -> bool:
    async with fleet.hub_bus() as bus:
        streams = [name for name in await _stream_names(fleet) if "OBSERVED" in name]
        request = b'{"subjects_filter": ">"}'
        answers = [await bus.request(f"$JS.API.STREAM.INFO.{name}", request, 5) for name in streams]
    return streams != [] and not any(uid.encode() in answer for answer in answers)


async def _stream_names(fleet: Fleet) -> list[str]:
    async with fleet.hub_bus() as bus:
        answer = json.loads(await bus.request("$JS.API.STREAM.NAMES", b"{}", 5))
        return list(answer["streams"])


async def _delete_stream(fleet: Fleet, name: str) -> None:
    async with fleet.hub_bus() as bus:
        answer = json.loads(await bus.request(f"$JS.API.STREAM.DELETE.{name}", b"", 5))
        assert answer["success"], answer


async def test_restart_of_everything_at_rest_writes_nothing(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")

    async def versions() -> tuple[str, ...]:
        service = await acme.get("web")
        claim, balancer = await fleet.claim(address), await fleet.load_balancer("acme", uid)
        assert claim is not None
        assert balancer is not None
        return (
            service["metadata"]["resourceVersion"],
            claim.metadata.resource_version,
            balancer.metadata.resource_version,
        )

    await eventually(lambda: _quiet(versions), "rest")
    before = await versions()
    for process in ("tenant-watcher/acme", "manager", "dataplane-programmer/node-1", "status"):
        await fleet.verb("restart", process)
    await eventually(lambda: _ready(fleet), "readiness of every service", 60)
    assert await acme.serving("web") == address
    await eventually(lambda: _quiet(versions), "rest again")
    assert await versions() == before


async def _quiet(versions) -> bool:  # type: ignore[no-untyped-def]
    """Whether nothing was written for two seconds."""
    first = await versions()
    await asyncio.sleep(2)
    return bool(first == await versions())


async def test_logs_are_json_and_hold_no_traceback(fleet: Fleet) -> None:
    for name, process in fleet.environment.processes.items():
        if not process.http:
            continue
        for line in Path(process.log).read_text().splitlines():
            entry = json.loads(line)
            assert "exception" not in entry, f"{name}: {line[:2000]}"
            assert {"ts", "level", "msg"} <= entry.keys(), f"{name}: {line[:300]}"
