"""Everything of one kind is wiped at once: each Service gets its address back, without a human, in a measured time.

`make drills` runs these alone and prints the times; the deadlines are several times what was measured.
"""

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleetlb.contracts import object_meta
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS, TENANT_CLUSTERS
from fleetlb.kube.resources import Object, Resource, name_of
from fleetlb_cli.local.layout import Layout
from tests.e2e.drilling import Drill, Estate, clients_of, lasting_connections
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster

pytestmark = pytest.mark.e2e

DEADLINE = 60.0
"""Seconds from the wipe until everything is as it was."""
NODE = "node-1"
PROGRAMMER, ENVOY = f"dataplane-programmer/{NODE}", f"envoy/{NODE}"
FROM_GIT = [
    Resource(object_meta.GROUP, object_meta.VERSION, plural, Object, namespaced=False, kind_name=kind)
    for plural, kind in (("balancergroups", "BalancerGroup"), ("addresspools", "AddressPool"), ("tenants", "Tenant"))
]
"""What an operator keeps elsewhere, in the order in which it is applied."""
MADE: tuple[Resource[Any], ...] = (LOAD_BALANCERS, ADDRESS_CLAIMS, TENANT_CLUSTERS)
"""What the manager makes."""


@pytest.fixture
async def estate(fleet: Fleet, acme: TenantCluster, globex: TenantCluster) -> Estate:
    """Two tenants' Services, all serving."""
    made = Estate(fleet)
    for tenant in (acme, globex):
        await made.settle(tenant)
    assert len(made.owners) == 24
    return made


async def drill(
    name: str, estate: Estate, wipe: Callable[[], Awaitable[None]], record: Callable[[Drill], None]
) -> None:
    """Wipe, wait until everything is as it was, and hold all that was promised against what is there."""
    async with clients_of(estate) as clients:
        await clients.until_answered(time.monotonic(), 10)
        wiped = time.monotonic()
        await wipe()
        await estate.until_whole(DEADLINE)
        whole = time.monotonic() - wiped
        await clients.until_answered(time.monotonic(), DEADLINE)
        dark = clients.dark_since(wiped)
    record(Drill(name=name, services=len(estate.owners), dark=dark, whole=whole))
    await estate.assert_same()
    await _assert_sound(estate.fleet)


async def test_the_whole_storage_of_nats(estate: Estate, drilled: list[Drill]) -> None:
    fleet, folder = estate.fleet, Layout(estate.fleet.state).nats

    async def wipe() -> None:
        await fleet.verb("stop", "nats")
        for part in ("jetstream", "accounts"):
            shutil.rmtree(folder / part)
        await fleet.verb("start", "nats")

    async with lasting_connections(estate):
        await drill("NATS: every stream and account", estate, wipe, drilled.append)
    assert drilled[-1].dark == 0.0, "no client notices"


async def test_a_balancer_node(estate: Estate, drilled: list[Drill]) -> None:
    fleet, memory = estate.fleet, Layout(estate.fleet.state).node(NODE) / "state"

    async def wipe() -> None:
        await fleet.verb("stop", PROGRAMMER)
        await fleet.verb("stop", ENVOY)
        shutil.rmtree(memory)
        async with asyncio.TaskGroup() as tasks:  # they wait for each other
            for process in (PROGRAMMER, ENVOY):
                tasks.create_task(fleet.verb("start", process))

    await drill("a balancer node: its Envoy and its memory", estate, wipe, drilled.append)
    assert 0 < drilled[-1].dark < DEADLINE, "clients notice, and not for long"


async def test_what_the_manager_made(estate: Estate, drilled: list[Drill]) -> None:
    async with lasting_connections(estate):
        await drill("every LoadBalancer and claim", estate, lambda: _delete_all(estate.fleet, MADE), drilled.append)
    assert drilled[-1].dark == 0.0, "no client notices"


async def test_every_object_while_finalizers_hold(estate: Estate, drilled: list[Drill]) -> None:
    """Nobody is cut off, though nothing but what Services show says that their tenants are in use."""
    kept = await _in_git(estate.fleet)

    async def wipe() -> None:
        await _delete_all(estate.fleet, (*MADE, *FROM_GIT))
        await _apply(estate.fleet, kept)

    try:
        async with lasting_connections(estate):
            await drill("every object, finalizers hold", estate, wipe, drilled.append)
    finally:
        await _make_anew(estate.fleet, kept)
    assert drilled[-1].dark == 0.0, "no client notices"


async def test_every_object_and_what_kept_it(estate: Estate, drilled: list[Drill]) -> None:
    """Finalizers are taken off; groups, pools and Tenants are applied again as from git."""
    kept = await _in_git(estate.fleet)

    async def wipe() -> None:
        await _delete_all(estate.fleet, MADE)
        await _make_anew(estate.fleet, kept)

    async with lasting_connections(estate):
        await drill("every object, finalizers taken off", estate, wipe, drilled.append)
    assert drilled[-1].dark == 0.0, "no client notices"


async def _in_git(fleet: Fleet) -> list[tuple[Resource[Object], Object]]:
    return [(kind, _as_in_git(item)) for kind in FROM_GIT for item in await fleet.management.list(kind)]


async def _apply(fleet: Fleet, kept: list[tuple[Resource[Object], Object]]) -> None:
    for kind, item in kept:
        await fleet.management.apply(kind, item, field_manager="git")


async def _make_anew(fleet: Fleet, kept: list[tuple[Resource[Object], Object]]) -> None:
    """End what is kept in git, whoever holds on to it, and apply it again."""
    await _delete_all(fleet, tuple(FROM_GIT))
    for kind, item in kept:
        with contextlib.suppress(NotFound):
            body = {"metadata": {"finalizers": None}}
            await fleet.management.patch(kind, item["metadata"]["name"], body, kind=PatchKind.MERGE)
    await _apply(fleet, kept)


async def _delete_all(fleet: Fleet, kinds: tuple[Resource[Any], ...]) -> None:
    for kind in kinds:
        for item in await fleet.management.list(kind):
            namespace, name = name_of(item)
            with contextlib.suppress(NotFound):
                await fleet.management.delete(kind, name, namespace or None)


def _as_in_git(item: Object) -> Object:
    """What somebody wrote, without what the API server and the manager added."""
    return {"metadata": {"name": item["metadata"]["name"]}, "spec": item["spec"]}


async def _assert_sound(fleet: Fleet) -> None:
    command = [FLEETLB, "audit", "--state", str(fleet.state), "--settle", "2"]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
