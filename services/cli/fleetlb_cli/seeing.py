"""What a user sees of Services: a live view by name, and waiting for one to be as wanted. Decides nothing."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from fleetlb.domain.conditions import SERVING
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.resources import Resource
from fleetlb.kube.watching import Reflector


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a Service's metadata that is looked at."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None


class Ingress(msgspec.Struct, frozen=True):
    """One address."""

    ip: str = ""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One condition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class LoadBalancerStatus(msgspec.Struct, frozen=True):
    """`status.loadBalancer`."""

    ingress: tuple[Ingress, ...] = ()


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """`status`."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of `spec` that says whose Service it is."""

    type: str = ""
    load_balancer_class: str | None = None


class Service(msgspec.Struct, frozen=True):
    """A Service as its user sees it."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    def condition(self, kind: str) -> Condition | None:
        """One of its conditions."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def vip(self) -> str:
        """Its address, or nothing yet."""
        return next((ingress.ip for ingress in self.status.load_balancer.ingress), "")

    @property
    def is_serving(self) -> bool:
        """Whether its condition says so."""
        return any(c.type == SERVING and c.status == "True" for c in self.status.conditions)

    def describe(self) -> str:
        """Its conditions in one line, for a failed wait."""
        return (
            "; ".join(f"{c.type}={c.status} {c.reason}: {c.message}" for c in self.status.conditions) or "no condition"
        )


WATCHED = Resource("", "v1", "services", Service, kind_name="Service")
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
