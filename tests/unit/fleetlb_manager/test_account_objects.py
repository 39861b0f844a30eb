from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import POOL_FINALIZER
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec
from fleetlb.kube.cluster import Cluster
from fleetlb.testkit.scripted_kube import Json, ScriptedKube
from fleetlb_manager.account_objects import AccountObjects
from tests.unit.fleetlb_manager.manager_world import a_group, a_pool, a_tenant

SECRETS = "/api/v1/namespaces/fleetlb-system/secrets"
ROOT = "/apis/fleetlb.dev/v1alpha1"


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with ScriptedKube() as scripted:
        yield scripted


@pytest.fixture
async def store(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[AccountObjects]:
    cluster = await Cluster.connect(kube.kubeconfig(tmp_path))
    yield AccountObjects(cluster)
    await cluster.close()


async def test_namespaces_and_secrets_are_made_read_and_refilled(kube: ScriptedKube, store: AccountObjects) -> None:
    secret = {"metadata": {"name": "s", "namespace": "fleetlb-system"}, "data": {"k": "dg=="}}
    kube.on("GET", "/api/v1/namespaces/tenant-acme", Json({"metadata": {"name": "tenant-acme"}}))
    kube.on("POST", "/api/v1/namespaces", Json({}))
    kube.on("GET", f"{SECRETS}/s", Json(secret))
    kube.on("POST", SECRETS, Json(secret))
    kube.on("PATCH", f"{SECRETS}/s", Json(secret))
    assert (await store.read_namespace("tenant-acme"))["metadata"]["name"] == "tenant-acme"
    await store.create_namespace({"metadata": {"name": "tenant-acme"}})
    assert await store.create_secret(secret) == await store.read_secret("s", "fleetlb-system") == secret
    await store.replace_secret_data("s", "fleetlb-system", secret)
    assert kube.sent("PATCH")[0].body == {"data": {"k": "dg=="}}


async def test_statuses_are_merged_into_the_very_object(kube: ScriptedKube, store: AccountObjects) -> None:
    for plural, item in (
        ("tenants/acme", a_tenant()),
        ("addresspools/default", a_pool()),
        ("balancergroups/default", a_group()),
    ):
        kube.on("PATCH", f"{ROOT}/{plural}/status", Json(msgspec.json.encode(item)))
    await store.set_tenant_status(a_tenant(), {"account": "A"})
    await store.set_pool_status(a_pool(), {"ipv4": {"used": 0}})
    await store.set_group_status(a_group(), {"nodes": []})
    assert [request.body for request in kube.sent("PATCH")] == [
        {"metadata": {"uid": "uid-acme"}, "status": {"account": "A"}},
        {"metadata": {"uid": "uid-default"}, "status": {"ipv4": {"used": 0}}},
        {"metadata": {"uid": "uid-default"}, "status": {"nodes": []}},
    ]


async def test_finalizers_are_replaced_on_the_version_they_were_derived_from(
    kube: ScriptedKube, store: AccountObjects
) -> None:
    kube.on("PATCH", f"{ROOT}/addresspools/default", Json(msgspec.json.encode(a_pool())))
    await store.set_pool_finalizers(a_pool(), ("other/one", POOL_FINALIZER))
    assert [request.body for request in kube.sent("PATCH")] == [
        {"metadata": {"uid": "uid-default", "resourceVersion": "1", "finalizers": ["other/one", POOL_FINALIZER]}}
    ]


async def test_what_was_made_for_a_tenant_is_removed_if_it_is_there(kube: ScriptedKube, store: AccountObjects) -> None:
    meta = ObjectMeta(name="cluster-1", namespace="tenant-acme", uid="uid-c")
    cluster = TenantCluster(metadata=meta, spec=TenantClusterSpec(tenant="acme"))
    path = f"{ROOT}/namespaces/tenant-acme/tenantclusters/cluster-1"
    kube.on("DELETE", f"{SECRETS}/s", Json({}))
    kube.on("DELETE", "/api/v1/namespaces/tenant-acme", Json({}))
    kube.on("DELETE", path, Json({}))
    for _ in range(2):
        await store.delete_secret("s", "fleetlb-system")
        await store.delete_namespace({"metadata": {"name": "tenant-acme", "uid": "uid-n"}})
        await store.delete_cluster(cluster)
        for gone in (f"{SECRETS}/s", "/api/v1/namespaces/tenant-acme", path):
            kube.on("DELETE", gone, Json({"reason": "NotFound"}, status=404))
    asked = [request.body["preconditions"] for request in kube.sent("DELETE")]
    assert asked[:3] == [{}, {"uid": "uid-n"}, {"uid": "uid-c"}]
    assert len(asked) == 6


async def test_a_tenants_finalizers_are_replaced_on_its_version(kube: ScriptedKube, store: AccountObjects) -> None:
    kube.on("PATCH", f"{ROOT}/tenants/acme", Json(msgspec.json.encode(a_tenant())))
    await store.set_tenant_finalizers(a_tenant(), ())
    assert kube.sent("PATCH")[0].body == {"metadata": {"uid": "uid-acme", "resourceVersion": "1", "finalizers": []}}
