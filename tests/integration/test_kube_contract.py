"""One suite for the API server in memory and a real one: what is tried on the former holds for the latter."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import yaml

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressClaimSpec,
    AddressPool,
    AddressPoolSpec,
    AddressPoolStatus,
    ClaimOwner,
    ClaimPhase,
    LoadBalancer,
    PoolCounts,
)
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, ADDRESS_POOLS, LOAD_BALANCERS
from fleetlb.kube.resources import ENDPOINT_SLICES, NAMESPACES, SECRETS, SERVICES, Object
from fleetlb.kube.watching import Reflector
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.tenant_objects import a_slice

pytestmark = pytest.mark.integration
FINALIZER = "example.dev/held"
DEFINITIONS = sorted((Path(__file__).parents[2] / "deploy/crds").glob("*.yaml"))


@pytest.fixture(params=["fake", "real"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        yield Cluster(FakeWire(FakeKube()), "tests")
        return
    connected = await Cluster.connect(request.getfixturevalue("kube_api_with_controllers"), field_manager="tests")
    await apply_crds(connected, [yaml.safe_load(path.read_text()) for path in DEFINITIONS])
    yield connected
    await connected.close()


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    name = f"contract-{secrets.token_hex(4)}"
    await cluster.create(NAMESPACES, {"metadata": {"name": name}})
    return name


def a_service(namespace: str, name: str = "web") -> Object:
    ports = [{"name": "a", "port": 443, "protocol": "TCP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"type": "LoadBalancer", "ports": ports}}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)


def an_address() -> str:
    """Nobody else's."""
    number = secrets.randbits(24)
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def a_claim(address: str) -> AddressClaim:
    owner = ClaimOwner(tenant="acme", cluster_uid="c", service_uid="s", namespace="shop", name="web")
    spec = AddressClaimSpec(address=address, pool="p", owner=owner, generation=1)
    return AddressClaim(metadata=ObjectMeta(name=address), spec=spec)


def a_pool() -> AddressPool:
    meta = ObjectMeta(name=f"p-{secrets.token_hex(4)}")
    return AddressPool(metadata=meta, spec=AddressPoolSpec(addresses=("192.0.2.0/24",)))


async def test_a_name_is_given_once(cluster: Cluster) -> None:
    name = an_address()
    made = await cluster.create(ADDRESS_CLAIMS, a_claim(name))
    assert made.metadata.uid
    assert made.metadata.generation == 1
    with pytest.raises(AlreadyExists):
        await cluster.create(ADDRESS_CLAIMS, a_claim(name))
    assert await cluster.get(ADDRESS_CLAIMS, name) == made


async def test_a_change_from_an_old_version_changes_nothing(cluster: Cluster) -> None:
    name = an_address()
    made = await cluster.create(ADDRESS_CLAIMS, a_claim(name))
    body = patching.merge_at(made.metadata, spec={"phase": ClaimPhase.RELEASING})
    changed = await cluster.patch(ADDRESS_CLAIMS, name, body, kind=PatchKind.MERGE)
    assert (changed.spec.phase, changed.metadata.generation) == (ClaimPhase.RELEASING, 2)
    with pytest.raises(Conflict):
        await cluster.patch(ADDRESS_CLAIMS, name, body, kind=PatchKind.MERGE)
    with pytest.raises(Conflict):
        await cluster.delete(ADDRESS_CLAIMS, name, resource_version=made.metadata.resource_version)
    with pytest.raises(Conflict):
        await cluster.delete(ADDRESS_CLAIMS, name, uid="00000000-0000-0000-0000-000000000000")
    await cluster.delete(ADDRESS_CLAIMS, name, uid=made.metadata.uid)
    with pytest.raises(NotFound):
        await cluster.delete(ADDRESS_CLAIMS, name)


async def test_a_change_of_nothing_makes_no_version(cluster: Cluster) -> None:
    name = an_address()
    made = await cluster.create(ADDRESS_CLAIMS, a_claim(name))
    body = patching.merge(made.metadata.uid, spec={"pool": "p"})
    assert await cluster.patch(ADDRESS_CLAIMS, name, body, kind=PatchKind.MERGE) == made


async def test_status_and_spec_are_apart(cluster: Cluster) -> None:
    wanted = msgspec.structs.replace(a_pool(), status=AddressPoolStatus(ipv4=PoolCounts(total=1)))
    made = await cluster.create(ADDRESS_POOLS, wanted)
    name, uid = made.metadata.name, made.metadata.uid
    assert made.status == AddressPoolStatus()
    both = patching.merge(uid, status={"ipv4": {"total": 7}}, spec={"priority": 3})
    told = await cluster.patch(ADDRESS_POOLS, name, both, kind=PatchKind.MERGE, subresource="status")
    assert (told.status.ipv4.total, told.spec.priority, told.metadata.generation) == (7, 0, 1)
    both = patching.merge(uid, status={"ipv4": {"total": 9}}, spec={"priority": 3})
    edited = await cluster.patch(ADDRESS_POOLS, name, both, kind=PatchKind.MERGE)
    assert (edited.status.ipv4.total, edited.spec.priority, edited.metadata.generation) == (7, 3, 2)
    other = patching.merge("00000000-0000-0000-0000-000000000000", status={"ipv4": {"total": 8}})
    with pytest.raises(Conflict):
        await cluster.patch(ADDRESS_POOLS, name, other, kind=PatchKind.MERGE)
    await cluster.delete(ADDRESS_POOLS, name)


async def test_finalizers_hold_what_is_deleted(cluster: Cluster) -> None:
    made = await cluster.create(ADDRESS_POOLS, a_pool())
    name = made.metadata.name
    held = patching.set_finalizers(made.metadata, [FINALIZER])
    kept = await cluster.patch(ADDRESS_POOLS, name, held, kind=PatchKind.MERGE)
    assert kept.metadata.generation == 1
    await cluster.delete(ADDRESS_POOLS, name)
    await cluster.delete(ADDRESS_POOLS, name)
    leaving = await cluster.get(ADDRESS_POOLS, name)
    assert leaving.metadata.deletion_timestamp
    assert leaving.metadata.generation == 2
    freed = patching.set_finalizers(leaving.metadata, [])
    await cluster.patch(ADDRESS_POOLS, name, freed, kind=PatchKind.MERGE)
    with pytest.raises(NotFound):
        await cluster.get(ADDRESS_POOLS, name)


async def test_a_json_patch_tests_first(cluster: Cluster) -> None:
    name = (made := await cluster.create(ADDRESS_POOLS, a_pool())).metadata.name
    wanted = msgspec.structs.replace(made.spec, priority=5)
    for uid, generation in (("wrong", 1), (made.metadata.uid, 7)):
        tests = [{"op": "test", "path": "/metadata/generation", "value": generation}]
        body = [*tests, *patching.replace_part(uid, "spec", wanted)]
        with pytest.raises(Conflict):
            await cluster.patch(ADDRESS_POOLS, name, body, kind=PatchKind.JSON)
    right = patching.replace_part(made.metadata.uid, "spec", wanted)
    assert (await cluster.patch(ADDRESS_POOLS, name, right, kind=PatchKind.JSON)).spec == wanted
    await cluster.delete(ADDRESS_POOLS, name)


async def test_a_services_finalizers_are_a_set_and_its_conditions_have_types(cluster: Cluster, namespace: str) -> None:
    uid = (await cluster.create(SERVICES, a_service(namespace)))["metadata"]["uid"]

    async def patch(body: object, subresource: str | None = None) -> Object:
        return await cluster.patch(
            SERVICES, "web", body, kind=PatchKind.STRATEGIC, namespace=namespace, subresource=subresource
        )

    def condition(name: str) -> Object:
        since = "2026-01-01T00:00:00Z"
        return {"type": name, "status": "True", "lastTransitionTime": since, "reason": "R", "message": ""}

    await patch(patching.add_finalizer(uid, "other.dev/x"))
    assert set((await patch(patching.add_finalizer(uid, FINALIZER)))["metadata"]["finalizers"]) == {
        FINALIZER,
        "other.dev/x",
    }
    theirs, ours = condition("other.dev/Theirs"), condition("example.dev/Ours")
    await patch(patching.conditions(uid, [theirs]), "status")
    assert (await patch(patching.conditions(uid, [ours]), "status"))["status"]["conditions"] == [ours, theirs]
    shown = {"metadata": {"uid": uid}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}}
    assert len((await patch(shown, "status"))["status"]["conditions"]) == 2
    gone = await patch(patching.conditions(uid, [], ["example.dev/Ours"]), "status")
    assert gone["status"]["conditions"] == [theirs]
    empty = {"metadata": {"uid": uid}, "status": {"loadBalancer": {"ingress": None}}}
    assert not (await patch(empty, "status"))["status"]["loadBalancer"].get("ingress")
    with pytest.raises(Conflict):
        await patch(patching.add_finalizer("wrong", FINALIZER))
    await cluster.delete(SERVICES, "web", namespace, uid=uid)
    await patch(patching.remove_finalizer(uid, FINALIZER))
    await patch(patching.remove_finalizer(uid, "other.dev/x"))
    with pytest.raises(NotFound):
        await cluster.get(SERVICES, "web", namespace)


async def test_a_service_of_another_type_shows_no_address(cluster: Cluster, namespace: str) -> None:
    uid = (await cluster.create(SERVICES, a_service(namespace)))["metadata"]["uid"]
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}
    body = patching.merge(uid, status=status)
    await cluster.patch(SERVICES, "web", body, kind=PatchKind.MERGE, namespace=namespace, subresource="status")
    body = patching.merge(uid, spec={"type": "ClusterIP"})
    changed = await cluster.patch(SERVICES, "web", body, kind=PatchKind.MERGE, namespace=namespace)
    assert changed["status"]["loadBalancer"] == {}


async def test_namespaces_come_first_and_take_what_is_in_them(cluster: Cluster, namespace: str) -> None:
    secret = {"metadata": {"name": "s", "namespace": namespace}, "data": {}}
    made = await cluster.create(SECRETS, secret)
    with pytest.raises(NotFound):
        await cluster.create(SECRETS, {"metadata": {"name": "s", "namespace": f"{namespace}-not"}})
    held = patching.add_finalizer(made["metadata"]["uid"], FINALIZER)
    await cluster.patch(SECRETS, "s", held, kind=PatchKind.STRATEGIC, namespace=namespace)
    await cluster.delete(NAMESPACES, namespace)
    with pytest.raises(Forbidden):
        await cluster.create(SECRETS, {"metadata": {"name": "t", "namespace": namespace}})

    async def is_leaving() -> bool:
        return "deletionTimestamp" in (await cluster.get(SECRETS, "s", namespace))["metadata"]

    await until(is_leaving)
    freed = patching.remove_finalizer(made["metadata"]["uid"], FINALIZER)
    await cluster.patch(SECRETS, "s", freed, kind=PatchKind.STRATEGIC, namespace=namespace)

    async def is_gone() -> bool:
        return namespace not in {item["metadata"]["name"] for item in await cluster.list(NAMESPACES)}

    await until(is_gone)


async def test_lists_are_of_a_namespace_and_of_labels(cluster: Cluster, namespace: str) -> None:
    item = a_slice(namespace=namespace, name="one")
    del item["metadata"]["resourceVersion"]
    await cluster.create(ENDPOINT_SLICES, item, namespace)
    labelled = await cluster.list(ENDPOINT_SLICES, namespace, label_selector="kubernetes.io/service-name")
    assert [item["metadata"]["name"] for item in labelled] == ["one"]
    assert await cluster.list(ENDPOINT_SLICES, namespace, label_selector="other") == []
    assert await cluster.list(LOAD_BALANCERS, namespace) == []


async def test_a_watch_tells_what_is_and_what_becomes_of_it(cluster: Cluster, namespace: str) -> None:
    seen: list[tuple[str, str]] = []

    async with asyncio.TaskGroup() as tasks:
        reflector: Reflector[LoadBalancer] = Reflector(
            cluster,
            LOAD_BALANCERS,
            namespace=namespace,
            on_set=lambda item: seen.append(("set", item.spec.wish)),
            on_gone=lambda item: seen.append(("gone", item.spec.wish)),
        )
        first = await cluster.create(LOAD_BALANCERS, _a_load_balancer(namespace, "one"))
        watching = tasks.create_task(reflector.run())
        await reflector.synced.wait()
        assert seen == [("set", "one")]
        body = patching.merge(first.metadata.uid, spec={"wish": "two"})
        await cluster.patch(LOAD_BALANCERS, "lb", body, kind=PatchKind.MERGE, namespace=namespace)
        await cluster.delete(LOAD_BALANCERS, "lb", namespace)
        await eventually(lambda: len(seen) == 3)
        watching.cancel()
    assert seen == [("set", "one"), ("set", "two"), ("gone", "two")]


def _a_load_balancer(namespace: str, wish: str) -> LoadBalancer:
    service = {"namespace": "shop", "name": "web", "ports": [{"name": "a", "protocol": "TCP", "port": 1}]}
    spec = {"tenant": "acme", "clusterUID": "c", "wish": wish, "service": service}
    return msgspec.convert({"metadata": {"name": "lb", "namespace": namespace}, "spec": spec}, LoadBalancer)
