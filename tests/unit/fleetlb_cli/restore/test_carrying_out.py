"""Steps as requests: what is of the past goes first and only as it was read; the gate is opened as it was read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetlb.contracts.v1 import Owner
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Conflict
from fleetlb.kube.lease_marks import ACCEPTED, WENT_BACK
from fleetlb.testkit.scripted_kube import Json, ScriptedKube, refusal
from fleetlb_cli.restore.carrying_out import carry_out, claim_of, closed_leases, open_gate
from fleetlb_cli.restore.deciding import Names, Reclaim, Served, Serving, Unmake
from tests.unit.fleetlb_cli.audit.small_fleet import BALANCER, CLAIM, OWNER, VIP

CLAIMS = "/apis/fleetlb.dev/v1alpha1/addressclaims"
BALANCERS = "/apis/fleetlb.dev/v1alpha1/namespaces/tenant-acme/loadbalancers"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/fleetlb-system/leases"
SERVING = Serving(address=VIP, group="default", shares=(Served(OWNER, ("80/TCP",)),), generation=3)
NAMES = {OWNER: Names("shop", "web")}


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with ScriptedKube() as scripted:
        yield scripted


@pytest.fixture
async def cluster(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube.kubeconfig(tmp_path))
    yield connected
    await connected.close()


def a_lease(name: str, **annotations: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": "fleetlb-system", "resourceVersion": "7", "annotations": annotations}
    return {"metadata": metadata, "spec": {}}


async def test_a_claim_of_the_past_goes_before_the_new_one_is_made(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("DELETE", f"{CLAIMS}/{VIP}", Json({}))
    kube.on("POST", CLAIMS, Json({"metadata": {"name": VIP}, "spec": {"address": VIP, "pool": "p", "owner": {
        "tenant": "acme", "clusterUID": "c1", "serviceUID": "u1", "namespace": "shop", "name": "web"}}}))  # fmt: skip
    await carry_out(cluster, Reclaim(SERVING, "default", NAMES, CLAIM))
    assert [request.method for request in kube.requests] == ["DELETE", "POST"]
    body = kube.requests[1].body
    assert (body["metadata"]["name"], body["spec"]["owner"]["serviceUID"], body["spec"]["ports"]) == (
        VIP,
        "u1",
        ["80/TCP"],
    )


async def test_a_claim_that_changed_meanwhile_is_not_touched(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("DELETE", f"{CLAIMS}/{VIP}", refusal(409, "Conflict"))
    with pytest.raises(Conflict):
        await carry_out(cluster, Reclaim(SERVING, "default", NAMES, CLAIM))
    assert len(kube.requests) == 1


async def test_a_load_balancer_that_is_gone_already_is_no_failure(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("DELETE", f"{BALANCERS}/u1", refusal(404, "NotFound"))
    await carry_out(cluster, Unmake(BALANCER))
    assert kube.requests[0].body["preconditions"] == {"uid": "lb1"}


async def test_only_leases_that_are_closed_are_opened(kube: ScriptedKube, cluster: Cluster) -> None:
    closed, others = a_lease("fleetlb-manager", **{WENT_BACK: "90"}), a_lease("somebodys")
    kube.on("GET", LEASES, Json({"metadata": {}, "items": [closed, others]}))
    kube.on("PATCH", f"{LEASES}/fleetlb-manager", Json(a_lease("fleetlb-manager")))
    (lease,) = await closed_leases(cluster, "fleetlb-system")
    await open_gate(cluster, lease)
    annotations = {WENT_BACK: None, ACCEPTED: "90"}
    assert kube.requests[-1].body == {"metadata": {"resourceVersion": "7", "annotations": annotations}}


def test_a_service_that_nobody_speaks_of_is_claimed_for_by_its_uid() -> None:
    stranger = Owner(tenant="acme", cluster_uid="c1", service_uid="u9")
    serving = Serving(address="2001:db8::1", group="g", shares=(Served(stranger, ("53/UDP",)),), generation=4)
    made = claim_of(Reclaim(serving, "six", {stranger: Names()}))
    assert made.metadata.name == "2001-0db8-0000-0000-0000-0000-0000-0001"
    assert (made.spec.owner.service_uid, made.spec.owner.name, made.spec.generation) == ("u9", "", 4)
