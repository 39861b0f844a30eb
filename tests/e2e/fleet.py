"""What the end-to-end tests do to a fleet: everything a user or an operator could do by hand."""

import asyncio
import contextlib
import ipaddress
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fleetlb.contracts import codec
from fleetlb.contracts.objects import AddressClaim, LoadBalancer
from fleetlb.contracts.streams import realized_stream
from fleetlb.contracts.v1 import VirtualServerRealized
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS
from fleetlb.kube.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, NODES, SERVICES, Object
from fleetlb.kube.shown_services import Service
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backend, Backends
from fleetlb_cli.local.layout import Environment, read_environment
from fleetlb_cli.local.programs import GROUP as NODE_GROUP
from fleetlb_cli.seeing import Board

FLEETLB = str(Path(sys.executable).parent / "fleetlb")
PATIENCE = 30.0

_node_ports = itertools.count(30100)


def next_node_port() -> int:
    """A node port that no other test uses."""
    return next(_node_ports)


async def eventually(check: Callable[[], Awaitable[bool]], what: str, patience: float = PATIENCE) -> None:
    """Wait until `check` holds. Fails with `what`."""
    end = time.monotonic() + patience
    while not await check():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true in {patience:g} s")
        await asyncio.sleep(0.05)


class Fleet:
    """The hub of a running fleet."""

    def __init__(self, state: Path, management: Cluster) -> None:
        self.state = state
        self.management = management

    @classmethod
    async def open(cls, state: Path) -> "Fleet":
        """Connect to the management cluster."""
        kubeconfig = read_environment(state).management.kubeconfig
        return cls(state, await Cluster.connect(Path(kubeconfig), field_manager="e2e"))

    @property
    def environment(self) -> Environment:
        """env.json as it is now."""
        return read_environment(self.state)

    async def close(self) -> None:
        """Disconnect."""
        await self.management.close()

    async def verb(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`fleetlb local …` on this fleet."""
        command = [FLEETLB, "local", *arguments, "--state", str(self.state)]
        return await asyncio.to_thread(
            subprocess.run, command, check=check, timeout=120, text=True, capture_output=True
        )

    @asynccontextmanager
    async def without(self, *processes: str) -> AsyncIterator[None]:
        """Stopped for the time of a block; started in the same order, and ready again, after it."""
        for process in processes:
            await self.verb("stop", process)
        try:
            yield
        finally:
            for process in processes:
                await self.verb("start", process)

    @asynccontextmanager
    async def bus(self, creds: str) -> AsyncIterator[JetStreamBus]:
        """A connection to NATS with the credentials in a file."""
        async with asyncio.TaskGroup() as tasks:
            bus = await JetStreamBus.connect(self.environment.nats.url, tasks=tasks, creds=Path(creds), name="e2e")
            try:
                yield bus
            finally:
                await bus.close()

    def hub_bus(self) -> AbstractAsyncContextManager[JetStreamBus]:
        """A connection with the hub's credentials."""
        return self.bus(self.environment.nats.hub_creds)

    def tenant_bus(self, tenant: str) -> AbstractAsyncContextManager[JetStreamBus]:
        """A connection with a tenant's own credentials."""
        return self.bus(self.environment.tenants[tenant].creds)

    async def realized(self) -> list[tuple[VirtualServerRealized, str]]:
        """The last word of each node on each virtual server, and the trace context that it was sent with."""
        found: list[Message] = []
        replayed, spec = asyncio.Event(), realized_stream(NODE_GROUP)
        async with self.hub_bus() as bus, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(
                bus.replay_and_follow(
                    spec.name, spec.subjects[0], found.append, on_replayed=replayed.set, on_restart=found.clear
                )
            )
            await replayed.wait()
            following.cancel()
        words = [message for message in found if not message.subject.endswith(".node")]
        return [(codec.decode(VirtualServerRealized, message.data), message.trace) for message in words]

    async def claim(self, address: str) -> AddressClaim | None:
        """The claim on an address."""
        with contextlib.suppress(NotFound):
            return await self.management.get(ADDRESS_CLAIMS, address)
        return None

    async def load_balancer(self, tenant: str, uid: str) -> LoadBalancer | None:
        """The LoadBalancer of a Service."""
        with contextlib.suppress(NotFound):
            return await self.management.get(LOAD_BALANCERS, uid, f"tenant-{tenant}")
        return None

    @asynccontextmanager
    async def tenant(self, name: str, namespace: str) -> AsyncIterator["TenantCluster"]:
        """A tenant cluster with nodes, and what the test leaves in it taken away afterwards."""
        place = self.environment.tenants[name]
        cluster = await Cluster.connect(Path(place.kubeconfig), field_manager="e2e")
        async with prepared(TenantCluster(name, cluster, namespace, place.node_cidr)) as tenant:
            yield tenant
        await cluster.close()


class TenantCluster:
    """One tenant's cluster, in one namespace."""

    patience = PATIENCE
    """Seconds until whatever is waited for must have come true."""

    def __init__(self, name: str, cluster: Cluster, namespace: str, node_cidr: str) -> None:
        self.name = name
        self.cluster = cluster
        self.namespace = namespace
        self.board = Board(cluster, namespace)
        first = ipaddress.ip_network(node_cidr).network_address + 11
        self.nodes = {"node-1": str(first), "node-2": str(first + 1)}
        self._stack = contextlib.AsyncExitStack()

    async def prepare(self) -> None:
        """Namespace and nodes."""
        await self.cluster.apply(NAMESPACES, {"metadata": {"name": self.namespace}})
        for node, address in self.nodes.items():
            await self.cluster.apply(NODES, manifests.node(node))
            status = manifests.node_status(address)
            await self.cluster.patch(NODES, node, status, kind=PatchKind.STRATEGIC, subresource="status")

    async def clean(self) -> None:
        """Delete the test's Services and wait for their end."""
        for item in await self.cluster.list(SERVICES, self.namespace):
            with contextlib.suppress(NotFound):
                await self.cluster.delete(SERVICES, item["metadata"]["name"], self.namespace)
        await eventually(self._is_empty, f"the end of every Service in {self.namespace}", self.patience)
        await self._stack.aclose()

    async def _is_empty(self) -> bool:
        return not await self.cluster.list(SERVICES, self.namespace)

    async def serve(
        self, *, tcp: tuple[int, ...] = (), udp: tuple[int, ...] = (), health: tuple[int, ...] = ()
    ) -> Backends:
        """Real servers on every node, until the test ends."""
        listening = [Backend(f"{self.name} {node}", address, tcp, udp, health) for node, address in self.nodes.items()]
        return await self._stack.enter_async_context(Backends(listening))

    async def make(self, name: str, ports: list[Object], **spec: Any) -> Object:
        """Create a Service, of type LoadBalancer unless the spec says otherwise; returns it as it was created.

        `annotations` and `metadata` are not of the spec.
        """
        annotations, metadata = spec.pop("annotations", {}), spec.pop("metadata", {})
        body = {
            "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations, **metadata},
            "spec": {"type": "LoadBalancer", "ports": ports, **spec},
        }
        return await self.cluster.create(SERVICES, body)

    async def create(self, name: str, ports: list[Object], **spec: Any) -> str:
        """The same; returns its UID."""
        uid: str = (await self.make(name, ports, **spec))["metadata"]["uid"]
        return uid

    async def get(self, name: str) -> Object:
        """A Service as it is."""
        return await self.cluster.get(SERVICES, name, self.namespace)

    async def patch(self, name: str, body: Object, subresource: str | None = None) -> None:
        """A merge patch of a Service."""
        await self.cluster.patch(
            SERVICES, name, body, kind=PatchKind.MERGE, namespace=self.namespace, subresource=subresource
        )

    async def delete(self, name: str) -> None:
        """Delete a Service."""
        await self.cluster.delete(SERVICES, name, self.namespace)

    async def endpoints(self, service: str, ready: dict[str, bool]) -> None:
        """An EndpointSlice: node name to readiness."""
        item = {
            "metadata": {
                "name": f"{service}-slice",
                "namespace": self.namespace,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [f"10.1.0.{n}"], "nodeName": node, "conditions": {"ready": is_ready}}
                for n, (node, is_ready) in enumerate(ready.items(), 1)
            ],
        }
        await self.cluster.apply(ENDPOINT_SLICES, item)

    async def until(self, name: str, wanted: Callable[[Service | None], bool], what: str) -> Service | None:
        """Wait for a Service to be as wanted."""
        await self.board.until(name, wanted, what, self.patience)
        return self.board.get(name)

    async def address(self, name: str) -> str:
        """Wait for an address."""
        service = await self.until(name, lambda s: s is not None and bool(s.vip), "an address")
        assert service is not None
        return service.vip

    async def serving(self, name: str) -> str:
        """Wait for Serving=True; returns the address."""
        service = await self.until(name, lambda s: s is not None and s.is_serving, "Serving=True")
        assert service is not None
        return service.vip

    async def reason(self, name: str, kind: str, reason: str) -> str:
        """Wait for a condition's reason; returns its message."""

        def says(service: Service | None) -> bool:
            return service is not None and any(c.type == kind and c.reason == reason for c in service.status.conditions)

        service = await self.until(name, says, f"{kind} with reason {reason}")
        assert service is not None
        return next(c.message for c in service.status.conditions if c.type == kind)

    async def events(self, name: str) -> list[Object]:
        """Events of a Service."""
        events = await self.cluster.list(EVENTS, self.namespace)
        return [event for event in events if event["involvedObject"]["name"] == name]


AnyTenant = TypeVar("AnyTenant", bound=TenantCluster)


@asynccontextmanager
async def prepared(tenant: AnyTenant) -> AsyncIterator[AnyTenant]:
    """A tenant cluster that is watched; what the test leaves in it is taken away afterwards."""
    watch = asyncio.TaskGroup()
    async with watch:
        running = watch.create_task(tenant.board.run())
        try:
            await tenant.prepare()
            yield tenant
        finally:
            await tenant.clean()
            running.cancel()


def tcp(port: int, node_port: int, name: str = "") -> Object:
    """A TCP port of a Service."""
    return {"name": name or f"p{port}", "protocol": "TCP", "port": port, "nodePort": node_port}


def udp(port: int, node_port: int, name: str = "") -> Object:
    """A UDP port of a Service."""
    return {"name": name or f"u{port}", "protocol": "UDP", "port": port, "nodePort": node_port}


def key(address: str, port: int, protocol: Protocol = Protocol.TCP) -> VirtualServerKey:
    """What a client dials."""
    return VirtualServerKey(address, port, protocol)
