"""The watcher put together as in production, against an API server that does what real ones only do on bad days."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.streams import observed_stream
from fleetlb.contracts.v1 import Ingress, NodesObserved, ServiceObserved, ServiceReported
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.domain.services import Pod, PodGroup, PodPort, TenantNode
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.service_wishes import STANDARD_FINALIZER, Selection
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.scripted_kube import Json, Reply, ScriptedKube, Watch, refusal
from fleetlb.testkit.tenant_objects import DEFAULT_PORTS, Object, a_node, a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.nodes import DOOMED_TAINT
from fleetlb_tenant_watcher.watcher import Watcher

ACCOUNT, CLUSTER = "ACME", "cluster-uid"
GUARDED = (STANDARD_FINALIZER,)
WEB = "/api/v1/namespaces/shop/services/web"
NEXT = "/api/v1/namespaces/shop/services/next"
WEB_STATUS = f"{WEB}/status"
EVENTS = "/api/v1/namespaces/shop/events"


class Stage:
    """A scripted API server, a hub, and a watcher between them."""

    def __init__(self, kube: ScriptedKube, hub: FakeBus, tasks: asyncio.TaskGroup) -> None:
        self.kube = kube
        self.hub = hub
        self.bus = hub.for_tenant(ACCOUNT)
        self.services, self.slices, self.nodes = Watch(), Watch(), Watch()
        self.services_later = Watch()
        self._tasks = tasks
        self._running: list[asyncio.Task[object]] = []
        self._revision = 0

    async def begin(self, cluster: Cluster, *services: Object, with_pods: bool = False) -> None:
        """Start the watcher on a cluster with these Services."""
        for path, watch in (
            ("/api/v1/services", self.services),
            ("/apis/discovery.k8s.io/v1/endpointslices", self.slices),
            ("/api/v1/nodes", self.nodes),
        ):
            for service in services if watch is self.services else ():
                watch.send("ADDED", service)
            self.kube.on("WATCH", path, watch.bookmark("100", end=True))
        self.kube.on("WATCH", "/api/v1/services", self.services_later)
        self.kube.on("POST", EVENTS, Json({"metadata": {"name": "e"}}, status=201))
        await self.hub.ensure_stream(observed_stream(ACCOUNT))
        watcher = Watcher(cluster, CLUSTER, Selection(), "test", with_pods=with_pods)
        watcher.start(self._spawn)
        await watcher.join_hub(self.bus, self._spawn)

    def answers(self, path: str, *replies: Reply) -> None:
        """What patches of a Service are answered, one after the other."""
        self.kube.on("PATCH", path, *replies)

    def patches(self, path: str = WEB) -> list[Any]:
        return [request.body for request in self.kube.sent("PATCH", path)]

    def told(self) -> list[ServiceObserved]:
        return [codec.decode(ServiceObserved, body) for place, body in self.bus.published if ".service." in place]

    async def report(self, *, released: bool = False) -> None:
        self._revision += 1
        conditions = (
            Condition(type=PROVISIONED, status=Status.TRUE, reason="Complete"),
            Condition(type=SERVING, status=Status.TRUE, reason="ProbeAnswered"),
        )
        message = ServiceReported(
            generation=1,
            revision=self._revision,
            wish=self.told()[-1].wish,
            released=released,
            ingress=() if released else (Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY),),
            conditions=() if released else conditions,
        )
        await self.hub.notify(subjects.reported(ACCOUNT, CLUSTER, "uid-1"), codec.encode(message))

    def end(self) -> None:
        for task in self._running:
            task.cancel()

    def _spawn(self, work: Any, name: str) -> None:
        self._running.append(self._tasks.create_task(work, name=name))


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with ScriptedKube() as server:
        yield server


@pytest.fixture
async def cluster(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube.kubeconfig(tmp_path))
    yield connected
    await connected.close()


@pytest.fixture
async def stage(kube: ScriptedKube, cluster: Cluster) -> AsyncIterator[Stage]:
    async with asyncio.TaskGroup() as tasks:
        made = Stage(kube, FakeBus(), tasks)
        yield made
        made.end()


def answer(**given: Any) -> Json:
    return Json(a_service(**given))


async def test_the_hub_hears_nothing_until_the_finalizer_stands(stage: Stage, cluster: Cluster) -> None:
    stage.answers(
        WEB,
        refusal(500),
        refusal(429, "TooManyRequests"),
        refusal(403, "Forbidden"),
        answer(version=9, finalizers=GUARDED),
    )
    await stage.begin(cluster, a_service())
    await eventually(lambda: len(stage.patches()) == 3)
    assert stage.told() == []
    await eventually(lambda: len(stage.told()) == 1)
    assert stage.patches() == [{"metadata": {"uid": "uid-1", "finalizers": list(GUARDED)}}] * 4


async def test_a_conflict_is_tried_again_on_what_is_known_by_then(stage: Stage, cluster: Cluster) -> None:
    stage.answers(WEB_STATUS, refusal(409, "Conflict"), answer(version=9, finalizers=GUARDED))
    await stage.begin(cluster, a_service(finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) == 1)
    await stage.report()
    await eventually(lambda: len(stage.patches(WEB_STATUS)) == 2)


async def test_a_service_that_vanished_is_not_asked_after(stage: Stage, cluster: Cluster) -> None:
    stage.answers(WEB, refusal(404, "NotFound"))
    stage.answers(NEXT, answer(name="next", uid="uid-2", version=900, finalizers=GUARDED))
    await stage.begin(cluster, a_service())
    await eventually(stage.patches)
    stage.services.send("DELETED", a_service(version=200))
    stage.services.send("ADDED", a_service("next", uid="uid-2", version=201))
    await eventually(lambda: len(stage.told()) == 1)
    assert len(stage.patches()) <= 2, "at first sight, and once when the hub came into reach"


async def test_nothing_waits_for_an_event(stage: Stage, cluster: Cluster) -> None:
    forbidden = refusal(403, "Forbidden", causes=[{"reason": "NamespaceTerminating"}])
    stage.kube.on("POST", EVENTS, forbidden)
    stage.answers(WEB, answer(version=9, deleting=True))
    await stage.begin(cluster, a_service(finalizers=GUARDED, deleting=True))
    await eventually(lambda: len(stage.told()) == 1)
    await stage.report(released=True)
    await eventually(lambda: stage.kube.sent("POST", EVENTS))
    assert stage.patches() == [{"metadata": {"uid": "uid-1", "$deleteFromPrimitiveList/finalizers": list(GUARDED)}}]
    stage.services.send("DELETED", a_service(version=300, deleting=True))
    stage.answers(NEXT, answer(name="next", uid="uid-2", version=900, finalizers=GUARDED))
    stage.services.send("ADDED", a_service("next", uid="uid-2", version=301))
    await eventually(lambda: len(stage.told()) == 2)


async def test_an_older_event_after_our_last_write_revives_nothing(stage: Stage, cluster: Cluster) -> None:
    plain: Object = {"type": "ClusterIP"}
    stage.answers(WEB, answer(version=150, **plain))
    await stage.begin(cluster, a_service(version=90, finalizers=GUARDED, **plain))
    await eventually(lambda: len(stage.told()) == 1)
    await stage.report(released=True)
    await eventually(lambda: len(stage.patches()) == 1)
    stage.services.send("MODIFIED", a_service(version=140, finalizers=GUARDED, annotations={"a": "b"}, **plain))
    stage.services.send("MODIFIED", a_service(version=150, **plain))
    stage.services.send("ADDED", a_service("next", uid="uid-2", version=151, finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) == 2)
    assert stage.told()[1].service is not None
    assert len(stage.patches()) == 1


async def test_one_service_that_cannot_be_read_hides_no_other(stage: Stage, cluster: Cluster) -> None:
    odd = a_service("odd", uid="uid-9")
    odd["spec"]["ports"] = "nonsense"
    await stage.begin(cluster, odd, a_service(finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) == 1)


async def test_one_service_that_is_refused_for_ever_delays_no_other(stage: Stage, cluster: Cluster) -> None:
    stage.answers(WEB, refusal(422, "Invalid"))
    others = [a_service(f"web-{n}", uid=f"uid-{n}", finalizers=GUARDED) for n in range(100, 150)]
    await stage.begin(cluster, a_service(), *others)
    await eventually(lambda: len(stage.told()) == 50)
    await eventually(lambda: len(stage.patches()) >= 2)


async def test_a_publish_of_unknown_outcome_is_repeated(stage: Stage, cluster: Cluster) -> None:
    stage.hub.server.lose_acks(1)
    await stage.begin(cluster, a_service(finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) >= 2 or len(stage.bus.published) >= 4)
    (stream,) = stage.hub.server.streams.values()
    assert stream.state.messages == 3, "one of the Service, one of the nodes, one inventory; no repetition stored"


async def test_NOD_3_a_taint_is_told_with_the_next_change_of_a_wish(stage: Stage, cluster: Cluster) -> None:
    def told() -> list[tuple[TenantNode, ...]]:
        return [codec.decode(NodesObserved, body).nodes for place, body in stage.bus.published if ".nodes" in place]

    stage.nodes.send("ADDED", a_node("a"))
    await stage.begin(cluster, a_service(finalizers=GUARDED))
    await eventually(lambda: len(told()) == 1 and len(stage.told()) == 1)
    stage.nodes.send("MODIFIED", a_node("a", version=200, taints=(DOOMED_TAINT,)))
    stage.services.send("MODIFIED", a_service(version=201, finalizers=GUARDED, annotations={"a": "b"}))
    stage.services.send("ADDED", a_service("next", uid="uid-2", version=202, loadBalancerIP="nowhere"))
    await eventually(lambda: stage.patches(f"{NEXT}/status"))
    assert len(told()) == 1, "no wish has changed"
    stage.services.send("MODIFIED", a_service(version=203, finalizers=GUARDED, sessionAffinity="ClientIP"))
    await eventually(lambda: len(told()) == 2)
    assert [node.eligible for node in told()[1]] == [False]


async def test_everything_is_seen_before_anything_is_told(stage: Stage, cluster: Cluster) -> None:
    stage.slices.send("ADDED", a_slice(an_endpoint(ready=True)))
    await stage.begin(cluster, a_service(finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) == 1)
    endpoints = stage.told()[0].endpoints
    assert endpoints is not None
    assert endpoints.ready


async def test_pods_are_told_where_the_hub_is_to_know_them(stage: Stage, cluster: Cluster) -> None:
    stage.slices.send("ADDED", a_slice(an_endpoint("node-a", address="10.244.0.7", ready=True)))
    await stage.begin(cluster, a_service(finalizers=GUARDED), with_pods=True)
    await eventually(lambda: len(stage.told()) == 1)
    stage.slices.send("MODIFIED", a_slice(an_endpoint("node-b", address="10.244.1.8", ready=True), version=101))
    await eventually(lambda: len(stage.told()) == 2)
    told = [message.endpoints.pods for message in stage.told() if message.endpoints]
    https = (PodPort(name="https", port=8443),)
    assert told == [
        (PodGroup(ports=https, pods=(Pod("10.244.0.7", "node-a"),)),),
        (PodGroup(ports=https, pods=(Pod("10.244.1.8", "node-b"),)),),
    ]


async def test_a_watch_that_breaks_loses_nothing(stage: Stage, cluster: Cluster) -> None:
    await stage.begin(cluster, a_service(finalizers=GUARDED))
    await eventually(lambda: len(stage.told()) == 1)
    stage.services.cut()
    stage.services_later.send(
        "MODIFIED", a_service(version=101, finalizers=GUARDED, ports=({**DEFAULT_PORTS[0], "port": 8443},))
    )
    await eventually(lambda: len(stage.told()) == 2)
