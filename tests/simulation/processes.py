"""The four services put together as their `__main__` modules do, on ports that are played and in virtual time.

Left out: settings, health pages, signals, and how a watcher's credentials are issued anew.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import AlreadyExists
from fleetlb.kube.resources import NAMESPACES
from fleetlb.kube.service_wishes import Selection
from fleetlb.runtime.nats_accounts import KeyKind, new_seed, public_key
from fleetlb.runtime.tracing import Tracing
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb_dataplane_programmer.checking import Checks
from fleetlb_dataplane_programmer.dialling import Reach
from fleetlb_dataplane_programmer.engine import OnOutcome
from fleetlb_dataplane_programmer.engine_fake import FakeEngine
from fleetlb_dataplane_programmer.identity import Identity
from fleetlb_dataplane_programmer.node import Node
from fleetlb_dataplane_programmer.records import Record
from fleetlb_manager.__main__ import NAMESPACE_SECONDS
from fleetlb_manager.assembly import Manager, Surroundings
from fleetlb_manager.minting import Operator
from fleetlb_status.replica import Replica
from fleetlb_tenant_watcher.watcher import Watcher
from tests.simulation.lives import Life, eternal
from tests.simulation.outside import SYSTEM_NAMESPACE, Outside
from tests.simulation.ports import MortalBus, MortalPlane, MortalStateFile, MortalWire


class Virtual:
    """The clocks of every service: seconds since the loop began, and a wall clock that runs with them."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def monotonic(self) -> float:
        return self._outside.seconds()

    def now(self) -> float:
        return self._outside.seconds()

    def wall(self) -> float:
        return self._outside.wall()

    def micros(self) -> int:
        return int(self._outside.wall() * 1_000_000)


class Processes:
    """How each process begins."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._clock = Virtual(outside)
        operator = new_seed(KeyKind.OPERATOR)
        self._operator = Operator(operator, public_key(new_seed(KeyKind.ACCOUNT)))

    async def manager(self, life: Life, tasks: asyncio.TaskGroup) -> None:
        outside, cluster = self._outside, self._cluster(life, self._outside.management)
        bus = self._bus(life)
        await _ensure_namespace(cluster)
        manager = Manager(
            Surroundings(
                cluster=cluster,
                bus=bus,
                push_account=partial(outside.push_account, life),
                forget_account=partial(outside.forget_account, life),
                operator=self._operator,
                system_namespace=SYSTEM_NAMESPACE,
                identity=outside.identity(life.name, life.number),
                partitions=outside.partitions,
                allow_loopback=False,
                tasks=tasks,
                clock=self._clock,
            )
        )
        await manager.answer()
        for name, work in manager.runs().items():
            tasks.create_task(eternal(work(), name), name=name)

    async def status(self, life: Life, tasks: asyncio.TaskGroup) -> None:
        replica = Replica(
            self._cluster(life, self._outside.management),
            self._bus(life),
            namespace=SYSTEM_NAMESPACE,
            identity=self._outside.identity(life.name, life.number),
            spawn=_spawning(tasks),
            clock=self._clock,
        )
        await replica.start()

    async def watcher(self, tenant: str, life: Life, tasks: asyncio.TaskGroup) -> None:
        cluster = self._cluster(life, self._outside.tenants[tenant])
        watcher = Watcher(cluster, await cluster.uid(), Selection(), "watcher", clocks=self._clock)
        spawn = _spawning(tasks)
        watcher.start(spawn)
        account = await self._outside.account_of(tenant)
        await watcher.join_hub(self._bus(life, account), spawn)

    async def node(self, name: str, life: Life, tasks: asyncio.TaskGroup) -> None:
        outside = self._outside
        plane = MortalPlane(life, outside.planes[name], outside.effects)

        def engine(on_outcome: OnOutcome) -> FakeEngine:
            return FakeEngine(on_outcome, plane)

        async def holdings() -> frozenset[VirtualServerKey]:
            return frozenset(plane)

        node = Node(
            Identity(node=name, group=outside.group_of[name]),
            engine,
            MortalStateFile(
                life,
                outside.effects,
                outside.disks / name,
                Record,
                node=name,
                group=outside.group_of[name],
                name="desired.jsonl",
            ),
            dial=partial(_probe, plane),
            holdings=holdings,
            tracing=Tracing(now=self._clock.micros),
            checks=Checks(dial=_reach, ask=_reach),
        )
        node.recall()
        node.set_connected(True)
        tasks.create_task(eternal(node.run(), "node"), name="node")
        tasks.create_task(eternal(node.follow(self._bus(life)), "bus"), name="bus")
        await node.complete()

    def _cluster(self, life: Life, server: FakeKube) -> Cluster:
        return Cluster(MortalWire(life, FakeWire(server), self._outside.effects), life.name)

    def _bus(self, life: Life, account: str = "") -> MortalBus:
        bus = FakeBus(self._outside.hub, account=account)
        self._outside.connected(account, bus)
        return MortalBus(life, bus, self._outside.effects)


async def _ensure_namespace(cluster: Cluster) -> None:
    while True:
        try:
            await cluster.create(NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
            return
        except AlreadyExists:
            return
        except FleetlbError:
            await asyncio.sleep(NAMESPACE_SECONDS)


def _spawning(tasks: asyncio.TaskGroup) -> Any:
    def spawn(work: Coroutine[Any, Any, object], name: str) -> object:
        return tasks.create_task(eternal(work, name), name=name)

    return spawn


async def _probe(plane: MortalPlane, server: VirtualServer, *, turn: int) -> bool | None:
    """Backends always answer; the kernel must have the way to one."""
    held = plane.get(server.key)
    takers = [real for real in server.real_servers if real.weight > 0]
    return None if not takers else held is not None and any(real.weight > 0 for real in held.real_servers)


async def _reach(address: str, port: int, seconds: float) -> Reach:
    return Reach.REACHED
