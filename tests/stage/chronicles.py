"""Every version of the Services of a namespace, in order: what was written to them, and what before what."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.resources import SERVICES, Object, Resource
from fleetlb.kube.watching import Reflector

PATIENCE = 90.0


class VersionMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a Service's metadata that a controller may touch, and what says which version it is."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class Version(msgspec.Struct, frozen=True):
    """A Service as it was at one time."""

    metadata: VersionMetadata
    spec: Object
    status: Object

    @property
    def ingress(self) -> list[Object]:
        """`status.loadBalancer.ingress`."""
        return self.status.get("loadBalancer", {}).get("ingress") or []

    @property
    def conditions(self) -> dict[str, Object]:
        """Conditions by type."""
        return {condition["type"]: condition for condition in self.status.get("conditions") or []}


_WATCHED = Resource("", "v1", "services", Version, kind_name="Service")


class Chronicle:
    """What was seen of each Service since it was opened."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Sees nothing yet; see `chronicle_of`."""
        self._cluster = cluster
        self._namespace = namespace
        self._versions: dict[str, list[Version]] = {}
        self._gone: set[str] = set()
        self._news = asyncio.Event()
        self.reflector = Reflector(cluster, _WATCHED, on_set=self._on_set, on_gone=self._on_gone, namespace=namespace)

    async def versions(self, name: str) -> list[Version]:
        """All versions of a Service that is there, up to now. Raises TimeoutError."""
        now = int((await self._cluster.get(SERVICES, name, self._namespace))["metadata"]["resourceVersion"])
        await self._until(lambda: any(int(v.metadata.resource_version) >= now for v in self._versions.get(name, ())))
        return list(self._versions[name])

    async def until_gone(self, uid: str, name: str) -> list[Version]:
        """All versions of a Service, once it is there no more. Raises TimeoutError."""
        await self._until(lambda: uid in self._gone)
        return [each for each in self._versions.get(name, ()) if each.metadata.uid == uid]

    async def _until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not seen():
                self._news.clear()
                await self._news.wait()

    def _on_set(self, version: Version) -> None:
        self._versions.setdefault(version.metadata.name, []).append(version)
        self._news.set()

    def _on_gone(self, version: Version) -> None:
        self._gone.add(version.metadata.uid)
        self._news.set()


@asynccontextmanager
async def chronicle_of(cluster: Cluster, namespace: str) -> AsyncIterator[Chronicle]:
    """A chronicle that misses nothing from here to the end of the block."""
    chronicle = Chronicle(cluster, namespace)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(chronicle.reflector.run())
        try:
            await chronicle.reflector.synced.wait()
            yield chronicle
        finally:
            running.cancel()
