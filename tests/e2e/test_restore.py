"""The management cluster's etcd is put back to an older state, for real: found out, gated, and no address is lost.

After the backup addresses were given out, let go of, handed over and exchanged. Tenants' clusters are not put back.
"""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from fleetlb.contracts.objects import AddressClaim
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS
from fleetlb.kube.leases import TYPED_LEASES
from fleetlb.runtime.marks import BusMarks
from fleetlb_cli.demo.dialling import dial
from fleetlb_cli.local.layout import Layout
from tests.e2e.drilling import PORT, Drill, Estate, clients_of, lasting_connections
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually, key, next_node_port, tcp
from tests.stage.starting import running_fleet

pytestmark = pytest.mark.e2e

ETCD, API = "etcd/management", "kube-apiserver/management"
ACTORS = ("manager", "status")
LEASES = tuple(f"fleetlb-{name}" for name in ACTORS)
HOLD_SECONDS = 14.0
"""Longer than what is served without a claim would be served on by a manager that acts."""
DEADLINE = 60.0
BEYOND = 150
"""Versions by which a store that is put back is behind, at least."""


@pytest.fixture(scope="module")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fleet whose hub has an etcd of its own."""
    with running_fleet(tmp_path_factory.mktemp("restored"), "--own-etcd") as state:
        yield state


@pytest.fixture
async def hub(own_state: Path) -> AsyncIterator[Fleet]:
    """Its hub."""
    fleet = await Fleet.open(own_state)
    yield fleet
    await fleet.close()


class Life:
    """What happens to one tenant before and after the backup."""

    def __init__(self, tenant: TenantCluster, estate: Estate) -> None:
        self.tenant = tenant
        self.estate = estate
        self.ports = [next_node_port() for _ in range(8)]
        self.past: dict[str, str] = {}
        """Addresses that the backup knows of, by Services that it knows of."""

    async def begin(self) -> None:
        """Services that stay, and some that will not be as the backup knows them."""
        await self.estate.settle(self.tenant, 4)
        await self.tenant.serve(tcp=tuple(self.ports))
        for name, port in zip(("goes", "makes-room", "moves"), self.ports, strict=False):
            await self.tenant.create(name, [tcp(PORT, port)])
            self.past[name] = await self.tenant.serving(name)

    async def go_on(self) -> None:
        """One goes, one goes and another Service gets its address, one exchanges its own, and some are new."""
        for name in ("goes", "makes-room"):
            await self.tenant.delete(name)
            await self.tenant.until(name, lambda service: service is None, "the end of a Service")
        for name, port in zip(("new-1", "new-2", "new-3"), self.ports[3:], strict=False):
            await self._note(name, await self.tenant.create(name, [tcp(PORT, port)]))
        wish = {"fleetlb.dev/addresses": self.past["makes-room"]}
        await self._note("new-4", await self.tenant.create("new-4", [tcp(PORT, self.ports[6])], annotations=wish))
        address = self._distant_address()
        await self.tenant.patch("moves", {"metadata": {"annotations": {"fleetlb.dev/addresses": address}}})
        await self.tenant.until("moves", lambda s: s is not None and s.vip == address, "another address")
        await self._note("moves", (await self.tenant.get("moves"))["metadata"]["uid"])

    async def _note(self, name: str, uid: str) -> None:
        self.estate.owners[await self.tenant.serving(name)] = (self.tenant, name, uid)

    def _distant_address(self) -> str:
        """One from the end of the pool, which nobody is given unasked."""
        network = self.past["moves"].rsplit(".", 2)[0]
        return f"{network}.15.{self.ports[0] % 200 + 20}"


@pytest.mark.parametrize("how", ["lived through", "began anew", "lived through, NATS wiped"])
async def test_a_store_that_was_put_back(hub: Fleet, tmp_path: Path, how: str, drilled: list[Drill]) -> None:
    whole, copy = Estate(hub), tmp_path / "backup"
    async with AsyncExitStack() as stack:
        lives = []
        for name in ("acme", "globex"):
            tenant = await stack.enter_async_context(hub.tenant(name, f"restored-{next_node_port()}"))
            lives.append(Life(tenant, whole))
        for life in lives:
            await life.begin()
        version = await _back_up(hub, copy)
        for life in lives:
            await life.go_on()
        await _marked_beyond(hub, version)
        before = await _claims(hub)
        async with lasting_connections(whole), _put_back(hub, copy, how):
            began = time.monotonic()
            async with clients_of(whole) as clients:
                await _is_gated(hub, lives, whole)
                await clients.until_answered(time.monotonic(), DEADLINE)
                seconds = await _accept(hub, lives, whole)
                assert clients.dark_since(began) == 0.0, clients.refused
        drilled.append(Drill(name=f"etcd put back, {how}", services=len(whole.owners), dark=0.0, whole=seconds))
        await _is_as_it_was(hub, lives, whole, before)


async def test_a_tenants_store_that_was_put_back(hub: Fleet, tmp_path: Path) -> None:
    """Its watcher would be deaf until versions are where they were; it begins anew, and what is not there is let go."""
    data, copy, place = Layout(hub.state).etcd, tmp_path / "backup", hub.environment.tenants["acme"]
    tenant = TenantCluster("acme", await Cluster.connect(Path(place.kubeconfig)), "put-back", place.node_cidr)
    names = ("stays", "vanishes", "fresh")
    ports = {name: next_node_port() for name in names}
    await tenant.prepare()
    await tenant.serve(tcp=tuple(ports.values()))
    try:
        stays = await _served(tenant, "stays", ports["stays"])
        await hub.verb("stop", "etcd")
        shutil.copytree(data, copy)
        await hub.verb("start", "etcd")
        vanishes = await _served(tenant, "vanishes", ports["vanishes"])
        for number in range(BEYOND):  # or servers that begin may have written as much before the watcher asks
            await tenant.patch("vanishes", {"metadata": {"annotations": {"example.org/edit": str(number)}}})
        servers = [f"kube-apiserver/{name}" for name in ("acme", "globex")]
        for name in (*servers, "etcd"):
            await hub.verb("stop", name)
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        for name in ("etcd", *servers):
            await hub.verb("start", name)
        assert (await dial(key(stays, PORT))).ok
        assert (await dial(key(vanishes, PORT))).ok, "served on until its absence is proven"
        assert await _served(tenant, "fresh", ports["fresh"]) not in (stays, vanishes)
        assert await _shown(tenant, "stays") == stays
        await eventually(lambda: _is_refused(vanishes), "an address of a Service that is not there let go of", 120)
        assert (await dial(key(stays, PORT))).ok
    finally:
        await tenant.clean()
        await tenant.cluster.close()


async def _served(tenant: TenantCluster, name: str, port: int) -> str:
    """Make a Service, and wait until it shows an address that answers; returns that."""
    await tenant.create(name, [tcp(PORT, port)])

    async def answers() -> bool:
        address = await _shown(tenant, name)
        return address != "" and (await dial(key(address, PORT))).ok

    await eventually(answers, f"an answer from {name}", DEADLINE)
    return await _shown(tenant, name)


async def _shown(tenant: TenantCluster, name: str) -> str:
    ingress = (await tenant.get(name))["status"].get("loadBalancer", {}).get("ingress", [])
    return str(ingress[0]["ip"]) if ingress else ""


async def _is_refused(address: str) -> bool:
    return not (await dial(key(address, PORT))).ok


async def _accept(hub: Fleet, lives: list[Life], whole: Estate) -> float:
    """Seconds from the operator's word until everything is as it was."""
    told = await _restore(hub, "show")
    assert "waiting to be accepted: fleetlb-manager, fleetlb-status" in told
    for life in lives:
        # By name only if the watcher could say it: without NATS' accounts it cannot.
        assert f"{life.past['makes-room']}: to be claimed for {life.tenant.name}" in told
    accepted = time.monotonic()
    assert "accepted" in await _restore(hub, "accept")
    await whole.until_whole(DEADLINE)
    return time.monotonic() - accepted


async def _is_as_it_was(hub: Fleet, lives: list[Life], whole: Estate, before: dict[str, AddressClaim]) -> None:
    """Same addresses; who came meanwhile has another one and is served, so nodes listen to this manager."""
    await whole.assert_same()
    for life in lives:
        newcomer = await life.tenant.serving("newcomer")
        assert newcomer not in whole.owners
        assert (await dial(key(newcomer, PORT))).ok
    after = await _claims(hub)
    for address in whole.owners:
        assert after[address].spec.owner.service_uid == before[address].spec.owner.service_uid, address
    await eventually(lambda: _is_sound(hub), "a fleet in which all is right", 120)


async def _back_up(hub: Fleet, copy: Path) -> int:
    """A cold copy of the hub's etcd; the version of the manager's Lease after it."""
    await hub.verb("stop", ETCD)
    shutil.copytree(Layout(hub.state).management_etcd, copy)
    await hub.verb("start", ETCD)
    return (await hub.management.get(TYPED_LEASES, LEASES[0], "fleetlb-system")).version


@asynccontextmanager
async def _put_back(hub: Fleet, copy: Path, how: str) -> AsyncIterator[None]:
    """What an operator does: nobody writes while the data is replaced. Who was stopped is ready after the block."""
    stopped = ACTORS if how == "began anew" else ()
    for name in (*stopped, API, ETCD):
        await hub.verb("stop", name)
    shutil.rmtree(Layout(hub.state).management_etcd)
    shutil.copytree(copy, Layout(hub.state).management_etcd)
    if how.endswith("NATS wiped"):
        await hub.verb("stop", "nats")
        for part in ("jetstream", "accounts"):
            shutil.rmtree(Layout(hub.state).nats / part)
        await hub.verb("start", "nats")
    for name in (ETCD, API):
        await hub.verb("start", name)
    async with asyncio.TaskGroup() as starting:
        for name in stopped:
            starting.create_task(hub.verb("start", name))
        yield


async def _marked_beyond(hub: Fleet, version: int) -> None:
    """Wait until each service's mark is of a later time than the backup."""
    async with hub.hub_bus() as bus:
        marks = BusMarks(bus)

        async def are_later() -> bool:
            found = [await marks.read(lease) for lease in LEASES]
            return all(mark is not None and mark.version > version for mark in found)

        await eventually(are_later, "marks from after the backup", 30)


async def _is_gated(hub: Fleet, lives: list[Life], whole: Estate) -> None:
    """Cause and cure are named, and nothing is given out or let go of, for as long as it takes."""

    async def is_named() -> bool:
        said = [await _closed_gates(hub, name) for name in ACTORS]
        return all("fleetlb restore accept" in gates.get("store", "") for gates in said)

    await eventually(is_named, "a closed gate that names the cure", DEADLINE)
    past = await _claims(hub)
    assert set(whole.owners) - set(past), "the store knows nothing of what was given out since"
    for life in lives:
        assert set(life.past.values()) <= set(past)
        await life.tenant.create("newcomer", [tcp(PORT, life.ports[7])])
    end = time.monotonic() + HOLD_SECONDS
    while time.monotonic() < end:
        assert await _claims(hub) == past
        for address, (tenant, name, _) in whole.owners.items():
            service = tenant.board.get(name)
            assert service is not None
            assert service.vip == address, f"{name} shows {service.vip}"
        await asyncio.sleep(0.5)


async def _closed_gates(hub: Fleet, process: str) -> dict[str, str]:
    """Gates of a process that are closed, and why; none if it does not answer."""
    page = f"{hub.environment.processes[process].http}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(page) as answer:
            return {gate["gate"]: gate["reason"] for gate in (await answer.json())["closed"]}
    except aiohttp.ClientError:
        return {}


async def _claims(hub: Fleet) -> dict[str, AddressClaim]:
    return {claim.spec.address: claim for claim in await hub.management.list(ADDRESS_CLAIMS)}


async def _restore(hub: Fleet, verb: str) -> str:
    command = [FLEETLB, "restore", verb, "--state", str(hub.state)]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


async def _is_sound(hub: Fleet) -> bool:
    command = [FLEETLB, "audit", "--state", str(hub.state), "--settle", "1", "--output", "json"]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    return told.stdout != "" and json.loads(told.stdout)["findings"] == []
