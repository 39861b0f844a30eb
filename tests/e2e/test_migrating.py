"""docs/migrate.md: the commands of the page, over Services that have their addresses from elsewhere."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fleetlb.kube.resources import SERVICES
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "migrate.md"
BIN = Path(sys.executable).parent
WATCHER = "tenant-watcher/acme"


def block(name: str) -> str:
    """The commands below a mark of the page, without those that are not kubectl's."""
    (text,) = re.findall(rf"(?s)<!-- {name} -->\n```sh\n(.*?)```", PAGE.read_text())
    return str(text).replace("fleetlb status\n", "")


async def typed(fleet: Fleet, name: str) -> str:
    """What a shell prints that runs a block in the tenant's cluster."""
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "KUBECONFIG": fleet.environment.tenants["acme"].kubeconfig,
    }
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-euo", "pipefail", "-c", block(name)], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def given_elsewhere(acme: TenantCluster, name: str, address: str) -> None:
    """A Service that another product gave an address, and holds by a finalizer of its own."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create(name, [tcp(8080, port)])
    await acme.patch(name, {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}, "status")


async def addresses(acme: TenantCluster, name: str) -> list[str]:
    found = await acme.get(name)
    return [entry["ip"] for entry in found["status"]["loadBalancer"].get("ingress", [])]


async def test_every_service_keeps_its_address_and_asks_for_it_no_longer_than_needed(
    fleet: Fleet, acme: TenantCluster
) -> None:
    first, *_ = fleet.environment.pools["default"].cidr.rpartition(".")
    held = {"web": f"{first}.201", "api": f"{first}.203"}
    async with fleet.without(WATCHER):
        for name, address in held.items():
            await given_elsewhere(acme, name, address)
        await typed(fleet, "keep")
    assert {name: await acme.serving(name) for name in held} == held
    await eventually(lambda: nothing_left(fleet), "every Service provisioned")
    await typed(fleet, "forget")
    assert {name: await acme.serving(name) for name in held} == held
    assert "fleetlb.dev/addresses" not in (await acme.get("web"))["metadata"].get("annotations", {})


async def nothing_left(fleet: Fleet) -> bool:
    return await typed(fleet, "look") == ""


async def test_the_way_back_leaves_addresses_and_takes_off_finalizers(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    async with fleet.without(WATCHER):
        await typed(fleet, "release")
        assert await addresses(acme, "web") == [address]
        assert not (await acme.get("web"))["metadata"].get("finalizers")
        await acme.delete("web")
        left = [item["metadata"]["name"] for item in await acme.cluster.list(SERVICES, acme.namespace)]
        assert left == []
