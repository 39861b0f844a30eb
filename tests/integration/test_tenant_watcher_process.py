"""The watcher's process: alone, with nothing to talk to, and with a real API server and a real NATS."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.streams import observed_stream
from fleetlb.contracts.v1 import Ingress, NodesObserved, ServiceObserved, ServiceReported, SnapshotAnswered
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints, TenantNode
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import Forbidden, NotFound
from fleetlb.kube.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, NODES, SECRETS, SERVICES
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_resolver import push_account
from fleetlb.testkit.nats_server import NatsServer, TenantAccount
from fleetlb.testkit.scripted_kube import ScriptedKube
from fleetlb.testkit.tenant_objects import a_slice, an_endpoint
from tests.integration.conftest import KubeApis
from tests.upstream.admitting import Kubectl, admit

pytestmark = pytest.mark.integration

SCRIPT = Path(sys.executable).with_name("fleetlb-tenant-watcher")
WATCHED = ("services", "nodes", "endpointslices.discovery.k8s.io")


class WatcherProcess:
    """One process of the watcher, and its three pages."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.log = folder / "watcher.log"
        environ = {f"FLEETLB_{key.upper()}": str(value) for key, value in settings.items()}
        environ |= {"FLEETLB_HTTP_ADDRESS": "127.0.0.1:0", "PATH": os.defpath}
        with self.log.open("ab") as log:
            self.child = subprocess.Popen([SCRIPT], env=environ, stdout=log, stderr=log)
        self.url = ""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def count(self, words: str) -> int:
        return sum(words in str(line.get("msg", "")) for line in self.lines())

    async def page(self, path: str) -> tuple[int, str]:
        if not self.url:
            await until(lambda: self.count("listening"))
            (place,) = [line for line in self.lines() if line.get("msg") == "listening"]
            self.url = "http://" + _address(place)
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> int:
        return (await self.page("/readyz"))[0]

    def terminate(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout=15)


def _address(line: dict[str, Any]) -> str:
    found = next(value for key, value in line.items() if key in ("http", "address", "addresses"))
    return str(found[0] if isinstance(found, list) else found)


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        await asyncio.sleep(0.02)


class Fleet:
    """The hub's end of a real NATS."""

    def __init__(self, bus: JetStreamBus, tenant: TenantAccount, tasks: asyncio.TaskGroup) -> None:
        self.bus = bus
        self.tenant = tenant
        self.told: list[ServiceObserved] = []
        self.nodes: list[NodesObserved] = []
        self._tasks = tasks
        self._revision = 0

    async def make_stream(self) -> None:
        """As the manager does, whenever the server has lost it."""
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.bus.ensure_stream(observed_stream(self.tenant.account))
                except Transient:
                    await asyncio.sleep(0.02)
                else:
                    return

    async def begin(self) -> None:
        stream = observed_stream(self.tenant.account)
        await self.make_stream()
        await self.bus.serve(subjects.ALL_SNAPSHOTS, self._answer)
        await self.bus.replay_and_follow(
            stream.name, stream.subjects[0], self._hear, on_replayed=lambda: None, on_restart=lambda: None
        )

    async def _answer(self, subject: str, body: bytes) -> bytes:
        return codec.encode(SnapshotAnswered(reports=0))

    def _hear(self, message: Message) -> None:
        place = subjects.parse_observed(message.subject)
        if place.kind == "service":
            observed = codec.decode(ServiceObserved, message.data)
            self.told.append(observed)
            self._tasks.create_task(self._report(place, observed))
        elif place.kind == "nodes":
            self.nodes.append(codec.decode(NodesObserved, message.data))

    async def _report(self, place: subjects.ObservedSubject, observed: ServiceObserved) -> None:
        self._revision += 1
        gone = observed.service is None
        report = ServiceReported(
            generation=1,
            revision=self._revision,
            wish=observed.wish,
            released=gone,
            ingress=() if gone else (Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY),),
            conditions=(
                Condition(type=PROVISIONED, status=Status.TRUE, reason="Complete"),
                Condition(type=SERVING, status=Status.TRUE, reason="ProbeAnswered"),
            ),
        )
        await self.bus.notify(subjects.reported(place.account, place.cluster, place.uid), codec.encode(report))


@pytest.fixture
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        yield group


async def test_alone_it_lives_is_not_ready_and_says_so_once(tmp_path: Path) -> None:
    kube = ScriptedKube()
    await kube.start()
    kubeconfig = kube.kubeconfig(tmp_path)
    await kube.stop()
    watcher = WatcherProcess(
        tmp_path, kubeconfig=kubeconfig, nats_url="nats://127.0.0.1:9", nats_creds=tmp_path / "none.creds"
    )
    try:
        status, body = await watcher.page("/healthz")
        assert (status, json.loads(body)["pid"]) == (200, watcher.child.pid)
        status, body = await watcher.page("/readyz")
        assert status == 503
        assert {gate["gate"] for gate in json.loads(body)["closed"]} >= {"bus", "services-synced"}
        await until(lambda: watcher.count("cannot connect to NATS") and watcher.count("does not answer yet"))
        await asyncio.sleep(1.5)  # several attempts
        assert watcher.count("cannot connect to NATS") == 1
        assert watcher.count("does not answer yet") == 1
        assert "fleetlb_watcher_services" in (await watcher.page("/metrics"))[1]
        assert watcher.child.poll() is None
        assert watcher.terminate() == 0
    finally:
        watcher.child.kill()
        watcher.child.wait()


@contextlib.asynccontextmanager
async def hub_of(nats: NatsServer, tenant: TenantAccount) -> AsyncIterator[Fleet]:
    """The hub on a server that runs, and the tenant's account in it."""
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        system = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.system_creds, name="system")
        stack.push_async_callback(system.close)
        await push_account(system, tenant.jwt)
        bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="hub")
        stack.push_async_callback(bus.close)
        fleet = Fleet(bus, tenant, tasks)
        following = tasks.create_task(fleet.begin())
        stack.callback(following.cancel)
        yield fleet


async def test_it_waits_for_nats_serves_survives_a_restart_of_nats_and_ends(
    tmp_path: Path, kube_apis: KubeApis, nats: NatsServer
) -> None:
    kubeconfig = kube_apis.start("watcher-process").kubeconfig
    tenant = nats.mint_tenant("acme")
    watcher = WatcherProcess(
        tmp_path,
        kubeconfig=kubeconfig,
        nats_url=nats.url,
        nats_creds=tenant.creds,
        pod_backends="true",
        node_address_types="ExternalIP,InternalIP",
        service_labels="team,example.com/tier",
    )
    cluster = await Cluster.connect(kubeconfig)
    try:
        await until(lambda: watcher.count("watching"))
        assert await watcher.ready() == 503
        await _create(cluster, "web")
        await _shows(cluster, "web", "HubUnreachable")
        nats.start()
        async with hub_of(nats, tenant) as fleet:
            await _shows(cluster, "web", "ProbeAnswered")
            assert await watcher.ready() == 200
            await _backends_are_told_as_the_settings_say(cluster, fleet)
            await _labels_are_told_as_the_settings_say(cluster, fleet)
            nats.restart(hard=True)
            await fleet.make_stream()
            await _create(cluster, "next")
            await _shows(cluster, "next", "ProbeAnswered")
            body = {"spec": {"type": "ClusterIP"}}
            await cluster.patch(SERVICES, "next", body, kind=PatchKind.MERGE, namespace="default")
            await _until_released(cluster, "next")
            await cluster.delete(SERVICES, "web", "default")
            await _until_gone(cluster, "web")
            assert watcher.terminate() == 0
            assert watcher.count("stopped")
    finally:
        watcher.child.kill()
        watcher.child.wait()
        await cluster.close()


async def _create(cluster: Cluster, name: str) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 443}], "selector": {"app": "web"}}
    await cluster.create(SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


async def _shows(cluster: Cluster, name: str, reason: str) -> None:
    """Wait until a Service has a condition of this reason."""
    deadline = time.monotonic() + 30
    while True:
        service = await cluster.get(SERVICES, name, "default")
        if any(c["reason"] == reason for c in service["status"].get("conditions", [])):
            return
        assert time.monotonic() < deadline, service["status"]
        await asyncio.sleep(0.02)


async def _backends_are_told_as_the_settings_say(cluster: Cluster, fleet: Fleet) -> None:
    item = a_slice(an_endpoint("node-a", address="10.244.1.7", ready=True), ports=({"port": 8443},))
    item["metadata"] = {"name": "web-1", "namespace": "default", "labels": item["metadata"]["labels"]}
    await cluster.create(ENDPOINT_SLICES, item)
    pods = (PodGroup(ports=(PodPort(port=8443),), pods=(Pod("10.244.1.7", "node-a"),)),)
    await until(lambda: fleet.told[-1].endpoints == ServiceEndpoints(ready=True, pods=pods))
    addresses = [("InternalIP", "10.1.0.1"), ("ExternalIP", "203.0.113.1")]
    status = {"addresses": [{"type": kind, "address": text} for kind, text in addresses]}
    await cluster.create(NODES, {"metadata": {"name": "node-a"}, "status": status})
    node = TenantNode(name="node-a", addresses=("203.0.113.1", "10.1.0.1"))
    await until(lambda: fleet.nodes[-1].nodes == (node,))


async def _labels_are_told_as_the_settings_say(cluster: Cluster, fleet: Fleet) -> None:
    body = {"metadata": {"labels": {"team": "a", "example.com/tier": "gold", "other": "b"}}}
    await cluster.patch(SERVICES, "web", body, kind=PatchKind.MERGE, namespace="default")
    told = {"example.com/tier": "gold", "team": "a"}
    await until(lambda: (service := fleet.told[-1].service) is not None and service.labels == told)


async def _until_gone(cluster: Cluster, name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            await cluster.get(SERVICES, name, "default")
        except NotFound:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} is still there")


@pytest.mark.timeout(120)
async def test_the_rights_of_the_manifest_are_enough_and_no_more(
    tmp_path: Path, kube_apis: KubeApis, nats: NatsServer, tasks: asyncio.TaskGroup
) -> None:
    administrators = kube_apis.start("watcher-rights").kubeconfig
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(await asyncio.to_thread(admit, Kubectl(kubeconfig=administrators)))
    nats.start()
    tenant = nats.mint_tenant("acme")
    system = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.system_creds, name="system")
    await push_account(system, tenant.jwt)
    bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="hub")
    following = tasks.create_task(Fleet(bus, tenant, tasks).begin())
    watcher = WatcherProcess(tmp_path, kubeconfig=kubeconfig, nats_url=nats.url, nats_creds=tenant.creds)
    cluster = await Cluster.connect(administrators)
    spec = {"type": "LoadBalancer", "ports": [{"port": 443}], "selector": {"app": "web"}}
    try:
        await until(lambda: watcher.count("ready"))
        await cluster.create(SERVICES, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        await _until_announced(cluster, "EnsuredLoadBalancer")
        await cluster.delete(SERVICES, "web", "default")
        await _until_gone(cluster, "web")
        _, metrics = await watcher.page("/metrics")
        assert 'code="403"' not in metrics
        assert all(f'full_sets_total{{resource="{seen}"}} 1.0' in metrics for seen in WATCHED)
        await _assert_forbidden(kubeconfig)
    finally:
        watcher.child.kill()
        watcher.child.wait()
        following.cancel()
        for connection in (bus, system, cluster):
            await connection.close()


async def _assert_forbidden(kubeconfig: Path) -> None:
    """What a stolen token must not be good for."""
    stolen = await Cluster.connect(kubeconfig)
    try:
        for kind in (SECRETS, EVENTS, NAMESPACES):
            with pytest.raises(Forbidden):
                await stolen.list(kind)
        for kind, namespace in ((NAMESPACES, None), (SERVICES, "default")):
            with pytest.raises(Forbidden):
                await stolen.delete(kind, "default", namespace)
        with pytest.raises(Forbidden):
            await stolen.create(SERVICES, {"metadata": {"name": "x", "namespace": "default"}})
        with pytest.raises(Forbidden):
            await stolen.patch(NODES, "node-1", {"metadata": {}}, kind=PatchKind.MERGE)
    finally:
        await stolen.close()


async def _until_announced(cluster: Cluster, reason: str) -> None:
    deadline = time.monotonic() + 20
    while reason not in {event["reason"] for event in await cluster.list(EVENTS, "default")}:
        assert time.monotonic() < deadline, f"no Event {reason}"
        await asyncio.sleep(0.02)


async def _until_released(cluster: Cluster, name: str) -> None:
    deadline = time.monotonic() + 20
    while (await cluster.get(SERVICES, name, "default"))["metadata"].get("finalizers"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
