"""The tenant of the benchmark: creates and deletes Services with real backends behind their node ports."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.resources import ENDPOINT_SLICES, NAMESPACES, NODES, SERVICES, Object
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backend, Backends
from fleetlb_cli.seeing import Board

PORT = 8080
WRITERS = 16


class BenchTenant:
    """One namespace of one tenant cluster."""

    def __init__(self, cluster: Cluster, namespace: str, addresses: tuple[str, ...], service_class: str | None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.board = Board(cluster, namespace)
        self._addresses = addresses
        self._class = service_class
        self._backends: dict[str, Backends] = {}

    async def prepare(self) -> None:
        """The namespace, and one node per backend address."""
        await self.cluster.apply(NAMESPACES, {"metadata": {"name": self.namespace}})
        for number, address in enumerate(self._addresses, 1):
            name = f"node-{number}"
            await self.cluster.apply(NODES, manifests.node(name))
            status = manifests.node_status(address)
            await self.cluster.patch(NODES, name, status, kind=PatchKind.STRATEGIC, subresource="status")

    async def create(
        self, name: str, node_port: int = 0, policy: str = "Cluster", *, is_served: bool = True
    ) -> tuple[int, float]:
        """Create a Service; when that was begun (microseconds since 1970) and the milliseconds of the request alone.

        Without a `node_port` the API server chooses one, and a backend is started behind it if it `is_served`.
        """
        port: Object = {"protocol": "TCP", "port": PORT} | ({"nodePort": node_port} if node_port else {})
        spec: Object = {"type": "LoadBalancer", "externalTrafficPolicy": policy, "ports": [port]}
        if self._class:
            spec["loadBalancerClass"] = self._class
        if not self._addresses:
            spec["allocateLoadBalancerNodePorts"] = False  # nobody dials these; node ports are few
        item = {"metadata": {"name": name, "namespace": self.namespace}, "spec": spec}
        begun, clock = time.time_ns() // 1000, time.perf_counter()
        created = await self.cluster.create(SERVICES, item)
        took = (time.perf_counter() - clock) * 1000
        if not node_port and self._addresses and is_served:
            await self.serve(
                name, created["spec"]["ports"][0]["nodePort"], created["spec"].get("healthCheckNodePort", 0)
            )
        return begun, took

    async def serve(self, name: str, node_port: int, health_port: int = 0) -> None:
        """Listen on a node port on every node, and say yes on a health check port if there is one."""
        asked = (health_port,) if health_port else ()
        listening = [
            Backend(f"node-{n}", address, (node_port,), health_ports=asked)
            for n, address in enumerate(self._addresses, 1)
        ]
        self._backends[name] = await Backends(listening).__aenter__()

    async def delete(self, name: str) -> None:
        """Delete a Service; its backends go too."""
        await self.cluster.delete(SERVICES, name, self.namespace)
        backends = self._backends.pop(name, None)
        if backends:
            await backends.close()

    async def create_many(self, names: Iterable[str]) -> None:
        """Create Services with several writers at once."""
        await each(names, lambda name: self.create(name))

    async def delete_many(self, names: Iterable[str]) -> None:
        """Delete Services with several writers at once."""
        await each(names, self.delete)

    async def set_endpoints(self, service: str, nodes: tuple[str, ...]) -> None:
        """Say on which nodes a Service's pods are ready."""
        endpoints = [{"addresses": [f"10.0.0.{n}"], "nodeName": node} for n, node in enumerate(nodes, 1)]
        item: dict[str, Any] = {
            "metadata": {
                "name": f"{service}-slice",
                "namespace": self.namespace,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": [{"port": PORT, "protocol": "TCP"}],
            "endpoints": [endpoint | {"conditions": {"ready": True}} for endpoint in endpoints],
        }
        await self.cluster.apply(ENDPOINT_SLICES, item)

    async def close(self) -> None:
        """Stop every backend."""
        for backends in self._backends.values():
            await backends.close()


async def each(names: Iterable[str], act) -> None:  # type: ignore[no-untyped-def]
    """Run `act` for every name, `WRITERS` at a time."""
    left = iter(list(names))

    async def write() -> None:
        for name in left:
            await act(name)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(WRITERS):
            tasks.create_task(write())
