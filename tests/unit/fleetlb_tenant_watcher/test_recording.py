"""Events: of the form that the API server takes, bounded in number and size, never in anybody's way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.service_wishes import Claim
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_kube import Json, Reset, ScriptedKube, refusal
from fleetlb_tenant_watcher import recording
from fleetlb_tenant_watcher.deciding import Announce
from fleetlb_tenant_watcher.recording import MAX_QUEUED, EventRecorder, event_of
from fleetlb_tenant_watcher.service_views import ServiceView

VIEW = ServiceView(uid="u", namespace="shop", name="web", claim=Claim.OURS)
PATH = "/api/v1/namespaces/shop/events"
TROUBLE = Announce("Warning", "UnAvailableLoadBalancer", "no backend")


@contextlib.asynccontextmanager
async def a_recorder(server: ScriptedKube, folder: Path) -> AsyncIterator[EventRecorder]:
    """At work."""
    cluster = await Cluster.connect(server.kubeconfig(folder))
    recorder = EventRecorder(cluster, "me")
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(recorder.run())
        try:
            yield recorder
        finally:
            work.cancel()
    await cluster.close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PAUSES", (0.0, 0.0))


def test_an_event_names_its_service() -> None:
    event = event_of(VIEW, Announce("Warning", "SyncLoadBalancerFailed", "m" * 5000), "2026-11-25T12:00:00Z", "w" * 200)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "web",
        "uid": "u",
    }
    assert (event["type"], event["reason"], len(event["message"])) == ("Warning", "SyncLoadBalancerFailed", 1024)
    assert len(event["reportingInstance"]) == 128
    other = event_of(VIEW, Announce("Normal", "X", ""), "", "")
    assert other["metadata"]["name"] != event["metadata"]["name"]


def test_an_event_names_the_change_that_it_is_about() -> None:
    event = event_of(VIEW, Announce("Normal", "X", "m" * 5000), "", "", f"00-{7:032x}-{1:016x}-01")
    assert event["message"] == "m" * 1024 + f" [trace {7:032x}]"


async def test_an_event_that_met_no_api_server_is_sent_again_under_its_name(tmp_path: Path, no_pause: None) -> None:
    async with ScriptedKube() as server:
        server.on("POST", PATH, Reset(), refusal(409, "AlreadyExists"))
        before = counted("created")
        async with a_recorder(server, tmp_path) as recorder:
            recorder.announce(VIEW, TROUBLE)
            await eventually(lambda: counted("created") == before + 1)
            first, second = server.sent("POST", PATH)
            assert first.body == second.body
            path = f"{PATH}/{first.body['metadata']['name']}"
            server.on("PATCH", path, refusal(503), Json({"metadata": {"name": "x"}}))
            recorder.announce(VIEW, TROUBLE)
            await eventually(lambda: len(server.sent("PATCH", path)) == 2)
            assert [request.body["count"] for request in server.sent("PATCH", path)] == [2, 2]


async def test_an_event_is_given_up_after_a_few_tries_and_holds_no_other_up(tmp_path: Path, no_pause: None) -> None:
    ending = Json({"kind": "Status", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}, 403)
    async with ScriptedKube() as server:
        server.on("POST", PATH, refusal(503), refusal(503), refusal(503), ending, Json({"metadata": {}}, 201))
        made, given_up = counted("created"), counted("refused")
        async with a_recorder(server, tmp_path) as recorder:
            for number in range(3):
                recorder.announce(VIEW, Announce("Normal", "X", str(number)))
            await eventually(lambda: counted("created") == made + 1)
        assert counted("refused") == given_up + 2
        assert [request.body["message"] for request in server.sent("POST", PATH)] == ["0", "0", "0", "1", "2"]


async def test_more_than_the_queue_holds_is_dropped(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"apiVersion":"v1","kind":"Config","current-context":"c",'
        '"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:9"}}],'
        '"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}'
    )
    cluster = await Cluster.connect(kubeconfig)
    recorder = EventRecorder(cluster, "me")
    before = counted("dropped")
    for _ in range(MAX_QUEUED + 10):
        recorder.announce(VIEW, Announce("Normal", "X", "m"))
    await cluster.close()
    assert counted("dropped") - before == 10


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("fleetlb_watcher_events_total", {"outcome": outcome}) or 0.0
