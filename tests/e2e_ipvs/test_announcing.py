"""An operator empties a balancer node, and has a pool announced that its node cannot announce, on a whole fleet."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.domain.conditions import ANNOUNCED, SERVING, Reason
from fleetlb.domain.verdicts import NETWORK_TEXTS
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS
from tests.e2e.fleet import FLEETLB, Fleet, eventually, key, next_node_port, tcp
from tests.stage.site import Site
from tests.stage.tenants import Tenant


async def node(fleet: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`fleetlb node …` about this fleet."""
    command = [FLEETLB, "node", *arguments, "--state", str(fleet.state)]
    return await asyncio.to_thread(subprocess.run, command, text=True, capture_output=True, timeout=200)


async def is_draining(fleet: Fleet) -> bool:
    """Whether the group's status says so of its node."""
    [group] = await fleet.management.list(BALANCER_GROUPS)
    return [each.draining for each in group.status.nodes] == [True]


async def test_a_node_is_emptied_step_by_step_and_takes_part_again(acme: Tenant, site: Site, fleet: Fleet) -> None:
    ports = [tcp(80, next_node_port())]
    await acme.listen(*ports)
    await acme.create("web", ports)
    vip = key(await acme.vip("web"), 80)
    async with site.conversation(vip) as connection:
        before = await connection.ask()
        waiting = await node(fleet, "drain", "node-1", "--timeout", "10")
        assert waiting.returncode == 1, waiting
        assert "not done after 10 s" in waiting.stderr
        assert "withdrawn: node-1 announces no VIP; " in waiting.stdout
        assert "left" in waiting.stdout
        assert await connection.ask() == before, "what goes on over it goes on"
        await eventually(lambda: is_draining(fleet), "the group's status")
    emptied = await node(fleet, "drain", "node-1")
    assert (emptied.returncode, emptied.stderr) == (0, "")
    assert emptied.stdout.splitlines()[-1] == "empty: node-1 announces no VIP, and no connection is left"
    back = await node(fleet, "undrain", "node-1")
    assert (back.returncode, back.stderr) == (0, "")
    assert back.stdout.splitlines()[-1] == "heard: node-1 takes part again"
    assert (await site.ask(vip)).ok


async def test_a_node_that_the_group_has_not_is_a_mistake(fleet: Fleet) -> None:
    wrong = await node(fleet, "drain", "node-9")
    assert wrong.returncode == 2
    assert "node-9 is no node of group default: it has node-1" in wrong.stderr


async def test_a_pool_that_its_node_cannot_announce_says_why(acme: Tenant, site: Site, fleet: Fleet) -> None:
    ports = [tcp(80, next_node_port())]
    await acme.listen(*ports)
    await acme.create("web", ports)
    vip = key(await acme.vip("web"), 80)
    async with _announced_on_layer_2(fleet):
        await eventually(lambda: _says_who_cannot(fleet), "the pool's condition")
        assert (await site.ask(vip)).ok, "what is routed there is carried all the same"
        told = await acme.reason("web", SERVING, "NotAnnounced")
        assert told.startswith(f"{NETWORK_TEXTS[Reason.NOT_ANNOUNCED]} [trace ")
        lack = await _lack(fleet)
        assert all(word in lack for word in ("no node says that it carries", vip.address, "FLEETLB_LAYER2_INTERFACES"))

    async def is_silent() -> bool:
        pool = await fleet.management.get(ADDRESS_POOLS, "default")
        return all(each.type != ANNOUNCED for each in pool.status.conditions)

    await eventually(is_silent, "the end of the condition")
    await acme.reason("web", SERVING, "ProbeAnswered")


@asynccontextmanager
async def _announced_on_layer_2(fleet: Fleet) -> AsyncIterator[None]:
    """The pool of all tests asks for it meanwhile."""

    async def announce(way: str) -> None:
        change = {"spec": {"announcement": way}}
        await fleet.management.patch(ADDRESS_POOLS, "default", change, kind=PatchKind.MERGE)

    await announce("layer2")
    try:
        yield
    finally:
        await announce("none")


async def _says_who_cannot(fleet: Fleet) -> bool:
    pool = await fleet.management.get(ADDRESS_POOLS, "default")
    said = [each.message for each in pool.status.conditions if each.type == ANNOUNCED]
    return any("node-1 of group default cannot announce by layer2" in message for message in said)


async def _lack(fleet: Fleet) -> str:
    """Why the tenant's one Service does not serve, as the platform reads it."""

    async def found() -> list[str]:
        balancers = await fleet.management.list(LOAD_BALANCERS, "tenant-acme")
        told = [condition for each in balancers for condition in each.status.conditions]
        return [each.message for each in told if each.reason == Reason.NOT_ANNOUNCED]

    async def is_written() -> bool:
        return bool(await found())

    await eventually(is_written, "the verdict in the LoadBalancer")
    return (await found())[0]
