"""What a user sees of Services: a live view by name, and waiting for one to be as wanted. Decides nothing."""

import asyncio
import time
from collections.abc import Callable

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.shown_services import WATCHED, Service
from fleetlb.kube.watching import Reflector

Wanted = Callable[[Service | None], bool]


def has_address(service: Service | None) -> bool:
    """Wait for an address."""
    return service is not None and bool(service.vip)


def is_serving(service: Service | None) -> bool:
    """Wait for Serving=True."""
    return service is not None and service.is_serving


def is_gone(service: Service | None) -> bool:
    """Wait for the Service's end, finalizer and all."""
    return service is None


class Board:
    """The Services of one namespace as last seen. Waiting costs nothing for the Services not waited for."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._services: dict[str, Service] = {}
        self._waiting: dict[str, list[tuple[Wanted, asyncio.Future[int]]]] = {}
        self._reflector = Reflector(cluster, WATCHED, on_set=self._on_set, on_gone=self._on_gone, namespace=namespace)

    async def run(self) -> None:
        """Follow the namespace until cancelled."""
        await self._reflector.run()

    def get(self, name: str) -> Service | None:
        """A Service as last seen."""
        return self._services.get(name)

    async def until(self, name: str, wanted: Wanted, what: str, deadline: float) -> int:
        """Wait; returns when it was seen, in microseconds since 1970. Raises TimeoutError that says what is there."""
        await self._reflector.synced.wait()
        if wanted(self.get(name)):
            return time.time_ns() // 1000
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append((wanted, future))
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            service = self.get(name)
            state = service.describe() if service else "there is no such Service"
            raise TimeoutError(f"{name}: {what} did not come in {deadline:g} s; {state}") from None

    def _on_set(self, service: Service) -> None:
        self._services[service.metadata.name] = service
        self._tell(service.metadata.name)

    def _on_gone(self, service: Service) -> None:
        self._services.pop(service.metadata.name, None)
        self._tell(service.metadata.name)

    def _tell(self, name: str) -> None:
        waiting = self._waiting.get(name)
        if not waiting:
            return
        service = self.get(name)
        left = []
        for wanted, future in waiting:
            if future.done():
                continue
            if wanted(service):
                future.set_result(time.time_ns() // 1000)
            else:
                left.append((wanted, future))
        if left:
            self._waiting[name] = left
        else:
            del self._waiting[name]
