"""Requests and patch bodies against a real kube-apiserver: what the server makes of them, and how it refuses."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.resources import CRDS, EVENTS, NAMESPACES, NODES, SECRETS, SERVICES, Object, Resource

pytestmark = pytest.mark.integration


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    type: str = "ClusterIP"
    ports: tuple[Object, ...] = ()


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: Object = msgspec.field(default_factory=dict)


TYPED_SERVICES = Resource("", "v1", "services", Service)
FINALIZER = "example.dev/held"


@pytest.fixture
async def cluster(kube_api: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube_api, field_manager="tests")
    yield connected
    await connected.close()


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    created = await cluster.create(NAMESPACES, {"metadata": {"generateName": "requests-"}})
    name: str = created["metadata"]["name"]
    return name


def service(namespace: str, name: str = "web") -> Service:
    ports = ({"port": 4443, "protocol": "TCP"},)
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace), spec=ServiceSpec(type="LoadBalancer", ports=ports)
    )


async def test_the_uid_of_the_cluster(cluster: Cluster) -> None:
    kube_system = await cluster.get(NAMESPACES, "kube-system")
    assert await cluster.uid() == kube_system["metadata"]["uid"] != ""


async def test_typed_objects_go_and_come(cluster: Cluster, namespace: str) -> None:
    created = await cluster.create(TYPED_SERVICES, service(namespace))
    assert created.metadata.uid
    assert created.spec.ports[0]["nodePort"] >= 30000
    assert await cluster.get(TYPED_SERVICES, "web", namespace) == created
    assert await cluster.list(TYPED_SERVICES, namespace) == [created]
    with pytest.raises(AlreadyExists):
        await cluster.create(TYPED_SERVICES, service(namespace))
    await cluster.delete(TYPED_SERVICES, "web", namespace)
    with pytest.raises(NotFound):
        await cluster.get(TYPED_SERVICES, "web", namespace)


async def test_a_kind_that_does_not_exist_is_not_found(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(NotFound):
        await cluster.list(Resource("nowhere.dev", "v1", "things", Service))


async def test_an_object_that_is_wrong_is_invalid(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.ports"):
        await cluster.create(TYPED_SERVICES, Service(metadata=ObjectMeta(name="web", namespace=namespace)))


async def test_preconditions_of_a_deletion(cluster: Cluster, namespace: str) -> None:
    created = await cluster.create(TYPED_SERVICES, service(namespace))
    with pytest.raises(Conflict):
        await cluster.delete(TYPED_SERVICES, "web", namespace, uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(Conflict):
        await cluster.delete(TYPED_SERVICES, "web", namespace, resource_version="1")
    await cluster.delete(TYPED_SERVICES, "web", namespace, uid=created.metadata.uid)


async def test_replacing_needs_the_current_version(cluster: Cluster, namespace: str) -> None:
    made = await cluster.apply(SECRETS, {"metadata": {"name": "s", "namespace": namespace}, "stringData": {"a": "1"}})
    await cluster.replace(SECRETS, {**made, "stringData": {"a": "2"}})
    with pytest.raises(Conflict):
        await cluster.replace(SECRETS, {**made, "stringData": {"a": "3"}})


async def test_finalizers_of_others_stay(cluster: Cluster, namespace: str) -> None:
    uid = (await cluster.create(TYPED_SERVICES, service(namespace))).metadata.uid

    async def patch(body: object) -> set[str]:
        patched = await cluster.patch(TYPED_SERVICES, "web", body, kind=PatchKind.STRATEGIC, namespace=namespace)
        return set(patched.metadata.finalizers)

    assert await patch(patching.add_finalizer(uid, "other.dev/x")) == {"other.dev/x"}
    assert await patch(patching.add_finalizer(uid, FINALIZER)) == {"other.dev/x", FINALIZER}
    assert await patch(patching.add_finalizer(uid, FINALIZER)) == {"other.dev/x", FINALIZER}
    assert await patch(patching.remove_finalizer(uid, FINALIZER)) == {"other.dev/x"}
    assert await patch(patching.remove_finalizer(uid, "other.dev/x")) == set()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PatchKind.STRATEGIC, patching.add_finalizer("wrong", FINALIZER)),
        (PatchKind.STRATEGIC, patching.remove_finalizer("wrong", FINALIZER)),
        (PatchKind.MERGE, patching.annotate("wrong", {"a": "b"})),
        (PatchKind.MERGE, patching.merge("wrong", spec={"type": "ClusterIP"})),
    ],
    ids=["add finalizer", "remove finalizer", "annotate", "merge"],
)
async def test_a_namesake_is_never_touched(cluster: Cluster, namespace: str, kind: PatchKind, body: Object) -> None:
    created = await cluster.create(TYPED_SERVICES, service(namespace))
    with pytest.raises(Conflict):
        await cluster.patch(TYPED_SERVICES, "web", body, kind=kind, namespace=namespace)
    assert await cluster.get(TYPED_SERVICES, "web", namespace) == created


async def test_a_namesake_is_never_touched_by_a_json_patch(cluster: Cluster, namespace: str) -> None:
    await cluster.create(TYPED_SERVICES, service(namespace))
    body = patching.replace_part("wrong", "status", {})
    with pytest.raises(Conflict):
        await cluster.patch(TYPED_SERVICES, "web", body, kind=PatchKind.JSON, namespace=namespace, subresource="status")


async def test_status_of_a_service(cluster: Cluster, namespace: str) -> None:
    uid = (await cluster.create(TYPED_SERVICES, service(namespace))).metadata.uid

    async def patch(body: object, kind: PatchKind) -> Object:
        patched = await cluster.patch(TYPED_SERVICES, "web", body, kind=kind, namespace=namespace, subresource="status")
        return patched.status

    def condition(name: str, status: str) -> Object:
        return {
            "type": name,
            "status": status,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": "R",
            "message": "",
        }

    theirs, ours = condition("other.dev/Theirs", "True"), condition("example.dev/Ours", "False")
    await patch(patching.conditions(uid, [theirs]), PatchKind.STRATEGIC)
    assert (await patch(patching.conditions(uid, [ours]), PatchKind.STRATEGIC))["conditions"] == [ours, theirs]
    ingress = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    assert (await patch(patching.merge(uid, status=ingress), PatchKind.MERGE))["conditions"] == [ours, theirs]
    gone = await patch(patching.conditions(uid, [], ["example.dev/Ours"]), PatchKind.STRATEGIC)
    assert gone["conditions"] == [theirs]
    assert gone["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"
    assert await patch(patching.replace_part(uid, "status", {}), PatchKind.JSON) == {"loadBalancer": {}}


async def test_merging_at_a_version_is_compare_and_set(cluster: Cluster, namespace: str) -> None:
    first = await cluster.create(TYPED_SERVICES, service(namespace))

    async def merge() -> Service:
        body = patching.merge_at(first.metadata, spec={"externalTrafficPolicy": "Local"})
        return await cluster.patch(TYPED_SERVICES, "web", body, kind=PatchKind.MERGE, namespace=namespace)

    await merge()
    with pytest.raises(Conflict):
        await merge()


async def test_applying_creates_then_changes_and_takes_fields_only_by_force(cluster: Cluster, namespace: str) -> None:
    def secret(value: str) -> Object:
        return {"metadata": {"name": "s", "namespace": namespace}, "data": {"key": value}}

    await cluster.apply(SECRETS, secret("MQ=="))
    await cluster.apply(SECRETS, secret("Mg=="))
    with pytest.raises(Conflict):
        await cluster.apply(SECRETS, secret("Mw=="), field_manager="another", force=False)
    await cluster.apply(SECRETS, secret("Mw=="), field_manager="another")
    assert (await cluster.get(SECRETS, "s", namespace))["data"] == {"key": "Mw=="}


async def test_events_and_nodes(cluster: Cluster, namespace: str) -> None:
    event = {
        "metadata": {"generateName": "web.", "namespace": namespace},
        "involvedObject": {"kind": "Service", "name": "web", "namespace": namespace},
        "reason": "Tested",
        "message": "x",
        "type": "Normal",
    }
    created = await cluster.create(EVENTS, event)
    assert created["metadata"]["name"].startswith("web.")
    name = f"node-{secrets.token_hex(4)}"
    await cluster.create(NODES, {"metadata": {"name": name, "labels": {"a": name}}})
    assert [node["metadata"]["name"] for node in await cluster.list(NODES, label_selector=f"a={name}")] == [name]
    await cluster.delete(NODES, name)


def definition(plural: str, group: str) -> Object:
    schema: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    kind = plural[:-1].capitalize()
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": kind},
            "versions": [version],
        },
    }


class Gadget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metadata: ObjectMeta
    spec: Object = msgspec.field(default_factory=dict)


async def test_custom_kinds_can_be_used_as_soon_as_they_are_established(cluster: Cluster, namespace: str) -> None:
    group = f"g{secrets.token_hex(4)}.dev"
    definitions = [definition("gadgets", group), definition("widgets", group)]
    await apply_crds(cluster, definitions)
    await apply_crds(cluster, definitions)
    gadgets = Resource(group, "v1", "gadgets", Gadget)
    made = await cluster.create(gadgets, Gadget(metadata=ObjectMeta(name="a", namespace=namespace), spec={"n": 1}))
    kept = patching.set_finalizers(made.metadata, [FINALIZER])
    held = await cluster.patch(gadgets, "a", kept, kind=PatchKind.MERGE, namespace=namespace)
    assert held.metadata.finalizers == (FINALIZER,)
    with pytest.raises(Conflict):
        await cluster.patch(gadgets, "a", kept, kind=PatchKind.MERGE, namespace=namespace)
    replaced = patching.replace_part(made.metadata.uid, "spec", {"m": 2})
    assert (await cluster.patch(gadgets, "a", replaced, kind=PatchKind.JSON, namespace=namespace)).spec == {"m": 2}
    status = patching.replace_part("wrong", "status", {})
    with pytest.raises(Conflict):
        await cluster.patch(gadgets, "a", status, kind=PatchKind.JSON, namespace=namespace, subresource="status")
    for each in definitions:
        await cluster.delete(CRDS, each["metadata"]["name"])


async def test_a_long_list_comes_in_pages(cluster: Cluster, namespace: str) -> None:
    body = {"metadata": {"generateName": "s-"}, "stringData": {"a": "b"}}
    await asyncio.gather(*(cluster.create(SECRETS, body, namespace) for _ in range(25)))
    pages = [page async for page in cluster.pages(SECRETS, namespace, {}, page_size=10)]
    assert [len(page.items or ()) for page in pages] == [10, 10, 5]
    assert len({page.metadata.resource_version for page in pages}) == 1
    assert len(await cluster.list(SECRETS, namespace)) == 25


async def test_dict_services(cluster: Cluster, namespace: str) -> None:
    await cluster.create(TYPED_SERVICES, service(namespace))
    assert (await cluster.get(SERVICES, "web", namespace))["spec"]["type"] == "LoadBalancer"
