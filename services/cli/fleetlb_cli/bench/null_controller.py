"""The floor: a controller that watches Services of its own class and patches an address into each, nothing more."""

import asyncio
import ipaddress

from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import ApiError
from fleetlb.kube.shown_services import WATCHED, Service
from fleetlb.kube.watching import Reflector

NULL_CLASS = "bench.fleetlb.dev/null"


class NullController:
    """Serves Services in one namespace; it must hold only Services of its class."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._next = int(ipaddress.IPv4Address("198.18.0.1"))
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._reflector = Reflector(
            cluster, WATCHED, on_set=self._on_set, on_gone=lambda gone: None, namespace=namespace, keep=False
        )

    async def run(self, workers: int = 16) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflector.run())
            for _ in range(workers):
                tasks.create_task(self._work())

    def _on_set(self, service: Service) -> None:
        if not service.vip:
            self._queue.put_nowait(service.metadata.name)

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            address, self._next = str(ipaddress.IPv4Address(self._next)), self._next + 1
            body = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
            try:
                await self._cluster.patch(
                    WATCHED, name, body, kind=PatchKind.MERGE, namespace=self._namespace, subresource="status"
                )
            except ApiError:
                continue  # deleted meanwhile
