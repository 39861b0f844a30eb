"""The watcher against a real API server, with a hub that the tests play by hand."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.streams import observed_stream
from fleetlb.contracts.v1 import (
    Ingress,
    InventoryObserved,
    NodesObserved,
    ServiceObserved,
    ServiceReported,
    SnapshotAnswered,
)
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, NODES, SERVICES, Object
from fleetlb.kube.service_wishes import OWN_FINALIZER, STANDARD_FINALIZER, Selection
from fleetlb.runtime.bus import Message
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.tenant_objects import a_condition, a_node, a_slice, an_endpoint
from fleetlb_tenant_watcher.watcher import Watcher
from tests.integration.conftest import KubeApis

pytestmark = pytest.mark.integration

ACCOUNT = "ACME"
ADDRESS = "192.0.2.7"
_names = (f"test-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def kubeconfig(kube_apis: KubeApis) -> Path:
    return kube_apis.start("tenant-watcher").kubeconfig


class Tenant:
    """A user of the tenant cluster, in a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def create(self, name: str = "web", finalizers: tuple[str, ...] = (), **spec: Any) -> str:
        """Create a Service of type LoadBalancer; its UID."""
        service = {
            "metadata": {"name": name, "namespace": self.namespace, "finalizers": list(finalizers)},
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 443}], **spec},
        }
        return str((await self.cluster.create(SERVICES, service))["metadata"]["uid"])

    async def get(self, name: str = "web") -> Object:
        return await self.cluster.get(SERVICES, name, self.namespace)

    async def edit(self, body: Object, name: str = "web", subresource: str | None = None) -> Object:
        return await self.cluster.patch(
            SERVICES, name, body, kind=PatchKind.MERGE, namespace=self.namespace, subresource=subresource
        )

    async def delete(self, name: str = "web") -> None:
        await self.cluster.delete(SERVICES, name, self.namespace)

    async def is_gone(self, name: str = "web") -> bool:
        try:
            await self.get(name)
        except NotFound:
            return True
        return False

    async def finalizers(self, name: str = "web") -> list[str]:
        return list((await self.get(name))["metadata"].get("finalizers", []))

    async def addresses(self, name: str = "web") -> list[str]:
        status = (await self.get(name))["status"]
        return [entry.get("ip", "") for entry in status["loadBalancer"].get("ingress", [])]

    async def conditions(self, name: str = "web") -> dict[str, str]:
        """Our conditions, as `Provisioned` to `True/Complete`."""
        found = (await self.get(name))["status"].get("conditions", [])
        return {c["type"].removeprefix("fleetlb.dev/"): f"{c['status']}/{c['reason']}" for c in found}

    async def events(self) -> list[str]:
        found = await self.cluster.list(EVENTS, self.namespace)
        return sorted(f"{event['type']} {event['reason']}" for event in found)

    async def counted(self, reason: str) -> list[int]:
        """How often each Event of a reason was said."""
        return [
            event["count"] for event in await self.cluster.list(EVENTS, self.namespace) if event["reason"] == reason
        ]

    async def serving(self) -> str:
        """What the Service says of serving."""
        return (await self.conditions()).get("Serving", "")


class Hub:
    """The hub, played by hand: what it was told, and what it says."""

    def __init__(self, bus: FakeBus, cluster_uid: str) -> None:
        self.bus = bus
        self.cluster_uid = cluster_uid
        self.told: list[tuple[str, ServiceObserved]] = []
        self.nodes: list[NodesObserved] = []
        self.inventories: list[InventoryObserved] = []
        self.snapshots = 0
        self.answers: Callable[[str, ServiceObserved], Coroutine[Any, Any, None]] | None = None
        self.tasks: asyncio.TaskGroup | None = None
        self._revision = 0

    async def run(self) -> None:
        await self.bus.serve(subjects.ALL_SNAPSHOTS, self._snapshot)
        stream = observed_stream(ACCOUNT)
        await self.bus.replay_and_follow(
            stream.name, stream.subjects[0], self._hear, on_replayed=lambda: None, on_restart=lambda: None
        )

    def _hear(self, message: Message) -> None:
        parsed = subjects.parse_observed(message.subject)
        assert parsed.cluster == self.cluster_uid
        if parsed.kind == "nodes":
            self.nodes.append(codec.decode(NodesObserved, message.data))
        elif parsed.kind == "inventory":
            self.inventories.append(codec.decode(InventoryObserved, message.data))
        else:
            observed = codec.decode(ServiceObserved, message.data)
            self.told.append((parsed.uid, observed))
            if self.answers and self.tasks:
                self.tasks.create_task(self.answers(parsed.uid, observed))

    async def _snapshot(self, subject: str, body: bytes) -> bytes:
        self.snapshots += 1
        return codec.encode(SnapshotAnswered(reports=0))

    def of(self, uid: str) -> list[ServiceObserved]:
        return [message for told, message in self.told if told == uid]

    async def report(
        self,
        uid: str,
        wish: str | None = None,
        *,
        address: str = ADDRESS,
        revision: int | None = None,
        provisioned: str = "Complete",
        serving: str = "ProbeAnswered",
        released: bool = False,
    ) -> None:
        self._revision += 1
        message = ServiceReported(
            generation=1,
            revision=self._revision if revision is None else revision,
            wish=self.of(uid)[-1].wish if wish is None else wish,
            ingress=(Ingress(ip=address, ip_mode=IpMode.PROXY),) if address and not released else (),
            conditions=() if released else (_condition(PROVISIONED, provisioned), _condition(SERVING, serving)),
            released=released,
        )
        await self.bus.notify(subjects.reported(ACCOUNT, self.cluster_uid, uid), codec.encode(message))

    async def good(self, uid: str, observed: ServiceObserved) -> None:
        """What a healthy hub answers."""
        await self.report(uid, observed.wish, released=observed.service is None)


def _condition(kind: str, reason: str) -> Condition:
    status = Status.TRUE if reason in ("Complete", "ProbeAnswered") else Status.FALSE
    return Condition(type=kind, status=status, reason=reason, message=f"because {reason}", observed_generation=3)


class Stage:
    """A tenant, a hub, and watchers that come and go between them."""

    def __init__(self, tasks: asyncio.TaskGroup, cluster: Cluster, uid: str, hub: Hub, tenant: Tenant) -> None:
        self.tasks = tasks
        self.cluster = cluster
        self.uid = uid
        self.hub = hub
        self.tenant = tenant
        self.bus: FakeBus | None = None
        self._running: list[asyncio.Task[object]] = []

    async def watch(self, selection: Selection | None = None, *, hub: bool = True, with_pods: bool = False) -> Watcher:
        """Start a watcher; it is there when this returns."""
        watcher = Watcher(self.cluster, self.uid, selection or Selection(), "test", with_pods=with_pods)
        watcher.start(self._spawn)
        await watcher.synced()
        if hub:
            await self.connect(watcher)
        return watcher

    async def connect(self, watcher: Watcher) -> None:
        self.bus = self.hub.bus.for_tenant(ACCOUNT)
        await watcher.join_hub(self.bus, self._spawn)

    async def stop_watching(self) -> None:
        if self.bus is not None:
            self.bus.disconnect()
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)
        self._running.clear()

    def _spawn(self, work: Any, name: str) -> asyncio.Task[object]:
        task: asyncio.Task[object] = self.tasks.create_task(work, name=name)
        self._running.append(task)
        return task


@pytest.fixture
async def stage(kubeconfig: Path) -> AsyncIterator[Stage]:
    cluster = await Cluster.connect(kubeconfig)
    tenant = Tenant(cluster, next(_names))
    await cluster.create(NAMESPACES, {"metadata": {"name": tenant.namespace}})
    bus = FakeBus()
    await bus.ensure_stream(observed_stream(ACCOUNT))
    uid = await cluster.uid()
    hub = Hub(bus, uid)
    async with asyncio.TaskGroup() as tasks:
        hub.tasks = tasks
        running = tasks.create_task(hub.run())
        made = Stage(tasks, cluster, uid, hub, tenant)
        try:
            yield made
        finally:
            hub.answers = None
            running.cancel()
            if made._running:
                await made.stop_watching()
            await _clean(cluster, tenant)
    await cluster.close()


async def _clean(cluster: Cluster, tenant: Tenant) -> None:
    for service in await cluster.list(SERVICES, tenant.namespace):
        name = service["metadata"]["name"]
        with contextlib.suppress(NotFound):
            await tenant.edit({"metadata": {"finalizers": None}}, name)
            await tenant.delete(name)
    for node in await cluster.list(NODES):
        await cluster.delete(NODES, node["metadata"]["name"])


async def until(question: Callable[[], Awaitable[object]], seconds: float = 8.0) -> None:
    """Ask until the answer is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (answer := await question()):
        assert asyncio.get_running_loop().time() < deadline, f"not true in time: {answer}"
        await asyncio.sleep(0.01)


class Unlike(NamedTuple):
    """An answer that is not the one that is waited for."""

    found: object
    expected: object

    def __bool__(self) -> bool:
        return False


def is_true(condition: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        return condition()

    return ask


def patches() -> float:
    """Patches of Services sent to API servers by this process, by whoever."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "rest_client_requests"
        for sample in metric.samples
        if sample.name.endswith("_total")
        and (sample.labels["method"], sample.labels["resource"]) == ("PATCH", "services")
    )


SERVED = {"Provisioned": "True/Complete", "Serving": "True/ProbeAnswered"}
IN_PROGRESS = {"Provisioned": "False/InProgress", "Serving": "False/InProgress"}


async def served(stage: Stage, **spec: Any) -> str:
    """A Service that has come all the way; its UID."""
    stage.hub.answers = stage.hub.good
    uid = await stage.tenant.create(**spec)
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    stage.hub.answers = None
    return uid


async def _is(question: Awaitable[object], expected: object) -> object:
    found = await question
    return found == expected or Unlike(found, expected)


async def test_the_quick_path_costs_two_patches_and_then_nothing(stage: Stage) -> None:
    await stage.watch()
    stage.hub.answers = stage.hub.good
    before = patches()
    uid = await stage.tenant.create()
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    service = await stage.tenant.get()
    assert service["metadata"]["finalizers"] == [STANDARD_FINALIZER]
    assert service["status"]["loadBalancer"] == {"ingress": [{"ip": ADDRESS, "ipMode": "Proxy"}]}
    assert all("observedGeneration" not in c for c in service["status"]["conditions"])
    await asyncio.sleep(0.8)  # longer than any grace period: nothing more may come
    assert patches() - before == 2
    assert (await stage.tenant.get())["metadata"]["resourceVersion"] == service["metadata"]["resourceVersion"]
    (message,) = stage.hub.of(uid)
    assert message.service is not None
    assert (message.service.ports[0].port, message.service.ports[0].node_port) == (
        443,
        service["spec"]["ports"][0]["nodePort"],
    )
    assert [hop.name for hop in message.hops] == ["watch", "publish"]
    await until(lambda: _is(stage.tenant.events(), ["Normal EnsuredLoadBalancer", "Normal EnsuringLoadBalancer"]))


async def test_resyncs_and_restarts_write_nothing(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    version = (await stage.tenant.get())["metadata"]["resourceVersion"]
    for _ in range(3):
        await stage.hub.bus.notify(subjects.resync(ACCOUNT, stage.uid), b"{}")
        await told_again(stage.hub, uid)
        await stage.hub.report(uid)
    await stage.stop_watching()
    await stage.watch()
    await told_again(stage.hub, uid)
    await stage.hub.report(uid)
    await asyncio.sleep(0.8)  # longer than any grace period
    assert (await stage.tenant.get())["metadata"]["resourceVersion"] == version
    assert await stage.tenant.events() == ["Normal EnsuredLoadBalancer", "Normal EnsuringLoadBalancer"]


async def told_again(hub: Hub, uid: str) -> None:
    """The hub hears of a Service once more than it has by now."""
    told = len(hub.of(uid))
    await until(is_true(lambda: len(hub.of(uid)) > told))


async def test_without_a_report_it_says_in_progress_within_a_second(stage: Stage) -> None:
    await stage.watch()
    began = asyncio.get_running_loop().time()
    uid = await stage.tenant.create()
    await until(lambda: _is(stage.tenant.conditions(), IN_PROGRESS))
    assert asyncio.get_running_loop().time() - began < 1.0
    assert await stage.tenant.addresses() == []
    await stage.hub.report(uid)
    await until(lambda: _is(stage.tenant.conditions(), SERVED))


async def test_without_a_hub_it_says_so_and_tells_everything_later(stage: Stage) -> None:
    watcher = await stage.watch(hub=False)
    uid = await stage.tenant.create()
    cut = {"Provisioned": "False/HubUnreachable", "Serving": "False/HubUnreachable"}
    await until(lambda: _is(stage.tenant.conditions(), cut))
    assert await stage.tenant.finalizers() == [STANDARD_FINALIZER]
    stage.hub.answers = stage.hub.good
    await stage.connect(watcher)
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    assert len(stage.hub.of(uid)) == 1


async def test_a_reconnect_tells_everything_again_and_asks_for_reports(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    asked = stage.hub.snapshots
    assert stage.bus is not None
    stage.bus.disconnect()
    await stage.tenant.edit({"metadata": {"annotations": {"fleetlb.dev/pool": "gold"}}})
    await until(lambda: _is(stage.tenant.conditions(), {**SERVED, "Provisioned": "False/HubUnreachable"}))
    stage.hub.answers = stage.hub.good
    stage.bus.reconnect()
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    await until(is_true(lambda: stage.hub.snapshots > asked))
    last = stage.hub.of(uid)[-1].service
    assert last is not None
    assert last.pool == "gold"


async def test_a_lost_stream_is_filled_again(stage: Stage) -> None:
    await stage.watch()
    first = await served(stage)
    stage.hub.bus.server.delete_stream(observed_stream(ACCOUNT).name)
    await stage.hub.bus.ensure_stream(observed_stream(ACCOUNT))
    told = len(stage.hub.of(first))
    await stage.tenant.create("another")
    await until(is_true(lambda: len(stage.hub.of(first)) > told))


@pytest.mark.parametrize(
    "status",
    [
        {"loadBalancer": {"ingress": None}},
        {"loadBalancer": {"ingress": [{"hostname": "elsewhere.example.com"}]}},
        {"loadBalancer": {"ingress": None}, "conditions": None},
    ],
    ids=["cleared", "replaced", "all cleared"],
)
async def test_a_status_that_somebody_altered_is_repaired(stage: Stage, status: Object) -> None:
    await stage.watch()
    await served(stage)
    foreign = a_condition("Foreign", "True", "Mine")
    await stage.tenant.edit({"status": status}, subresource="status")
    await until(lambda: _is(stage.tenant.addresses(), [ADDRESS]))
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    mine = (await stage.tenant.get())["status"]["conditions"]
    await stage.tenant.edit({"status": {"conditions": [foreign, *mine[:1]]}}, subresource="status")
    await until(lambda: _is(stage.tenant.conditions(), {**SERVED, "Foreign": "True/Mine"}))


async def test_an_edit_is_told_and_the_address_stays(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.edit({"spec": {"ports": [{"port": 8443, "protocol": "TCP", "nodePort": 31234}]}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 2))
    message = stage.hub.of(uid)[-1]
    assert message.service is not None
    assert (message.service.ports[0].port, message.service.ports[0].node_port) == (8443, 31234)
    await until(lambda: _is(stage.tenant.conditions(), IN_PROGRESS))
    assert await stage.tenant.addresses() == [ADDRESS]
    await stage.hub.report(uid)
    await until(lambda: _is(stage.tenant.conditions(), SERVED))


async def test_labels_and_heartbeats_tell_the_hub_nothing(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.edit({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
    await stage.tenant.create("marker")
    await until(is_true(lambda: stage.hub.told[-1][0] != uid))
    assert len(stage.hub.of(uid)) == 1


async def test_labels_that_pools_may_select_by_are_told_and_their_edits_too(stage: Stage) -> None:
    await stage.watch(Selection(labels=("team",)))
    uid = await served(stage)
    edits: list[dict[str, str | None]] = [{"team": "a", "other": "b"}, {"fleetlb.dev/tier": "gold"}, {"team": None}]
    for number, labels in enumerate(edits, start=2):
        await stage.tenant.edit({"metadata": {"labels": labels}})
        await until(is_true(lambda wanted=number: len(stage.hub.of(uid)) == wanted))  # type: ignore[misc]
    told = [message.service.labels for message in stage.hub.of(uid) if message.service is not None]
    assert told == [{}, {"team": "a"}, {"fleetlb.dev/tier": "gold", "team": "a"}, {"fleetlb.dev/tier": "gold"}]
    await stage.tenant.edit({"metadata": {"labels": {"other": "c"}}})
    await stage.tenant.create("marker")
    await until(is_true(lambda: stage.hub.told[-1][0] != uid))
    assert len(stage.hub.of(uid)) == len(told)


async def test_EVT_3_what_fails_again_within_minutes_raises_a_count(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    for _ in range(3):
        for reason in ("NoEligibleNode", "ProbeAnswered"):
            await stage.hub.report(uid, serving=reason)
            status = "True" if reason == "ProbeAnswered" else "False"
            await until(lambda said=f"{status}/{reason}": _is(stage.tenant.serving(), said))  # type: ignore[misc]
    await until(lambda: _is(stage.tenant.counted("UnAvailableLoadBalancer"), [3]))


async def test_a_late_report_changes_nothing(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.hub.report(uid, address="192.0.2.99", revision=0)
    await stage.hub.report(uid, address="192.0.2.8")
    await until(lambda: _is(stage.tenant.addresses(), ["192.0.2.8"]))
    await stage.hub.report(uid, address="192.0.2.99", revision=0)
    await stage.tenant.create("marker")
    await until(is_true(lambda: stage.hub.told[-1][0] != uid))
    assert await stage.tenant.addresses() == ["192.0.2.8"]


async def test_a_deletion_waits_for_the_hub(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.delete()
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    assert await stage.tenant.finalizers() == [STANDARD_FINALIZER]
    assert await stage.tenant.addresses() == [ADDRESS]
    await stage.hub.report(uid, released=True)
    await until(stage.tenant.is_gone)
    verbs = ("Deleted", "Deleting", "Ensured", "Ensuring")
    await until(lambda: _is(stage.tenant.events(), [f"Normal {verb}LoadBalancer" for verb in verbs]))


async def test_finalizers_of_others_are_kept_in_their_order(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage, finalizers=("a.example.com/one", "b.example.com/two"))
    await stage.tenant.delete()
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    await stage.hub.report(uid, released=True)
    await until(lambda: _is(stage.tenant.finalizers(), ["a.example.com/one", "b.example.com/two"]))
    assert (await stage.tenant.conditions(), await stage.tenant.addresses()) == ({}, [])


async def test_a_change_of_type_there_and_back(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.edit({"spec": {"type": "ClusterIP"}})
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    assert await stage.tenant.finalizers() == [STANDARD_FINALIZER]
    await stage.hub.report(uid, released=True)
    await until(lambda: _is(stage.tenant.finalizers(), []))
    assert (await stage.tenant.conditions(), await stage.tenant.addresses()) == ({}, [])
    stage.hub.answers = stage.hub.good
    await stage.tenant.edit({"spec": {"type": "LoadBalancer"}})
    await until(lambda: _is(stage.tenant.conditions(), SERVED))
    assert await stage.tenant.finalizers() == [STANDARD_FINALIZER]


async def test_a_watcher_that_restarts_in_the_middle_of_a_release(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.delete()
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    await stage.stop_watching()
    await stage.hub.report(uid, released=True)
    told = len(stage.hub.of(uid))
    await stage.watch()
    await until(is_true(lambda: len(stage.hub.of(uid)) > told))
    assert not await stage.tenant.is_gone()
    await stage.hub.report(uid, released=True)
    await until(stage.tenant.is_gone)


async def test_a_release_that_nobody_answers_is_asked_for_again(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.delete()
    await until(is_true(lambda: [m.service for m in stage.hub.of(uid)[1:]] == [None, None]), seconds=8)


async def test_a_namesake_has_its_own_life(stage: Stage) -> None:
    await stage.watch()
    old = await served(stage)
    await stage.tenant.delete()
    await until(is_true(lambda: stage.hub.of(old)[-1].service is None))
    await stage.hub.report(old, released=True)
    await until(stage.tenant.is_gone)
    new = await served(stage)
    assert new != old
    await stage.hub.report(old, wish=stage.hub.of(new)[-1].wish, address="192.0.2.66")
    await stage.hub.report(old, released=True)
    await stage.tenant.create("marker")
    await until(is_true(lambda: stage.hub.told[-1][0] not in (old, new)))
    assert (await stage.tenant.addresses(), await stage.tenant.finalizers()) == ([ADDRESS], [STANDARD_FINALIZER])


async def test_a_finalizer_removed_by_hand_is_reported_to_the_hub(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.delete()
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    await stage.tenant.edit({"metadata": {"finalizers": None}})
    await until(stage.tenant.is_gone)
    told = len(stage.hub.of(uid))
    await until(is_true(lambda: len(stage.hub.of(uid)) > told))
    assert stage.hub.of(uid)[-1].service is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"ports": [{"name": f"p{n}", "port": n, "nodePort": 30000 + n} for n in range(1, 252)]}, "Unsupported"),
        ({"loadBalancerIP": "not an address"}, "InvalidWish"),
    ],
)
async def test_refusals_stand_on_the_service(stage: Stage, spec: Object, reason: str) -> None:
    await stage.watch()
    uid = await stage.tenant.create(**spec)
    refused = {"Provisioned": f"False/{reason}", "Serving": f"False/{reason}"}
    await until(lambda: _is(stage.tenant.conditions(), refused))
    await until(lambda: _is(stage.tenant.events(), ["Warning SyncLoadBalancerFailed"]))
    assert (await stage.tenant.finalizers(), stage.hub.of(uid)) == ([], [])
    await stage.tenant.delete()
    await until(stage.tenant.is_gone)


async def test_what_a_balancer_group_may_refuse_is_told_and_its_refusal_stands_on_the_service(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    ranges = ["2001:db8::/32", "10.0.0.0/8"]
    annotations = {"fleetlb.dev/scheduler": "wlc"}
    await stage.tenant.edit({"metadata": {"annotations": annotations}, "spec": {"loadBalancerSourceRanges": ranges}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 2))
    service = stage.hub.of(uid)[-1].service
    assert service is not None
    assert (service.source_ranges, service.scheduler) == (("10.0.0.0/8", "2001:db8::/32"), "wlc")
    await stage.hub.report(uid, provisioned="Unsupported")
    await until(lambda: _is(stage.tenant.conditions(), {**SERVED, "Provisioned": "False/Unsupported"}))
    assert await stage.tenant.addresses() == [ADDRESS]
    begun = ["Normal EnsuredLoadBalancer", "Normal EnsuringLoadBalancer"]
    await until(lambda: _is(stage.tenant.events(), [*begun, "Warning SyncLoadBalancerFailed"]))
    await stage.tenant.edit({"spec": {"loadBalancerSourceRanges": None}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 3))
    service = stage.hub.of(uid)[-1].service
    assert service is not None
    assert service.source_ranges == ()


async def test_sctp_is_told(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage, ports=[{"port": 443, "protocol": "SCTP"}])
    service = stage.hub.of(uid)[-1].service
    assert service is not None
    assert [(port.port, port.protocol) for port in service.ports] == [(443, "SCTP")]


async def test_a_refused_edit_keeps_the_wish_of_before(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    await stage.tenant.edit({"metadata": {"annotations": {"fleetlb.dev/scheduler": "fastest"}}})
    await until(lambda: _is(stage.tenant.conditions(), {**SERVED, "Provisioned": "False/InvalidWish"}))
    assert len(stage.hub.of(uid)) == 1
    assert await stage.tenant.addresses() == [ADDRESS]
    await stage.stop_watching()
    await stage.watch()
    await until(is_true(lambda: any(uid in i.services for i in stage.hub.inventories[-1:])))
    assert len(stage.hub.of(uid)) == 1
    await stage.tenant.edit({"metadata": {"annotations": None}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 2))
    await stage.hub.report(uid)
    await until(lambda: _is(stage.tenant.conditions(), SERVED))


async def test_services_of_others_are_left_alone(stage: Stage) -> None:
    await stage.watch()
    await stage.tenant.create("foreign", loadBalancerClass="example.com/other")
    await stage.tenant.create("plain", type="ClusterIP")
    versions = [(await stage.tenant.get(name))["metadata"]["resourceVersion"] for name in ("foreign", "plain")]
    await served(stage)
    after = [(await stage.tenant.get(name))["metadata"]["resourceVersion"] for name in ("foreign", "plain")]
    assert after == versions
    assert len({uid for uid, _ in stage.hub.told}) == 1


async def test_class_mode(stage: Stage) -> None:
    await stage.watch(Selection("example.com/lb"))
    await stage.tenant.create("default")
    uid = await served(stage, loadBalancerClass="example.com/lb")
    assert sorted(await stage.tenant.finalizers()) == sorted([STANDARD_FINALIZER, OWN_FINALIZER])
    assert await stage.tenant.finalizers("default") == []
    await stage.tenant.edit({"spec": {"type": "ClusterIP", "loadBalancerClass": None}})
    await until(is_true(lambda: stage.hub.of(uid)[-1].service is None))
    await stage.hub.report(uid, released=True)
    await until(lambda: _is(stage.tenant.finalizers(), []))


async def test_endpoints_and_nodes_are_told(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage, externalTrafficPolicy="Local")
    cut = {"namespace": stage.tenant.namespace}
    item = a_slice(an_endpoint("node-a", ready=True))
    item["metadata"] = {"name": "web-1", "labels": item["metadata"]["labels"], **cut}
    before = patches()
    await stage.cluster.create(ENDPOINT_SLICES, item)
    await until(is_true(lambda: stage.hub.of(uid)[-1].endpoints is not None))
    endpoints = stage.hub.of(uid)[-1].endpoints
    assert endpoints is not None
    assert (endpoints.ready, endpoints.nodes) == (True, ("node-a",))
    assert stage.hub.of(uid)[-1].wish == stage.hub.of(uid)[0].wish
    node = a_node("node-a")
    await stage.cluster.create(NODES, {"metadata": {"name": "node-a"}, "status": node["status"]})
    await until(is_true(lambda: any(n.name == "node-a" for n in stage.hub.nodes[-1].nodes)))
    assert patches() == before


async def test_NOD_1_NOD_3_NOD_7_of_a_node_only_what_matters_is_told(stage: Stage) -> None:
    await stage.watch()
    for name in ("node-a", "node-b"):
        await stage.cluster.create(NODES, {"metadata": {"name": name}})

    async def edit(name: str, body: Object, subresource: str | None = None) -> None:
        await stage.cluster.patch(NODES, name, body, kind=PatchKind.MERGE, subresource=subresource)

    def told() -> dict[str, bool]:
        return {node.name: node.eligible for node in stage.hub.nodes[-1].nodes}

    await until(is_true(lambda: told() == {"node-a": True, "node-b": True}))
    messages = len(stage.hub.nodes)
    for beat in range(5):
        condition = {"type": "Ready", "status": "False", "lastHeartbeatTime": f"2026-11-25T12:00:0{beat}Z"}
        await edit("node-a", {"status": {"conditions": [condition]}}, "status")
    doomed = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    await edit("node-a", {"spec": {"unschedulable": True, "taints": [doomed]}})
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    await edit("node-b", {"metadata": {"labels": {label: ""}}})
    await until(is_true(lambda: told() == {"node-a": False, "node-b": False}))
    assert len(stage.hub.nodes) == messages + 1
    await edit("node-b", {"metadata": {"labels": {label: "false"}}})
    await until(is_true(lambda: told() == {"node-a": False, "node-b": True}))
    await edit("node-a", {"spec": {"taints": None}})
    await until(is_true(lambda: told() == {"node-a": True, "node-b": True}))
    assert len(stage.hub.nodes) == messages + 3


async def add_slice(stage: Stage, name: str, *endpoints: Object, **given: Any) -> None:
    """An EndpointSlice of the Service web, in the tenant's namespace."""
    item = a_slice(*endpoints, **given)
    labels = item["metadata"]["labels"]
    item["metadata"] = {"name": name, "labels": labels, "namespace": stage.tenant.namespace}
    await stage.cluster.create(ENDPOINT_SLICES, item)


async def test_NPT_1_without_node_ports_pods_are_told_of_all_slices_and_families(stage: Stage) -> None:
    await stage.watch(with_pods=True)
    uid = await served(
        stage, allocateLoadBalancerNodePorts=False, ports=[{"name": "https", "port": 443, "targetPort": "https"}]
    )
    service = stage.hub.of(uid)[0].service
    assert service is not None
    assert [(port.port, port.node_port) for port in service.ports] == [(443, 0)]
    await add_slice(stage, "web-1", an_endpoint("node-a", address="10.244.1.7", ready=True))
    other = ({"name": "https", "port": 9443, "protocol": "TCP"},)
    await add_slice(stage, "web-2", an_endpoint("node-b", address="10.244.2.9", ready=True), ports=other)
    await add_slice(stage, "web-3", an_endpoint("node-a", address="fd10::1:7", ready=True), family="IPv6")

    def pods() -> list[tuple[int, list[str]]]:
        endpoints = stage.hub.of(uid)[-1].endpoints
        groups = endpoints.pods if endpoints and endpoints.pods else ()
        return [(group.ports[0].port, [f"{pod.address} {pod.node}" for pod in group.pods]) for group in groups]

    await until(
        is_true(lambda: pods() == [(8443, ["10.244.1.7 node-a", "fd10::1:7 node-a"]), (9443, ["10.244.2.9 node-b"])])
    )


async def test_ETP_5_the_health_check_node_port_comes_and_goes_with_policy_local(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage, externalTrafficPolicy="Local")
    given = (await stage.tenant.get())["spec"]["healthCheckNodePort"]
    await stage.tenant.edit({"spec": {"externalTrafficPolicy": "Cluster"}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 2))
    await stage.tenant.edit({"spec": {"externalTrafficPolicy": "Local"}})
    await until(is_true(lambda: len(stage.hub.of(uid)) == 3))
    again = (await stage.tenant.get())["spec"]["healthCheckNodePort"]
    told = [message.service for message in stage.hub.of(uid)]
    assert [service.health_check_node_port for service in told if service] == [given, 0, again]
    assert 0 not in (given, again)


async def test_NPT_3_to_allocate_no_more_keeps_node_ports_and_says_nothing(stage: Stage) -> None:
    await stage.watch()
    uid = await served(stage)
    before = (await stage.tenant.get())["spec"]["ports"][0]["nodePort"]
    await stage.tenant.edit({"spec": {"allocateLoadBalancerNodePorts": False}})
    await stage.tenant.edit({"spec": {"sessionAffinity": "ClientIP"}})
    await until(is_true(lambda: len(stage.hub.of(uid)) > 1))
    assert (await stage.tenant.get())["spec"]["ports"][0]["nodePort"] == before
    told = [message.service for message in stage.hub.of(uid)]
    assert [service.affinity_seconds for service in told if service] == [0, 10800]
    assert {service.ports[0].node_port for service in told if service} == {before}


async def test_a_storm_of_edits_ends_with_the_last(stage: Stage) -> None:
    await stage.watch()
    stage.hub.answers = stage.hub.good
    uid = await served(stage)
    stage.hub.answers = stage.hub.good
    for number in range(30):
        await stage.tenant.edit({"spec": {"ports": [{"port": 1000 + number, "protocol": "TCP", "nodePort": 31234}]}})
    await until(is_true(lambda: _last_port(stage.hub, uid) == 1029))
    await until(lambda: _is(stage.tenant.conditions(), SERVED))


def _last_port(hub: Hub, uid: str) -> int:
    service = hub.of(uid)[-1].service
    return service.ports[0].port if service else 0


async def test_many_services_at_once(stage: Stage) -> None:
    await stage.watch()
    stage.hub.answers = stage.hub.good
    before = patches()
    async with asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(stage.tenant.create(f"web-{number}"))
    await until(is_true(lambda: len({uid for uid, _ in stage.hub.told}) == 60), seconds=15)

    async def all_served() -> bool:
        services = await stage.cluster.list(SERVICES, stage.tenant.namespace)
        return all(s["status"]["loadBalancer"].get("ingress") for s in services)

    await until(all_served, seconds=15)
    assert patches() - before <= 2 * 60 + 60  # a machine under load may be late for some reports
