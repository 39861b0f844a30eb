"""A pool moves to another balancer group: two Envoys of two groups, and clients who ask all the while."""

import asyncio
import functools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS
from fleetlb.testkit.envoy_process import ENVOY, EnvoyProcess
from fleetlb_cli.demo.dialling import dial
from fleetlb_cli.local.programs import GROUP
from fleetlb_dataplane_programmer.envoy.bootstrap import command
from tests.e2e.fleet import PATIENCE, Fleet, TenantCluster, eventually, key, next_node_port, tcp
from tests.e2e.test_survival import live_connection
from tests.e2e.test_why import explained
from tests.integration.balancer_node import Programmer
from tests.stage.pools import granted, pool_for

pytestmark = pytest.mark.e2e

SPARE, POOL = "spare", "moving"
RANGE = f"127.231.{os.getpid() % 250}.8/29"
PAUSE_SECONDS = 0.005
QUEUED, MOVES = "Connection reset by peer", 2


@asynccontextmanager
async def another_group(fleet: Fleet, acme: TenantCluster) -> AsyncIterator[Programmer]:
    """A group of one node beside the fleet's own, and a pool that names the fleet's; the tenant may use both."""
    folder = Path(tempfile.mkdtemp(prefix="flb"))  # a unix socket's path must be short
    programmer = Programmer(folder, fleet.environment.nats.url, Path(fleet.environment.nats.hub_creds))
    programmer.environ |= {"FLEETLB_NODE": "node-9", "FLEETLB_GROUP": SPARE}
    envoy = EnvoyProcess(folder, programmer.bootstrap(), functools.partial(command, ENVOY, concurrency=1))
    group = BalancerGroup(
        metadata=ObjectMeta(name=SPARE), spec=BalancerGroupSpec(engine=EngineName.ENVOY, nodes=("node-9",))
    )
    await fleet.management.create(BALANCER_GROUPS, group)
    try:
        await envoy.start()
        programmer.start()
        await programmer.ready()
        async with (
            pool_for(fleet, acme, POOL, RANGE, group=GROUP),
            granted(fleet, acme, groups=[GROUP, SPARE]),
        ):
            try:
                yield programmer
            finally:
                programmer.kill()
                programmer.start()  # or nothing is let go of, and the pool stays
                await acme.clean()
    finally:
        programmer.kill()
        await envoy.stop()
        await fleet.management.delete(BALANCER_GROUPS, SPARE)
        shutil.rmtree(folder)


async def move(fleet: Fleet, group: str) -> None:
    body = {"spec": {"group": group}}
    await fleet.management.patch(ADDRESS_POOLS, POOL, body, kind=PatchKind.MERGE)


async def until_carried_by(fleet: Fleet, address: str, *groups: str, patience: float = PATIENCE) -> None:
    async def is_there() -> bool:
        claim = await fleet.claim(address)
        return claim is not None and claim.spec.groups == groups

    await eventually(is_there, f"{address} carried by {groups}", patience)


class Client:
    """Asks one new connection after the other, until it is told to stop."""

    def __init__(self, target: VirtualServerKey) -> None:
        self._target = target
        self._is_over = False
        self.asked = 0
        self.failures: list[str] = []

    async def run(self) -> None:
        while not self._is_over:
            answer = await dial(self._target)
            self.asked += 1
            if not answer.ok:
                self.failures.append(answer.failure)
            await asyncio.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        self._is_over = True


async def test_no_connection_fails_while_a_pool_moves_there_and_back(fleet: Fleet, acme: TenantCluster) -> None:
    async with another_group(fleet, acme):
        node_port = next_node_port()
        await acme.serve(tcp=(node_port,))
        uid = await acme.create("moved", [tcp(8080, node_port)], annotations={"fleetlb.dev/pool": POOL})
        address = await acme.serving("moved")
        client = Client(key(address, 8080))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.run())
            async with live_connection(address, 8080):
                for group in (SPARE, GROUP):
                    before = client.asked
                    await move(fleet, group)
                    await until_carried_by(fleet, address, group)
                    item = await fleet.load_balancer("acme", uid)
                    assert item is not None
                    assert (item.spec.group, item.spec.addresses) == (group, (address,))
                    assert await acme.serving("moved") == address
                    await eventually(functools.partial(_asked, client, before + 50), "fifty more connections")
            client.stop()
        # Both Envoys listen in one kernel here, which resets what waits in the queue of a listener that is closed.
        assert client.failures in ([], [QUEUED], [QUEUED] * MOVES)


async def _asked(client: Client, count: int) -> bool:
    return client.asked >= count


async def test_who_is_waited_for_is_named_and_the_service_serves_on(fleet: Fleet, acme: TenantCluster) -> None:
    async with another_group(fleet, acme) as programmer:
        node_port = next_node_port()
        await acme.serve(tcp=(node_port,))
        await acme.create("stays", [tcp(8080, node_port)], annotations={"fleetlb.dev/pool": POOL})
        address = await acme.serving("stays")
        programmer.kill()
        await move(fleet, SPARE)
        await until_carried_by(fleet, address, GROUP, SPARE)
        assert await acme.serving("stays") == address
        await eventually(functools.partial(_is_explained, fleet, acme), "the verdict in its object")
        found = await explained(fleet, acme, "stays")
        assert found.given[f"moving {address}"] == f"from group {GROUP} to {SPARE}, as soon as node-9 carries it"
        assert (await dial(key(address, 8080))).ok
        programmer.start()
        await until_carried_by(fleet, address, SPARE)


async def _is_explained(fleet: Fleet, acme: TenantCluster) -> bool:
    """As serving: the status service writes its verdict a little later than it tells the tenant."""
    return (await explained(fleet, acme, "stays")).serving
