"""Events: of the form that the API server takes, bounded in number and size, never in anybody's way."""

from pathlib import Path

from prometheus_client import REGISTRY

from fleetlb.kube.cluster import Cluster
from fleetlb_tenant_watcher.deciding import Announce
from fleetlb_tenant_watcher.recording import MAX_QUEUED, EventRecorder, event_of
from fleetlb_tenant_watcher.service_views import Claim, ServiceView

VIEW = ServiceView(uid="u", namespace="shop", name="web", claim=Claim.OURS)


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


async def test_more_than_the_queue_holds_is_dropped(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"apiVersion":"v1","kind":"Config","current-context":"c",'
        '"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:9"}}],'
        '"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}'
    )
    cluster = await Cluster.connect(kubeconfig)
    recorder = EventRecorder(cluster, "me")
    before = dropped()
    for _ in range(MAX_QUEUED + 10):
        recorder.announce(VIEW, Announce("Normal", "X", "m"))
    await cluster.close()
    assert dropped() - before == 10


def dropped() -> float:
    return REGISTRY.get_sample_value("fleetlb_watcher_events_total", {"outcome": "dropped"}) or 0.0
