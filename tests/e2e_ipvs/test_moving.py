"""A pool moves by BGP between two groups behind one router: what the router knows, what clients see, what is said."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.domain.conditions import SERVING, Status
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.fleet_objects import LOAD_BALANCERS
from fleetlb.kube.watching import Reflector
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp
from tests.e2e.test_moving import until_carried_by
from tests.e2e.test_why import explained
from tests.stage.chronicles import Chronicle, chronicle_of
from tests.stage.hub import at_rest
from tests.stage.pools import POOL as ASKED_POOL
from tests.stage.pools import change_pool
from tests.stage.routed_fleet import NORTH, POOL, SOUTH, RoutedFleet, routed_fleet, two_groups
from tests.stage.talking import open_conversation
from tests.stage.tenants import Tenant
from tests.stage.ways import Ways, ways_to

SECONDS = 90.0
PAUSE_SECONDS = 0.02
ENOUGH = 30
"""Connections of a client who is to have noticed."""


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[RoutedFleet]:
    """The network beside the fleet's."""
    with routed_fleet(tmp_path) as routed:
        yield routed


class Dialling:
    """The client connects, asks and hangs up, one connection after the other."""

    def __init__(self, routed: RoutedFleet, target: VirtualServerKey) -> None:
        self._talk = routed.talk(target)
        self.answered = 0
        self.failed: list[str] = []
        """Connections that did not come about."""
        self.cut: list[str] = []
        """Those that came about, and ended without an answer."""

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._dial()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _dial(self) -> None:
        is_connected = False
        try:
            async with open_conversation(self._talk) as conversation:
                is_connected = True
                await conversation.ask()
                self.answered += 1
        except (OSError, EOFError) as problem:  # a TimeoutError is an OSError
            (self.cut if is_connected else self.failed).append(repr(problem))

    async def goes_on(self) -> None:
        """Wait for some more connections that are answered."""
        wanted = self.answered + ENOUGH

        async def are_answered() -> bool:
            return self.answered >= wanted

        try:
            await eventually(are_answered, f"{ENOUGH} more connections", SECONDS)
        except AssertionError as problem:
            problem.add_note(f"the last failures: {self.failed[-3:]} {self.cut[-3:]}")
            raise


class Scene(NamedTuple):
    """What is watched, from before a move to after it."""

    address: str
    uid: str
    dialling: Dialling
    ways: Ways
    objects: list[LoadBalancer]
    """Every version of the Service's LoadBalancer."""
    services: Chronicle


@contextlib.asynccontextmanager
async def served(routed: RoutedFleet, fleet: Fleet, acme: Tenant, folder: Path) -> AsyncIterator[Scene]:
    """A Service that north carries and the router knows; a client dials it until the block ends."""
    port = tcp(80, next_node_port())
    await acme.listen(port)
    uid = await acme.create("web", [port], annotations={ASKED_POOL: POOL})
    address = await acme.vip("web")
    await at_rest(fleet, acme.name, uid)
    await until_routed_by(routed, address, NORTH)
    dialling = Dialling(routed, key(address, 80))
    async with (
        ways_to(address, routed.network.router, folder) as ways,
        versions_of(fleet, acme.name, uid) as objects,
        chronicle_of(acme.cluster, acme.namespace) as services,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(dialling.run())
        try:
            yield Scene(address, uid, dialling, ways, objects, services)
        finally:
            running.cancel()


@contextlib.asynccontextmanager
async def versions_of(fleet: Fleet, tenant: str, uid: str) -> AsyncIterator[list[LoadBalancer]]:
    """Every version of a LoadBalancer as it is written, within a block."""
    seen: list[LoadBalancer] = []

    def note(balancer: LoadBalancer) -> None:
        if balancer.metadata.name == uid:
            seen.append(balancer)

    reflector = Reflector(
        fleet.management, LOAD_BALANCERS, on_set=note, on_gone=lambda _: None, namespace=f"tenant-{tenant}"
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reflector.run())
        try:
            await reflector.synced.wait()
            yield seen
        finally:
            running.cancel()


async def until_routed_by(routed: RoutedFleet, address: str, *groups: str) -> None:
    """Wait until the nodes of these groups are the router's ways."""

    async def are_ways() -> bool:
        return routed.network.next_hops(address) == set(routed.hops(*groups))

    await eventually(are_ways, f"ways by {groups}", SECONDS)


async def until_gone_over(routed: RoutedFleet, fleet: Fleet, scene: Scene, group: str) -> None:
    """Wait until the address is with one group alone, for the hub and for the router, and a client has noticed."""
    await until_carried_by(fleet, scene.address, group, patience=SECONDS)
    await until_routed_by(routed, scene.address, group)
    await at_rest(fleet, "acme", scene.uid)
    await scene.dialling.goes_on()


async def assert_served_throughout(fleet: Fleet, acme: Tenant, scene: Scene, *groups: str) -> None:
    """Nothing but `Serving` was ever shown, of these groups one after the other, and the address was kept."""
    last = await fleet.load_balancer(acme.name, scene.uid)
    assert last is not None

    async def are_all_seen() -> bool:
        return scene.objects[-1].metadata.resource_version == last.metadata.resource_version

    await eventually(are_all_seen, "the last version of the LoadBalancer")
    assert [name for name, _ in itertools.groupby(each.spec.group for each in scene.objects)] == list(groups)
    assert {each.spec.addresses for each in scene.objects} == {(scene.address,)}
    said = [
        (each.spec.group, c.status, c.reason)
        for each in scene.objects
        for c in each.status.conditions
        if c.type == SERVING
    ]
    assert len(said) == len(scene.objects)
    assert {status for _, status, _ in said} == {Status.TRUE}, said
    shown = await scene.services.versions("web")
    told = [version.conditions[SERVING] for version in shown]
    assert {each["status"] for each in told} == {"True"}, told
    assert {tuple(each["ip"] for each in version.ingress) for version in shown} == {(scene.address,)}


async def test_every_new_connection_is_answered_and_the_service_serves_throughout(
    routed: RoutedFleet, fleet: Fleet, acme: Tenant, tmp_path: Path
) -> None:
    async with two_groups(routed, fleet, acme), served(routed, fleet, acme, tmp_path) as scene:
        for group in (SOUTH, NORTH):
            await change_pool(fleet, POOL, group=group)
            await until_gone_over(routed, fleet, scene, group)
        await assert_served_throughout(fleet, acme, scene, NORTH, SOUTH, NORTH)
        ways = await scene.ways.history()
    both = routed.hops(NORTH, SOUTH)
    assert ways == [routed.hops(NORTH), both, routed.hops(SOUTH), both, routed.hops(NORTH)]
    assert scene.dialling.failed == []
    # Connections are not handed over: one that stands when the router's ways change may be sent to the other node.
    assert len(scene.dialling.cut) < len(ways), scene.dialling.cut


async def test_it_waits_for_a_router_that_the_other_group_tells(
    routed: RoutedFleet, fleet: Fleet, acme: Tenant, tmp_path: Path
) -> None:
    async with two_groups(routed, fleet, acme, mute=SOUTH), served(routed, fleet, acme, tmp_path) as scene:
        await change_pool(fleet, POOL, group=SOUTH)
        await until_explained(
            fleet, acme, scene, f"from group {NORTH} to {SOUTH}, as soon as a node of {SOUTH} tells a router"
        )
        await scene.dialling.goes_on()
        item, claim = await fleet.load_balancer(acme.name, scene.uid), await fleet.claim(scene.address)
        assert item is not None
        assert claim is not None
        assert (item.spec.group, claim.spec.groups) == (NORTH, (NORTH, SOUTH))
        await routed.nodes[SOUTH].bird.start()
        await until_gone_over(routed, fleet, scene, SOUTH)
        await assert_served_throughout(fleet, acme, scene, NORTH, SOUTH)
        ways = await scene.ways.history()
    assert ways == [routed.hops(NORTH), routed.hops(NORTH, SOUTH), routed.hops(SOUTH)]
    assert scene.dialling.failed == []
    assert len(scene.dialling.cut) < len(ways), scene.dialling.cut


async def until_explained(fleet: Fleet, acme: Tenant, scene: Scene, wanted: str) -> None:
    """Wait until `fleetlb why svc` says this of the address's way, of a Service that serves."""
    said: list[str] = []

    async def is_said() -> bool:
        found = await explained(fleet, acme)
        said.append(found.given.get(f"moving {scene.address}", ""))
        return found.serving and said[-1] == wanted

    try:
        await eventually(is_said, f"{wanted!r}", SECONDS)
    except AssertionError as problem:
        problem.add_note(f"it was {said[-3:]}")
        raise
