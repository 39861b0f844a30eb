"""`fleetlb audit` on a live fleet: sound as it is, and what somebody spoils behind its back is named."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.domain.virtual_servers import RealServer
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, ADDRESS_POOLS
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually, key, next_node_port, tcp
from tests.stage.hub import GROUP, desired_message

pytestmark = pytest.mark.e2e

NOTHING_FOUND, FOUND, USAGE, BLIND = 0, 1, 2, 3


async def audit(state: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code of an audit and what it says."""
    command = [FLEETLB, "audit", "--state", str(state), "--settle", "1", "--output", "json", *options]
    outcome = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    return outcome.returncode, json.loads(outcome.stdout)


async def served(tenant: TenantCluster, name: str = "web") -> str:
    """A Service that serves; its address."""
    port = tcp(80, next_node_port())
    await tenant.serve(tcp=(port["nodePort"],))
    await tenant.create(name, [port])
    return await tenant.serving(name)


async def test_a_live_fleet_is_sound_and_what_is_spoilt_behind_its_back_is_named(
    fleet: Fleet, acme: TenantCluster
) -> None:
    address = await served(acme)
    code, said = await audit(fleet.state)
    assert (code, said["findings"]) == (NOTHING_FOUND, [])
    assert said["lookedAt"]["load balancers"] >= 1
    async with fleet.without("manager", "dataplane-programmer/node-1"):
        await spoil(fleet, address)
        code, said = await audit(fleet.state)
    assert code == FOUND
    found = {(finding["invariant"], finding["about"]) for finding in said["findings"]}
    assert {("T2", f"{address}:80/tcp"), ("A6", "pool default"), ("A1", f"acme/{acme.namespace}/web")} <= found

    async def is_sound() -> bool:
        return (await audit(fleet.state))[0] == NOTHING_FOUND

    await eventually(is_sound, "a fleet that has healed", 60)


async def test_an_address_that_is_shared_is_sound_and_a_port_that_is_given_twice_is_named(
    fleet: Fleet, acme: TenantCluster
) -> None:
    addresses = set()
    for name, number in (("web", 80), ("api", 443)):
        port = tcp(number, next_node_port())
        await acme.serve(tcp=(port["nodePort"],))
        await acme.create(name, [port], annotations={"fleetlb.dev/sharing-key": "ours"})
        addresses.add(await acme.serving(name))
    (address,) = addresses
    code, said = await audit(fleet.state)
    assert (code, said["findings"]) == (NOTHING_FOUND, [])
    claim = await fleet.claim(address)
    assert claim is not None
    (sharer,) = claim.spec.sharers
    async with fleet.without("manager"):
        spoilt = [msgspec.to_builtins(replace(sharer, ports=("443/TCP", "80/TCP")))]
        await fleet.management.patch(ADDRESS_CLAIMS, address, {"spec": {"sharers": spoilt}}, kind=PatchKind.MERGE)
        code, said = await audit(fleet.state)
        assert code == FOUND
        assert ("A1", f"{address} 80/TCP") in {(each["invariant"], each["about"]) for each in said["findings"]}

    async def is_sound() -> bool:
        return (await audit(fleet.state))[0] == NOTHING_FOUND

    await eventually(is_sound, "a fleet that has healed", 60)
    assert await fleet.claim(address) is not None
    assert await acme.serving("web") == await acme.serving("api") == address


async def spoil(fleet: Fleet, address: str) -> None:
    """An address that its owner has not claimed any more, counts that are wrong, a wish for somebody else's node."""
    wish = codec.decode(VirtualServerDesired, await desired_message(fleet, key(address, 80)) or b"")
    assert wish.server is not None
    elsewhere = replace(wish.server, real_servers=(RealServer("10.99.0.1", 30080),))
    async with fleet.hub_bus() as bus:
        forged = codec.encode(replace(wish, revision=wish.revision + 1, server=elsewhere))
        await bus.publish(subjects.desired(GROUP, wish.key), forged, message_id="forged")
    await fleet.management.delete(ADDRESS_CLAIMS, address)
    counts = {"status": {"ipv4": {"used": 77}}}
    await fleet.management.patch(ADDRESS_POOLS, "default", counts, kind=PatchKind.MERGE, subresource="status")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], USAGE, "say where the fleet is"),
        (["--state", "/nonexistent"], USAGE, "no fleet is up in /nonexistent"),
        (["--kubeconfig", "/none", "--nats-url", "nats://x", "--nats-creds", "/none"], USAGE, "there is no file /none"),
        (["--serve", "9105"], USAGE, "write HOST:PORT"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(options: list[str], code: int, text: str, state: Path) -> None:
    where = ["--state", str(state)] if "--serve" in options else []
    outcome = subprocess.run(
        [FLEETLB, "audit", *where, *options], capture_output=True, text=True, timeout=60, check=False, env={"PATH": ""}
    )
    assert outcome.returncode == code
    assert text in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


async def test_a_fleet_that_cannot_be_looked_at_is_not_called_sound(fleet: Fleet) -> None:
    async with fleet.without("kube-apiserver/management"):
        outcome = await asyncio.to_thread(
            subprocess.run,
            [FLEETLB, "audit", "--state", str(fleet.state)],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert outcome.returncode == BLIND
    assert "the fleet cannot be looked at" in outcome.stderr
    assert "Traceback" not in outcome.stderr


async def test_an_audit_that_goes_on_shows_its_findings_as_metrics(fleet: Fleet, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    serving = await asyncio.create_subprocess_exec(
        FLEETLB, "audit", "--state", str(fleet.state), "--settle", "0.5", "--every", "1",
        "--serve", f"127.0.0.1:{unused_tcp_port}",
    )  # fmt: skip
    try:

        async def is_told() -> bool:
            try:
                async with aiohttp.ClientSession() as session, session.get(url) as answer:
                    text = await answer.text()
            except aiohttp.ClientError:
                return False
            return 'fleetlb_audit_findings{invariant="A1"} 0.0' in text and "fleetlb_audit_seconds" in text

        await eventually(is_told, "an audit's metrics")
        assert serving.returncode is None
    finally:
        serving.terminate()
    assert await serving.wait() == 128 + 15
