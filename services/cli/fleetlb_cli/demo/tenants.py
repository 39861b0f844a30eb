"""One tenant of the demonstration: its cluster, its nodes' backends and its Service."""

import contextlib
import time
from pathlib import Path
from typing import Any

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import NAMESPACES, NODES, SERVICES
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backend
from fleetlb_cli.seeing import Board, Wanted, is_gone

PATIENCE = 20.0
"""Seconds that one step may take before it is called untrue."""


class Tenant:
    """A tenant cluster with one Service of the demonstration in it."""

    def __init__(self, name: str, cluster: Cluster, backends: list[Backend], load_balancer_class: str | None) -> None:
        self.name = name
        self.cluster = cluster
        self.backends = backends
        self.board = Board(cluster, manifests.NAMESPACE)
        self.created_at = 0
        """When the Service was sent to the API server, in microseconds since 1970."""
        self._class = load_balancer_class

    @classmethod
    async def connect(cls, name: str, kubeconfig: Path, node_cidr: str, load_balancer_class: str | None) -> "Tenant":
        """A tenant behind its kubeconfig."""
        cluster = await Cluster.connect(kubeconfig, field_manager="fleetlb-demo")
        return cls(name, cluster, manifests.backends_of(name, node_cidr), load_balancer_class)

    async def create(self) -> None:
        """Create nodes and the Service, as the tenant's kubelets and users would; an earlier Service goes first."""
        with contextlib.suppress(NotFound):
            await self.delete()
        await self.until(is_gone, "the end of an earlier demonstration's Service", PATIENCE)
        await self.cluster.apply(NAMESPACES, manifests.namespace())
        for number, backend in enumerate(self.backends, 1):
            name, status = f"node-{number}", manifests.node_status(backend.address)
            await self.cluster.apply(NODES, manifests.node(name))
            await self.cluster.patch(NODES, name, status, kind=PatchKind.STRATEGIC, subresource="status")
        self.created_at = time.time_ns() // 1000
        await self.cluster.apply(SERVICES, manifests.service(self._class))

    async def add_port(self) -> None:
        """Open one more port."""
        body: dict[str, Any] = manifests.added_port()
        place = manifests.NAMESPACE
        await self.cluster.patch(SERVICES, manifests.SERVICE, body, kind=PatchKind.STRATEGIC, namespace=place)

    async def delete(self) -> None:
        """Delete the Service; it is gone when its finalizer is."""
        await self.cluster.delete(SERVICES, manifests.SERVICE, manifests.NAMESPACE)

    async def until(self, wanted: Wanted, what: str, deadline: float) -> int:
        """Wait for the Service; when it was seen, in microseconds since 1970."""
        try:
            return await self.board.until(manifests.SERVICE, wanted, what, deadline)
        except TimeoutError as late:
            raise TimeoutError(f"{self.name}: {late}") from None

    @property
    def vip(self) -> str:
        """The Service's address."""
        service = self.board.get(manifests.SERVICE)
        return service.vip if service else ""

    @property
    def uid(self) -> str:
        """The Service's identity."""
        service = self.board.get(manifests.SERVICE)
        return service.metadata.uid if service else ""

    def key(self, port: int, protocol: Protocol) -> VirtualServerKey:
        """What a client dials."""
        return VirtualServerKey(self.vip, port, protocol)
