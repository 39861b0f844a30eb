from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import ClaimPhase, ClaimShare
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec
from fleetlb.domain.services import TenantNode
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb.testkit.scripted_kube import Json, ScriptedKube, refusal
from fleetlb_manager.objects import ClaimObjects, ClusterObjects, LoadBalancerObjects
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_load_balancer

ROOT = "/apis/fleetlb.dev/v1alpha1"
CLAIM = f"{ROOT}/addressclaims/192.0.2.1"
BALANCER = f"{ROOT}/namespaces/tenant-acme/loadbalancers/u1"
CLUSTER = f"{ROOT}/namespaces/tenant-acme/tenantclusters/cluster-1"


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with ScriptedKube() as scripted:
        yield scripted


@pytest.fixture
async def cluster(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube.kubeconfig(tmp_path))
    yield connected
    await connected.close()


def plain(part: msgspec.Struct) -> object:
    return msgspec.json.decode(msgspec.json.encode(part))


def reply(item: msgspec.Struct) -> Json:
    return Json(msgspec.json.encode(item))


async def test_claims_are_changed_only_as_they_were_seen(kube: ScriptedKube, cluster: Cluster) -> None:
    store, claim = ClaimObjects(cluster), a_claim(version=7)
    kube.on("PATCH", CLAIM, reply(claim))
    await store.set_phase(claim, ClaimPhase.QUARANTINED, 9, "2027-01-15T08:00:00Z")
    other = ClaimShare(owner=replace(claim.spec.owner, service_uid="u2"), ports=("443/TCP",))
    shared = replace(claim.spec, ports=("80/TCP",), sharing_key="k", sharers=(other,), leaving=(other,))
    await store.set_shares(claim, shared, 9)
    await store.set_shares(claim, claim.spec, 9)
    identity = {"uid": claim.metadata.uid, "resourceVersion": "7"}
    assert [request.body for request in kube.sent("PATCH")] == [
        {
            "metadata": identity,
            "spec": {"phase": "Quarantined", "generation": 9, "releasedAt": "2027-01-15T08:00:00Z"},
        },
        {
            "metadata": identity,
            "spec": {
                "owner": plain(claim.spec.owner),
                "ports": ["80/TCP"],
                "sharingKey": "k",
                "sharers": [plain(other)],
                "leaving": [plain(other)],
                "generation": 9,
            },
        },
        {
            "metadata": identity,
            "spec": {
                "owner": plain(claim.spec.owner),
                "ports": ["443/TCP"],
                "sharingKey": None,
                "sharers": None,
                "leaving": None,
                "generation": 9,
            },
        },
    ]
    kube.on("DELETE", CLAIM, Json({}))
    await store.delete(claim)
    assert kube.sent("DELETE")[0].body["preconditions"] == identity


async def test_the_groups_of_a_claim_are_changed_and_nothing_else_of_it(kube: ScriptedKube, cluster: Cluster) -> None:
    store, claim = ClaimObjects(cluster), a_claim(version=7)
    kube.on("PATCH", CLAIM, reply(claim))
    await store.set_place(claim, replace(claim.spec, moving_to="b", moving_back=True, ports=("1/TCP",)))
    await store.set_place(claim, replace(claim.spec, group="b", moving_from="a"))
    identity = {"uid": claim.metadata.uid, "resourceVersion": "7"}
    assert [request.body for request in kube.sent("PATCH")] == [
        {
            "metadata": identity,
            "spec": {"group": "default", "movingTo": "b", "movingBack": True, "movingFrom": None},
        },
        {"metadata": identity, "spec": {"group": "b", "movingTo": None, "movingBack": None, "movingFrom": "a"}},
    ]


async def test_a_claim_is_made_or_read(kube: ScriptedKube, cluster: Cluster) -> None:
    store = ClaimObjects(cluster)
    kube.on("POST", f"{ROOT}/addressclaims", reply(a_claim()), refusal(409, "AlreadyExists"))
    assert await store.create(a_claim()) == a_claim()
    with pytest.raises(AlreadyExists):
        await store.create(a_claim())
    with pytest.raises(NotFound):
        await store.read("192.0.2.1")
    kube.on("GET", CLAIM, reply(a_claim()))
    assert await store.read("192.0.2.1") == a_claim()


async def test_a_spec_is_replaced_as_a_whole_at_one_generation(kube: ScriptedKube, cluster: Cluster) -> None:
    store, item = LoadBalancerObjects(cluster), a_load_balancer(a_key(), "192.0.2.1")
    kube.on("PATCH", BALANCER, reply(item), refusal(422, "Invalid", "testing value failed"))
    await store.set_spec(item, item.spec)
    test_generation, test_uid, put = kube.sent("PATCH")[0].body
    assert test_generation == {"op": "test", "path": "/metadata/generation", "value": 1}
    assert test_uid == {"op": "test", "path": "/metadata/uid", "value": "lb-uid"}
    assert (put["path"], put["value"]["addresses"]) == ("/spec", ["192.0.2.1"])
    with pytest.raises(Conflict):
        await store.set_spec(item, item.spec)
    kube.on("GET", BALANCER, reply(item))
    assert await store.read("u1", "tenant-acme") == item
    kube.on("POST", f"{ROOT}/namespaces/tenant-acme/loadbalancers", reply(item))
    assert await store.create(item) == item
    kube.on("DELETE", BALANCER, Json({}))
    await store.delete(item)
    assert kube.sent("DELETE")[0].body["preconditions"] == {"uid": "lb-uid"}


async def test_a_cluster_has_nodes_and_a_status(kube: ScriptedKube, cluster: Cluster) -> None:
    store = ClusterObjects(cluster)
    meta = ObjectMeta(name="cluster-1", namespace="tenant-acme", uid="c")
    item = TenantCluster(metadata=meta, spec=TenantClusterSpec(tenant="acme"))
    kube.on("POST", f"{ROOT}/namespaces/tenant-acme/tenantclusters", reply(item))
    kube.on("GET", CLUSTER, reply(item))
    kube.on("PATCH", CLUSTER, reply(item))
    kube.on("PATCH", f"{CLUSTER}/status", reply(item))
    assert await store.create(item) == await store.read("cluster-1", "tenant-acme") == item
    await store.set_nodes(item, (TenantNode(name="a"),))
    await store.set_status(item, {"services": 3})
    assert [request.body for request in kube.sent("PATCH")] == [
        {"metadata": {"uid": "c"}, "spec": {"nodes": [{"name": "a"}]}},
        {"metadata": {"uid": "c"}, "status": {"services": 3}},
    ]
