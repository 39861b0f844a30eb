"""The reflector on a real kube-apiserver: WatchList, paged lists, expiry by compaction, restarts of the API server."""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.resources import NAMESPACES, Resource
from fleetlb.kube.watching import Reflector
from fleetlb.testkit.eventually import eventually
from fleetlb_cli.local.kubernetes import ApiServer

pytestmark = pytest.mark.integration


class ConfigMap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metadata: ObjectMeta
    data: dict[str, str] = msgspec.field(default_factory=dict)


CONFIG_MAPS = Resource("", "v1", "configmaps", ConfigMap)


@pytest.fixture
async def cluster(kube_api: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube_api)
    yield connected
    await connected.close()


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    created = await cluster.create(NAMESPACES, {"metadata": {"generateName": "watching-"}})
    name: str = created["metadata"]["name"]
    return name


class View:
    """What a reflector told, by name."""

    def __init__(self, cluster: Cluster, namespace: str, **options: Any) -> None:
        self.there: dict[str, ConfigMap] = {}
        self.told: list[tuple[str, str]] = []
        self.seen: dict[str, float] = {}
        self.reflector = Reflector(
            cluster, CONFIG_MAPS, on_set=self._set, on_gone=self._gone, namespace=namespace, **options
        )

    def _set(self, item: ConfigMap) -> None:
        self.there[item.metadata.name] = item
        self.told.append(("set", item.metadata.name))
        self.seen[item.metadata.name] = time.perf_counter()

    def _gone(self, item: ConfigMap) -> None:
        del self.there[item.metadata.name]
        self.told.append(("gone", item.metadata.name))


@contextlib.asynccontextmanager
async def watching(cluster: Cluster, namespace: str, **options: Any) -> AsyncIterator[View]:
    view = View(cluster, namespace, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.reflector.run())
        yield view
        task.cancel()


async def create(cluster: Cluster, namespace: str, name: str, value: str = "1") -> ConfigMap:
    made = ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data={"v": value})
    return await cluster.create(CONFIG_MAPS, made)


@pytest.mark.parametrize("watch_list", [True, False], ids=["WatchList", "pages"])
async def test_it_follows_everything(cluster: Cluster, namespace: str, watch_list: bool) -> None:
    await create(cluster, namespace, "a")
    await create(cluster, namespace, "b")
    view = View(cluster, namespace)
    view.reflector._knows_watch_list = watch_list
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.reflector.run())
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
        assert view.reflector._knows_watch_list is watch_list
        assert set(view.there) == {"a", "b"}
        await create(cluster, namespace, "c")
        await cluster.patch(CONFIG_MAPS, "a", {"data": {"v": "2"}}, kind=PatchKind.MERGE, namespace=namespace)
        await cluster.delete(CONFIG_MAPS, "b", namespace)
        await eventually(lambda: set(view.there) == {"a", "c"} and view.there["a"].data == {"v": "2"})
        assert {name for _, name in view.reflector.objects} == {"a", "c"}
        task.cancel()


async def test_labels_that_leave_the_selector_are_gone(cluster: Cluster, namespace: str) -> None:
    labels = {"metadata": {"labels": {"x": "y"}}}
    await create(cluster, namespace, "a")
    async with watching(cluster, namespace, label_selector="x=y") as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
        assert view.told == []
        await cluster.patch(CONFIG_MAPS, "a", labels, kind=PatchKind.MERGE, namespace=namespace)
        await eventually(lambda: view.told == [("set", "a")])
        labels["metadata"]["labels"] = {"x": "z"}
        await cluster.patch(CONFIG_MAPS, "a", labels, kind=PatchKind.MERGE, namespace=namespace)
        await eventually(lambda: view.told == [("set", "a"), ("gone", "a")])


async def test_one_name_made_again_and_again(cluster: Cluster, namespace: str) -> None:
    async with watching(cluster, namespace, keep=False) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
        for _ in range(10):
            await create(cluster, namespace, "a")
            await cluster.delete(CONFIG_MAPS, "a", namespace)
        await eventually(lambda: view.told == [("set", "a"), ("gone", "a")] * 10)


async def test_after_an_expired_version_it_knows_everything_again(
    another_kube_api: Callable[[str], ApiServer],
) -> None:
    """A new API server has no history from before its start: version 1 is too old for it."""
    cluster = await Cluster.connect(another_kube_api("without-history").kubeconfig)
    for name in "ab":
        await create(cluster, "default", name)
    async with watching(cluster, "default") as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
    await cluster.delete(CONFIG_MAPS, "a", "default")
    await create(cluster, "default", "c")
    view.reflector._version = "1"
    view.told.clear()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.reflector.run())
        await eventually(lambda: view.told == [("set", "c"), ("gone", "a")])
        task.cancel()
    await cluster.close()


async def test_an_event_arrives_within_milliseconds_of_its_write(cluster: Cluster, namespace: str) -> None:
    async with watching(cluster, namespace) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
        delays = []
        for number in range(50):
            await create(cluster, namespace, f"x{number}")
            answered = time.perf_counter()
            await eventually(lambda name=f"x{number}": name in view.seen)  # type: ignore[misc]
            delays.append(view.seen[f"x{number}"] - answered)
    assert statistics.median(delays) < 0.010


async def test_many_objects_and_a_storm_of_changes(cluster: Cluster, namespace: str) -> None:
    names = [f"x{number:03}" for number in range(300)]
    await asyncio.gather(*(create(cluster, namespace, name) for name in names))
    async with watching(cluster, namespace) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 10)
        assert set(view.there) == set(names)
        await asyncio.gather(*(
            cluster.patch(CONFIG_MAPS, name, {"data": {"v": str(n)}}, kind=PatchKind.MERGE, namespace=namespace)
            for name, n in itertools.product(names[:20], range(10))
        ))  # fmt: skip
        listed = {item.metadata.name: item for item in await cluster.list(CONFIG_MAPS, namespace)}
        await eventually(lambda: view.there == listed)
