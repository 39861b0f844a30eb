"""The status service against a real API server: what tenants are told, and what stands in the objects."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.crds import all_crds
from fleetlb.contracts.events import Serving
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressPool,
    AddressPoolSpec,
    BalancerGroup,
    BalancerGroupSpec,
    LoadBalancer,
    LoadBalancerSpec,
)
from fleetlb.contracts.streams import announced_stream, events_stream, realized_stream
from fleetlb.contracts.tenants import Tenant, TenantSpec
from fleetlb.contracts.v1 import (
    Hop,
    LoadBalancerRevision,
    NodePresent,
    NodeRealized,
    Owner,
    Probe,
    RealizedState,
    ServiceReleased,
    ServiceReported,
    SnapshotAnswered,
    SnapshotRequested,
    VipCarried,
    VirtualServerRealized,
)
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.announcing import PASSING_SECONDS, VipReached
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.routing import RouterSession
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import Announcement, VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS, TENANTS
from fleetlb.kube.resources import NAMESPACES
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.stream_config import stream_config
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.nats_server import NatsServer
from fleetlb_status.publishing import HOLD_SECONDS
from fleetlb_status.replica import Replica
from tests.integration.conftest import KubeApis

pytestmark = pytest.mark.integration

ADDRESS = "192.0.2.7"
CLUSTER = "cluster-1"
REFUSAL = Refusal(Reason.POOL_EXHAUSTED, "pool public: 4 of 4 used")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def kubeconfig(kube_apis: KubeApis) -> Path:
    return kube_apis.start("status").kubeconfig


class Replicas:
    """Replicas that can be started and stopped like processes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, identity: str = "status-1", *, wait: bool = True) -> Replica:
        """A replica; with `wait`, one that has read everything and acts."""
        ready: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._tasks.append(self._world.tasks.create_task(self._run(identity, ready)))
        replica = await ready
        if wait:
            await eventually(replica.lease.is_valid, 10)
        return replica

    async def _run(self, identity: str, ready: "asyncio.Future[Replica]") -> None:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            cluster = await Cluster.connect(self._world.kubeconfig)
            stack.push_async_callback(cluster.close)
            bus = FakeBus(self._world.bus.server)

            def spawn(work: Coroutine[Any, Any, object], name: str) -> object:
                return tasks.create_task(work, name=name)

            replica = Replica(cluster, bus, namespace=self._world.system, identity=identity, spawn=spawn)
            tasks.create_task(replica.start())
            ready.set_result(replica)
            await asyncio.Event().wait()

    async def stop(self) -> None:
        """Stop the oldest replica in order."""
        task = self._tasks.pop(0)
        task.cancel()
        await asyncio.wait([task])
        # A fake server keeps what a dead process had subscribed.
        self._world.forget_subscriptions()

    async def stop_all(self) -> None:
        while self._tasks:
            await self.stop()


class World:
    """One tenant, one group, the hub's bus, and a hand on every part that the status service hears."""

    def __init__(self, kubeconfig: Path, cluster: Cluster, tasks: asyncio.TaskGroup) -> None:
        number = next(_numbers)
        self.kubeconfig = kubeconfig
        self.cluster = cluster
        self.tasks = tasks
        self.tenant, self.account = f"tenant{number}", f"ATENANT{number}"
        self.namespace, self.system = f"tenant-{self.tenant}", f"system-{number}"
        self.group = f"group-{number}"
        self.bus = FakeBus()
        self.told: list[tuple[str, ServiceReported]] = []
        self.replicas = Replicas(self)
        self._revisions = itertools.count(1)

    async def prepare(self, nodes: tuple[str, ...] = ("node-1",), *, stream: bool = True) -> None:
        """Everything but load balancers."""
        for name in (self.namespace, self.system):
            await self.cluster.create(NAMESPACES, {"metadata": {"name": name}})
        tenant = Tenant(metadata=ObjectMeta(name=self.tenant), spec=TenantSpec(node_cidrs=("10.0.0.0/8",)))
        await self.cluster.create(TENANTS, tenant)
        body = {"status": {"account": self.account}}
        await self.cluster.patch(TENANTS, self.tenant, body, kind=PatchKind.MERGE, subresource="status")
        spec = BalancerGroupSpec(engine=EngineName.ENVOY, nodes=nodes)
        await self.cluster.create(BALANCER_GROUPS, BalancerGroup(metadata=ObjectMeta(name=self.group), spec=spec))
        if stream:
            await self.bus.ensure_stream(realized_stream(self.group))
        await self.listen()

    async def listen(self) -> None:
        """What the tenant's watcher hears."""
        ear = self.bus.for_tenant(self.account)

        def hear(message: Message) -> None:
            self.told.append((subjects.parse_service(message.subject)[2], decode(ServiceReported, message.data)))

        await ear.listen(subjects.local_reported(CLUSTER), hear)

    def forget_subscriptions(self) -> None:
        """Only the tenant's ear stays."""
        server = self.bus.server
        server.listeners[:] = [pair for pair in server.listeners if pair[0].startswith(f"{subjects.ROOT}.reported")]
        server.responders.clear()

    async def clean(self) -> None:
        for balancer in await self.cluster.list(LOAD_BALANCERS, self.namespace):
            await self.cluster.delete(LOAD_BALANCERS, balancer.metadata.name, self.namespace)
        await self.cluster.delete(BALANCER_GROUPS, self.group)
        await self.cluster.delete(TENANTS, self.tenant)

    async def create(self, name: str = "service-1", *, ports: tuple[int, ...] = (443,), **spec: Any) -> LoadBalancer:
        """What the manager writes for a Service."""
        pairs = tuple(ServicePort(port=port, node_port=30443) for port in ports)
        fields: dict[str, Any] = {
            "tenant": self.tenant,
            "cluster_uid": CLUSTER,
            "wish": "wish-1",
            "service": TenantService(namespace="shop", name="web", ports=pairs),
            "group": self.group,
            "addresses": (ADDRESS,),
        }
        wanted = LoadBalancer(
            metadata=ObjectMeta(name=name, namespace=self.namespace), spec=LoadBalancerSpec(**fields | spec)
        )
        return await self.cluster.create(LOAD_BALANCERS, wanted)

    async def edit(self, body: dict[str, object], name: str = "service-1") -> LoadBalancer:
        spec = {"spec": body}
        return await self.cluster.patch(LOAD_BALANCERS, name, spec, kind=PatchKind.MERGE, namespace=self.namespace)

    async def get(self, name: str = "service-1") -> LoadBalancer:
        return await self.cluster.get(LOAD_BALANCERS, name, self.namespace)

    def word(self, balancer: LoadBalancer, **changes: Any) -> VirtualServerRealized:
        """What a node says of the first port: programmed and answered."""
        port = changes.pop("port", balancer.spec.service.ports[0].port)
        fields: dict[str, Any] = {
            "node": "node-1",
            "key": VirtualServerKey(ADDRESS, port, Protocol.TCP),
            "generation": 1,
            "revision": next(self._revisions),
            "state": RealizedState.PROGRAMMED,
            "owner": Owner(tenant=self.tenant, cluster_uid=CLUSTER, service_uid=balancer.metadata.name),
            "load_balancer": LoadBalancerRevision(balancer.metadata.uid, balancer.metadata.generation),
            "real_servers": 1,
            "probe": Probe.ANSWERED,
        }
        return VirtualServerRealized(**fields | changes)

    async def say(self, balancer: LoadBalancer, **changes: Any) -> None:
        """A node says it."""
        word = self.word(balancer, **changes)
        subject = subjects.realized(self.group, word.node, word.key)
        await self.bus.publish(subject, encode(word), message_id=f"m-{word.revision}")

    async def tell_routers(self, node: str, *sessions: RouterSession) -> None:
        """A node says how its sessions are."""
        word = NodeRealized(node=node, group=self.group, engine="ipvs", ready=True, sessions=sessions)
        name = f"node-{next(self._revisions)}"
        await self.bus.publish(subjects.realized_node(self.group, node), encode(word), message_id=name)

    async def announce(self, node: str, *, announced: bool, reached: VipReached | None = None) -> None:
        """A node takes part, and says whether it announces the address."""
        number = next(self._revisions)
        base: dict[str, Any] = {"node": node, "group": self.group, "epoch": 1, "run": "r1", "number": number}
        present = NodePresent(**base, lease_ms=60_000)
        way = Announcement.LAYER2
        said: dict[str, Any] = {"carried": True, "announced": announced, "announcement": way, "reached": reached}
        carried = VipCarried(**base, address=ADDRESS, **said)
        at = subjects.present(self.group, node), subjects.carried(self.group, node, ADDRESS)
        await self.bus.publish(at[0], encode(present), message_id=f"present-{number}")
        await self.bus.publish(at[1], encode(carried), message_id=f"carried-{number}")

    def reports(self, name: str = "service-1") -> list[ServiceReported]:
        return [report for uid, report in self.told if uid == name]

    def reasons(self, name: str = "service-1") -> list[str]:
        """The reasons told so far, as `Provisioned/Serving`."""
        return ["/".join(condition.reason for condition in report.conditions) for report in self.reports(name)]

    async def until_told(self, count: int, name: str = "service-1") -> None:
        await eventually(lambda: len(self.reports(name)) >= count)

    async def until_written(self, reason: str, name: str = "service-1", seconds: float = 5.0) -> LoadBalancer:
        """Wait until the object says that it serves, or why not."""
        deadline = time.monotonic() + seconds
        while True:
            balancer = await self.get(name)
            if [c.reason for c in balancer.status.conditions][1:] == [reason]:
                return balancer
            assert time.monotonic() < deadline, balancer.status
            await asyncio.sleep(0.02)

    async def until_announced(self, text: str, name: str = "service-1") -> LoadBalancer:
        """Wait until the object says that of who announces its address."""
        deadline = time.monotonic() + 5
        while True:
            balancer = await self.get(name)
            if balancer.status.announced_by == text:
                return balancer
            assert time.monotonic() < deadline, balancer.status
            await asyncio.sleep(0.02)


@pytest.fixture
async def world(kubeconfig: Path) -> AsyncIterator[World]:
    """A world without a replica."""
    cluster = await Cluster.connect(kubeconfig)
    await apply_crds(cluster, all_crds())
    async with asyncio.TaskGroup() as tasks:
        made = World(kubeconfig, cluster, tasks)
        yield made
        await made.replicas.stop_all()
    await made.clean()
    await cluster.close()


def writes() -> float:
    """PATCH requests of LoadBalancers by this test process so far."""
    labels = {"method": "PATCH", "resource": "loadbalancers", "code": "200"}
    return REGISTRY.get_sample_value("rest_client_requests_total", labels) or 0.0


async def test_an_address_is_told_when_every_node_has_acknowledged_this_very_generation(world: World) -> None:
    await world.prepare(("node-1", "node-2"))
    await world.replicas.start()
    balancer = await world.create(ports=(443, 80))
    words = [{"node": node, "port": port} for node in ("node-1", "node-2") for port in (443, 80)]
    for changes in words[:-1]:
        await world.say(balancer, **changes)
    before = balancer.metadata.generation
    await world.say(balancer, **words[-1], load_balancer=LoadBalancerRevision(balancer.metadata.uid, before + 1))
    await world.say(balancer, **words[-1], load_balancer=LoadBalancerRevision("another", before))
    await world.until_told(1)
    assert world.reasons() == ["InProgress/InProgress"]
    assert world.reports()[0].ingress == ()
    await world.say(balancer, **words[-1], hops=(Hop("watch", 1), Hop("probe", 2)))
    await world.until_told(2)
    (report,) = world.reports()[1:]
    assert world.reasons()[1:] == ["Complete/ProbeAnswered"]
    assert [entry.ip for entry in report.ingress] == [ADDRESS]
    assert (report.wish, [hop.name for hop in report.hops]) == ("wish-1", ["watch", "probe", "report"])
    status = (await world.until_written("ProbeAnswered")).status
    assert status.addresses == (ADDRESS,)
    assert status.observed_generation == before
    assert [(node.node, node.generation, node.state) for node in status.nodes] == [
        ("node-1", before, "programmed"),
        ("node-2", before, "programmed"),
    ]


async def test_a_fast_acknowledgement_costs_one_report_and_one_write_and_then_there_is_rest(world: World) -> None:
    await world.prepare()
    replica = await world.replicas.start()
    before = writes()
    balancer = await world.create()
    await world.say(balancer, probe=Probe.PENDING)
    await world.say(balancer)
    await world.until_told(1)
    version = (await world.until_written("ProbeAnswered")).metadata.resource_version
    for _ in range(10):
        await world.say(balancer)
    await eventually(lambda: replica.reports.idle() and replica.objects.idle() and not replica.objects.delayed)
    await eventually(lambda: not replica.reports.delayed)
    assert world.reasons() == ["Complete/ProbeAnswered"]
    assert (await world.get()).metadata.resource_version == version
    assert writes() == before + 1


async def test_nothing_delays_a_report(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    balancer = await world.create()
    delays: list[float] = []
    for number in range(10):
        began = time.monotonic()
        await world.say(balancer, probe=(Probe.ANSWERED, Probe.UNANSWERED)[number % 2])
        await world.until_told(number + 1)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[5] < HOLD_SECONDS / 10


async def test_an_older_acknowledgement_does_not_serve_an_edit(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    balancer = await world.create()
    await world.say(balancer)
    await world.until_told(1)
    edited = await world.edit({"wish": "wish-2", "service": {"ports": [{"port": 443, "nodePort": 30444}]}})
    await world.say(balancer)
    await world.until_told(2)
    report = world.reports()[1]
    assert (report.wish, world.reasons()[1]) == ("wish-2", "InProgress/InProgress")
    assert [entry.ip for entry in report.ingress] == [ADDRESS]
    await world.say(edited)
    await world.until_told(3)
    assert world.reasons()[2] == "Complete/ProbeAnswered"
    generations = {(report.generation, report.revision) for report in world.reports()}
    assert len(generations) == 3
    assert (await world.until_written("ProbeAnswered")).status.observed_generation == 2


async def test_the_probe_decides_what_serves(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    balancer = await world.create()
    await world.say(balancer, probe=Probe.PENDING)
    await world.until_told(1)
    assert world.reasons() == ["Complete/InProgress"]
    assert [entry.ip for entry in world.reports()[0].ingress] == [ADDRESS]
    for probe in (Probe.UNANSWERED, Probe.ANSWERED, Probe.UNANSWERED):
        told = len(world.told)
        await world.say(balancer, probe=probe)
        await world.until_told(told + 1)
    await world.say(balancer, real_servers=0, reason="NoReadyBackend", probe=Probe.PENDING)
    await world.until_told(5)
    assert world.reasons()[1:] == [
        "Complete/ProbeUnanswered",
        "Complete/ProbeAnswered",
        "Complete/ProbeUnanswered",
        "Complete/NoReadyBackend",
    ]
    await world.say(balancer, state=RealizedState.REJECTED, message="cannot bind: permission denied")
    await world.until_told(6)
    assert world.reasons()[5:] == ["DataplaneRejected/DataplaneRejected"]
    assert [entry.ip for entry in world.reports()[5].ingress] == [ADDRESS]
    rejected = await world.until_written("DataplaneRejected")
    assert rejected.status.conditions[0].message == "cannot bind: permission denied"


async def test_a_refusal_is_told_at_once_and_written(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    await world.create(addresses=(), group="", refusal=REFUSAL)
    await world.until_told(1)
    assert world.reasons() == ["PoolExhausted/PoolExhausted"]
    status = (await world.until_written("PoolExhausted")).status
    assert {condition.message for condition in status.conditions} == {REFUSAL.message}


async def test_words_may_come_before_their_object(world: World) -> None:
    await world.prepare()
    replica = await world.replicas.start()
    made = await world.create("service-early")
    await world.cluster.delete(LOAD_BALANCERS, "service-early", world.namespace)
    await eventually(lambda: (world.namespace, "service-early") not in replica.memory.load_balancers)
    await world.say(made, load_balancer=LoadBalancerRevision("not yet made", 1))
    await eventually(lambda: replica.memory.realized((world.namespace, "service-early")))
    again = await world.create("service-early")
    await world.until_told(1, "service-early")
    assert world.reasons("service-early") == ["InProgress/InProgress"]
    await world.say(again)
    await world.until_told(2, "service-early")
    assert world.reasons("service-early")[1:] == ["Complete/ProbeAnswered"]


async def test_a_release_is_passed_on_to_its_tenant(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    body = encode(ServiceReleased(generation=5, hops=(Hop("decide", 1),)))
    await world.bus.notify(subjects.released(world.account, CLUSTER, "service-9"), body)
    await world.until_told(1, "service-9")
    (report,) = world.reports("service-9")
    assert (report.released, report.wish, report.ingress) == (True, "", ())
    assert [hop.name for hop in report.hops] == ["decide", "report"]


async def test_a_release_that_comes_too_late_waits_for_the_end_of_what_was_made_since(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    await world.say(await world.create())
    await world.until_told(1)
    for name in ("service-1", "service-9"):
        await world.bus.notify(subjects.released(world.account, CLUSTER, name), encode(ServiceReleased(generation=5)))
    await world.until_told(1, "service-9")
    assert [report.released for report in world.reports()] == [False]
    await world.cluster.delete(LOAD_BALANCERS, "service-1", world.namespace)
    await eventually(lambda: world.reports()[-1].released)


async def test_integrations_are_told_what_changes_over_restarts_too(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    await world.say(await world.create())
    subject = subjects.event(world.tenant, "serving")

    def told(word: str) -> int:
        stream = world.bus.server.streams.get(events_stream().name)
        return len(stream.messages.get(subjects.event(world.tenant, word), ())) if stream else 0

    await eventually(lambda: told("serving") == 1)
    await world.replicas.stop()
    await world.cluster.delete(LOAD_BALANCERS, "service-1", world.namespace)
    await world.replicas.start("status-2")
    await eventually(lambda: told("address-released") == 1)
    assert (told("address-allocated"), told("serving"), told("not-serving")) == (1, 1, 1)
    (serving,) = world.bus.server.streams[events_stream().name].messages[subject]
    assert decode(Serving, serving.data).addresses == (ADDRESS,)


async def test_a_snapshot_tells_one_cluster_everything_again(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    for name in ("service-1", "service-2", "service-3"):
        balancer = await world.create(name)
        if name != "service-3":
            await world.say(balancer)
    await world.create("service-elsewhere", cluster_uid="cluster-2")
    await eventually(lambda: len(world.told) == 3, 2)
    watcher = world.bus.for_tenant(world.account)

    async def ask(bus: FakeBus, cluster: str = CLUSTER) -> int:
        body = await bus.request(subjects.LOCAL_SNAPSHOT, encode(SnapshotRequested(cluster=cluster)))
        return decode(SnapshotAnswered, body).reports

    assert await ask(watcher) == 3
    await eventually(lambda: len(world.told) == 6)
    assert sorted(uid for uid, _ in world.told[3:]) == ["service-1", "service-2", "service-3"]
    assert await ask(world.bus.for_tenant("ANOTHER")) == 0
    assert await ask(watcher, "cluster-9") == 0
    assert decode(SnapshotAnswered, await watcher.request(subjects.LOCAL_SNAPSHOT, b"garbage")).reports == 0
    assert [await ask(watcher) for _ in range(20)] == [3] * 20
    await eventually(lambda: len(world.told) == 9)
    revisions = [report.revision for _, report in world.told]
    assert revisions == sorted(set(revisions))


async def test_a_restart_writes_nothing_and_tells_everything_under_a_higher_generation(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    balancer = await world.create()
    await world.say(balancer)
    await world.until_told(1)
    version = (await world.until_written("ProbeAnswered")).metadata.resource_version
    await world.replicas.stop()
    before = writes()
    replica = await world.replicas.start()
    await world.until_told(2)
    await eventually(lambda: replica.objects.idle() and not replica.objects.delayed)
    assert world.reasons() == ["Complete/ProbeAnswered"] * 2
    first, second = world.reports()
    assert second.generation > first.generation
    assert (await world.get()).metadata.resource_version == version
    assert writes() == before


async def test_a_restart_amid_an_edit_takes_no_address_away(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    await world.say(await world.create())
    await world.until_written("ProbeAnswered")
    await world.replicas.stop()
    edited = await world.edit({"wish": "wish-2"})
    await world.replicas.start()
    await world.until_told(2)
    assert world.reasons()[1] == "InProgress/InProgress"
    assert [entry.ip for entry in world.reports()[1].ingress] == [ADDRESS]
    await world.say(edited)
    await world.until_told(3)


async def test_one_of_two_replicas_acts_and_the_other_takes_over(world: World) -> None:
    await world.prepare()
    await world.replicas.start("status-1")
    second = await world.replicas.start("status-2", wait=False)
    balancer = await world.create()
    await world.say(balancer)
    await world.until_told(1)
    await eventually(lambda: second.memory.realized((world.namespace, "service-1")))
    assert not second.lease.held.is_set()
    assert len(world.told) == 1
    await world.replicas.stop()
    await eventually(second.lease.is_valid, 20)
    await world.until_told(2)
    assert world.reports()[1].generation > world.reports()[0].generation
    await world.say(balancer, probe=Probe.UNANSWERED)
    await world.until_told(3)
    assert world.reasons()[2] == "Complete/ProbeUnanswered"


async def test_what_cannot_be_read_or_speaks_for_another_changes_nothing_but_a_counter(world: World) -> None:
    await world.prepare(("node-1", "node-2"))
    await world.replicas.start()
    balancer = await world.create()
    key = VirtualServerKey(ADDRESS, 443, Protocol.TCP)

    def unreadable(kind: str) -> float:
        return REGISTRY.get_sample_value("fleetlb_unreadable_messages_total", {"kind": kind}) or 0.0

    before = unreadable("realized"), unreadable("released")
    mine = subjects.realized(world.group, "node-1", key)
    hostile = [
        b"{",
        b"[" * 100_000,
        encode(ServiceReleased()),
        encode(world.word(balancer, node="node-2")),
        encode(world.word(balancer, node="node 2 >")),
        encode(world.word(balancer, port=80)),
        encode(world.word(balancer, key=VirtualServerKey("a:b", 443, Protocol.TCP))),
    ]
    for number, body in enumerate(hostile):
        await world.bus.publish(mine, body, message_id=f"hostile-{number}")
    await world.bus.notify(subjects.released(world.account, CLUSTER, "service-1"), b"garbage")
    await world.bus.notify("fleetlb.v1.released.nonsense", encode(ServiceReleased()))
    await world.bus.publish(subjects.realized_node(world.group, "node-1"), b"whatever", message_id="node")
    await world.say(balancer, node="node-1")
    await world.until_told(1)
    assert world.reasons() == ["InProgress/InProgress"]
    of_itself = 1
    assert (unreadable("realized"), unreadable("released")) == (before[0] + len(hostile) + of_itself, before[1] + 2)
    await world.say(balancer, node="node-2")
    await world.until_told(2)
    assert world.reasons()[1:] == ["Complete/ProbeAnswered"]


async def test_a_group_whose_words_are_not_read_yet_is_not_judged(world: World) -> None:
    await world.prepare(stream=False)
    replica = await world.replicas.start()
    balancer = await world.create()
    await world.create("service-2", addresses=(), group="", refusal=REFUSAL)
    await world.until_told(1, "service-2")
    await world.until_written("PoolExhausted", "service-2")
    assert world.reports() == []
    assert (await world.get()).status.conditions == ()
    await world.bus.ensure_stream(realized_stream(world.group))
    await world.say(balancer)
    await world.until_told(1)
    assert world.reasons() == ["Complete/ProbeAnswered"]
    assert replica.memory.is_complete(world.group)


async def test_a_lost_stream_unsays_nothing(world: World) -> None:
    await world.prepare()
    replica = await world.replicas.start()
    balancer = await world.create()
    await world.say(balancer)
    await world.until_told(1)
    world.bus.server.delete_stream(realized_stream(world.group).name)
    await world.bus.ensure_stream(realized_stream(world.group))
    await world.say(balancer, probe=Probe.UNANSWERED)
    await world.until_told(2)
    await eventually(replica.reports.idle)
    assert world.reasons() == ["Complete/ProbeAnswered", "Complete/ProbeUnanswered"]


async def test_an_address_on_layer_2_serves_once_a_node_announces_it_and_the_object_names_the_node(
    world: World,
) -> None:
    await world.prepare(("node-1", "node-2"))
    pool = AddressPool(
        metadata=ObjectMeta(name=world.group),
        spec=AddressPoolSpec(addresses=("192.0.2.0/24",), group=world.group, announcement=Announcement.LAYER2),
    )
    await world.cluster.create(ADDRESS_POOLS, pool)
    await world.replicas.start()
    balancer = await world.create(pool=world.group)
    for node in ("node-1", "node-2"):
        await world.say(balancer, node=node)
    await world.create("service-2")
    await world.until_told(1, "service-2")
    assert world.reports() == [], "nothing is judged before all is read"
    await world.bus.ensure_stream(announced_stream(world.group))
    for node in ("node-1", "node-2"):
        await world.announce(node, announced=False)
    await world.until_written("InProgress")
    status = (await world.until_written("NotAnnounced", seconds=PASSING_SECONDS + 10)).status
    assert f"{ADDRESS} is carried by node-1, node-2, and no node answers" in status.conditions[1].message
    assert world.reasons()[-1] == "Complete/NotAnnounced"
    await world.announce("node-2", announced=True)
    status = (await world.until_written("ProbeAnswered")).status
    assert [(each.address, each.by, each.nodes) for each in status.announced] == [
        (ADDRESS, Announcement.LAYER2, ("node-2",))
    ]
    assert (status.announced_by, world.reasons()[-1]) == ("layer2: node-2", "Complete/ProbeAnswered")
    count = len(world.reports())
    await world.announce("node-2", announced=False)
    await world.announce("node-1", announced=True)

    await world.until_announced("layer2: node-1")
    assert len(world.reports()) == count, "a handover is no news for the tenant"
    silent = {"spec": {"announcement": "none"}}
    await world.cluster.patch(ADDRESS_POOLS, world.group, silent, kind=PatchKind.MERGE)
    assert (await world.until_announced("")).status.announced == ()
    await world.cluster.delete(ADDRESS_POOLS, world.group)


async def test_what_another_node_does_not_reach_does_not_serve_and_the_object_names_who_does(world: World) -> None:
    await world.prepare(("node-1", "node-2"))
    pool = AddressPool(
        metadata=ObjectMeta(name=world.group),
        spec=AddressPoolSpec(addresses=("192.0.2.0/24",), group=world.group, announcement=Announcement.LAYER2),
    )
    await world.cluster.create(ADDRESS_POOLS, pool)
    await world.replicas.start()
    balancer = await world.create(pool=world.group)
    await world.bus.ensure_stream(announced_stream(world.group))
    for node in ("node-1", "node-2"):
        await world.say(balancer, node=node)
    await world.announce("node-1", announced=True)
    await world.announce("node-2", announced=False, reached=VipReached(node="node-1", ports=(443,), over="eth1"))
    status = (await world.until_written("ProbeAnswered")).status
    await world.announce("node-2", announced=False, reached=VipReached(node="node-1", lost=(443,), over="eth1"))
    status = (await world.until_written("NotReachable")).status
    assert f"node-2 does not reach {ADDRESS}:443 over eth1, which node-1 answers" in status.conditions[1].message
    assert [each.reached_from for each in status.announced] == [()]
    await eventually(lambda: world.reasons()[-1] == "Complete/NotReachable")
    await world.announce("node-2", announced=False, reached=VipReached(node="node-1", ports=(443,), over="eth1"))
    status = (await world.until_written("ProbeAnswered")).status
    assert [each.reached_from for each in status.announced] == [("node-2",)]
    await eventually(lambda: world.reasons()[-1] == "Complete/ProbeAnswered")
    await world.cluster.delete(ADDRESS_POOLS, world.group)


async def test_an_address_by_bgp_serves_once_a_node_tells_a_router_and_the_object_names_both(world: World) -> None:
    await world.prepare(("node-1", "node-2"))
    routers = {
        "spec": {
            "engine": "ipvs",
            "bgp": {"asn": 65001, "peers": [{"name": "tor", "address": "10.0.0.1", "asn": 65000}]},
        }
    }
    await world.cluster.patch(BALANCER_GROUPS, world.group, routers, kind=PatchKind.MERGE)
    pool = AddressPool(
        metadata=ObjectMeta(name=world.group),
        spec=AddressPoolSpec(addresses=("192.0.2.0/24",), group=world.group, announcement=Announcement.BGP),
    )
    await world.cluster.create(ADDRESS_POOLS, pool)
    await world.replicas.start()
    balancer = await world.create(pool=world.group)
    for node in ("node-1", "node-2"):
        await world.say(balancer, node=node)
        await world.tell_routers(node, RouterSession(peer="tor", problem="Connection refused"))
    status = (await world.until_written("NotAnnounced", seconds=PASSING_SECONDS + 10)).status
    assert "node-1: tor (Connection refused); node-2: tor (Connection refused)" in status.conditions[1].message
    assert world.reasons()[-1] == "Complete/NotAnnounced"
    await world.tell_routers("node-2", RouterSession(peer="tor", up=True, routes=1))
    status = (await world.until_written("ProbeAnswered")).status
    assert [(each.by, each.nodes, each.to) for each in status.announced] == [(Announcement.BGP, ("node-2",), ("tor",))]
    assert (status.announced_by, world.reasons()[-1]) == ("bgp: node-2", "Complete/ProbeAnswered")
    count = len(world.reports())
    await world.tell_routers("node-1", RouterSession(peer="tor", up=True, routes=1))
    await world.until_announced("bgp: node-1, node-2")
    assert len(world.reports()) == count, "one more is no news for the tenant"
    await world.cluster.delete(ADDRESS_POOLS, world.group)


async def test_what_was_told_into_a_dead_connection_is_told_again(world: World) -> None:
    await world.prepare()
    await world.replicas.start()
    world.bus.server.lose_notifications()
    await world.say(await world.create())
    await world.until_written("ProbeAnswered")
    assert world.told == []
    for bus in world.bus.server.buses:
        bus.disconnect()
    for bus in world.bus.server.buses:
        bus.reconnect()
    await world.until_told(1)
    assert world.reasons() == ["Complete/ProbeAnswered"]


async def test_services_are_counted_by_state(world: World) -> None:
    await world.prepare()
    replica = await world.replicas.start()

    def count(state: str) -> float | None:
        return REGISTRY.get_sample_value("fleetlb_services", {"tenant": world.tenant, "state": state})

    balancer = await world.create()
    await eventually(lambda: count("InProgress") == 1)
    await world.say(balancer)
    await eventually(lambda: count("ProbeAnswered") == 1)
    assert count("InProgress") is None
    await world.cluster.delete(LOAD_BALANCERS, "service-1", world.namespace)
    await eventually(lambda: count("ProbeAnswered") is None)
    await eventually(lambda: not replica.memory.realized((world.namespace, "service-1")))


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    server.start()
    yield server
    server.stop()


def page(url: str) -> tuple[int, str]:
    """Status and text of a page; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


class Service:
    """The real process."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._log = log
        self._environ = {"PATH": os.defpath, **environ}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "fleetlb_status", *arguments]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=20, check=False)

    def start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", "fleetlb_status"], env=self._environ, stdout=log, stderr=log)

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far: JSON on every line."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def url(self) -> str:
        found = [line["http"][0] for line in self.lines() if line["msg"] == "listening"]
        return f"http://{found[0]}" if found else ""


async def until(condition: Callable[[], Any], child: "subprocess.Popen[bytes]", service: Service) -> None:
    """Wait while the process lives."""
    deadline = time.monotonic() + 20
    while not await asyncio.to_thread(condition):
        assert child.poll() is None, service.lines()
        assert time.monotonic() < deadline, service.lines()
        await asyncio.sleep(0.02)


async def test_the_process_lives_on_its_environment_alone(world: World, nats: NatsServer, tmp_path: Path) -> None:
    await world.prepare()
    environ = {
        "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0",
        "FLEETLB_KUBECONFIG": str(world.kubeconfig),
        "FLEETLB_NATS_URL": nats.url,
        "FLEETLB_NATS_CREDS": str(nats.hub_creds),
        "FLEETLB_SYSTEM_NAMESPACE": world.system,
        "FLEETLB_IDENTITY": "status-process",
    }
    service = Service(environ, tmp_path / "status.log")
    checked = service.run("--check")
    assert (checked.returncode, json.loads(checked.stdout)["system_namespace"]) == (0, world.system)
    assert Service({}, tmp_path / "none.log").run("--check").returncode == 78
    child = service.start()
    try:
        await until(service.url, child, service)
        url = service.url()
        await until(lambda: page(f"{url}/healthz")[0] == 200, child, service)
        assert page(f"{url}/readyz")[0] == 503
        async with asyncio.TaskGroup() as tasks:
            bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="test")
            await bus.ensure_stream(realized_stream(world.group))
            await until(lambda: page(f"{url}/readyz")[0] == 200, child, service)
            told: list[ServiceReported] = []
            balancer = await world.create()
            place = subjects.reported(world.account, CLUSTER, "service-1")
            await bus.listen(place, lambda message: told.append(decode(ServiceReported, message.data)))
            word = world.word(balancer)
            body = encode(word)
            await bus.publish(subjects.realized(world.group, word.node, word.key), body, message_id="m")
            await until(lambda: any(report.ingress for report in told), child, service)
            await world.until_written("ProbeAnswered")
            await bus.close()
        metrics = page(f"{url}/metrics")[1]
        assert f'fleetlb_services{{state="ProbeAnswered",tenant="{world.tenant}"}} 1.0' in metrics
        assert 'rest_client_requests_total{code="200",method="PATCH",resource="loadbalancers"} 1.0' in metrics
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 15) == 0
        assert service.lines()[-1]["msg"] == "stopped"
        assert not [line for line in service.lines() if line["level"] == "error"]
    finally:
        child.kill()
        child.wait()


async def test_a_stream_of_events_that_only_an_operator_can_mend_is_named_with_the_cure(
    world: World, nats: NatsServer, tmp_path: Path
) -> None:
    await world.prepare()
    environ = {
        "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0",
        "FLEETLB_KUBECONFIG": str(world.kubeconfig),
        "FLEETLB_NATS_URL": nats.url,
        "FLEETLB_NATS_CREDS": str(nats.hub_creds),
        "FLEETLB_SYSTEM_NAMESPACE": world.system,
        "FLEETLB_EVENTS_DAYS": "7",
        "FLEETLB_EVENTS_MIB": "16",
    }
    service, wanted = Service(environ, tmp_path / "status.log"), events_stream(days=7, mib=16)
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="test")
        await bus.ensure_stream(realized_stream(world.group))
        await bus.delete_stream(wanted.name)
        wrong = stream_config(wanted) | {"storage": "memory"}
        await bus.request(f"$JS.API.STREAM.CREATE.{wanted.name}", json.dumps(wrong).encode())
        child = service.start()
        try:
            await until(service.url, child, service)
            url = service.url()
            await until(lambda: f"nats stream rm {wanted.name}" in page(f"{url}/readyz")[1], child, service)
            assert page(f"{url}/readyz")[0] == 503
            await bus.delete_stream(wanted.name)
            await until(lambda: page(f"{url}/readyz")[0] == 200, child, service)
            info = json.loads(await bus.request(f"$JS.API.STREAM.INFO.{wanted.name}", b""))["config"]
            assert (info["storage"], info["max_age"], info["max_bytes"]) == ("file", 7 * 86400 * 10**9, 16 * 2**20)
        finally:
            child.kill()
            child.wait()
            await bus.close()
