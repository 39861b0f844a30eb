"""Endpoints that come and go by the thousand a second: how much of it reaches the data plane, and how late."""

import asyncio
import ipaddress
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import VirtualServerRealized
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.resources import ENDPOINT_SLICES, NODES, SERVICES, Object
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb_cli.bench.tenant import WRITERS, BenchTenant, each
from fleetlb_cli.demo import manifests
from fleetlb_cli.local.layout import Environment
from fleetlb_cli.seeing import has_address

COUNT, ENDPOINTS, FLIPS, SECONDS = 200, 50, 5, 10
PER_SECOND = 1000
PATIENCE = 120.0
_PUSHED = "fleetlb_envoy_pushed_resources_total"


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm of endpoint changes did."""

    changes: int
    """Endpoints that turned ready or unready."""
    writes: int
    """Writes of EndpointSlices that carried them."""
    seconds: float
    pushes: int
    """Sets of endpoints sent to Envoy."""
    staleness: tuple[float, ...]
    """Milliseconds from the watcher's sight of a change until Envoy had it, the oldest of those that went together."""


class Storm:
    """Services whose endpoints all live on nodes of their own."""

    def __init__(self, tenant: BenchTenant, environment: Environment, first: ipaddress.IPv4Address) -> None:
        """Nodes get addresses from `first` on."""
        self._tenant = tenant
        self._environment = environment
        self._nodes = {f"churn-{number}": str(first + number) for number in range(ENDPOINTS)}
        self._names = [f"churn-{number}" for number in range(COUNT)]
        self._states = {name: [True] * ENDPOINTS for name in self._names}
        self._servers: list[asyncio.Server] = []
        self._staleness: list[float] = []
        self._chance = random.Random(1)  # noqa: S311 - the same storm each time

    async def measure(self, tasks: asyncio.TaskGroup) -> Churn:
        """Prepare, let it blow, and clean up."""
        cluster, nats = self._tenant.cluster, self._environment.nats
        await self._prepare(cluster)
        bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=Path(nats.hub_creds), name="fleetlb-bench-churn")
        try:
            await bus.listen(f"{subjects.ROOT}.realized.>", self._hear)
            await asyncio.sleep(3)  # what the preparation set off is over
            self._staleness.clear()
            before, began = await self._pushes(), time.perf_counter()
            writes = await self._blow(cluster)
            seconds = time.perf_counter() - began
            await asyncio.sleep(3)  # the last of it arrives
            pushes = await self._pushes() - before
        finally:
            await bus.close()
        await self._clean(cluster)
        return Churn(
            changes=writes * FLIPS, writes=writes, seconds=seconds, pushes=pushes, staleness=tuple(self._staleness)
        )

    async def _prepare(self, cluster: Cluster) -> None:
        for name, address in self._nodes.items():
            await cluster.apply(NODES, manifests.node(name))
            body = manifests.node_status(address)
            await cluster.patch(NODES, name, body, kind=PatchKind.STRATEGIC, subresource="status")
        await each(self._names, self._create)
        for name in self._names:
            await self._tenant.board.until(name, has_address, "an address", PATIENCE)

    async def _create(self, name: str) -> None:
        await self._tenant.set_endpoints(name, tuple(self._nodes))
        await self._tenant.create(name, policy="Local", is_served=False)
        made = await self._tenant.cluster.get(SERVICES, name, self._tenant.namespace)
        for port in (made["spec"]["ports"][0]["nodePort"], made["spec"]["healthCheckNodePort"]):
            self._servers.append(await _accept_everywhere(port))

    async def _blow(self, cluster: Cluster) -> int:
        """Write at a steady rate, or as fast as the API server can; each write is a few endpoints of one Service."""
        began, turns, count = time.perf_counter(), self._turns(), 0

        async def write() -> None:
            nonlocal count
            while time.perf_counter() - began < SECONDS:
                due = began + count * FLIPS / PER_SECOND
                count += 1
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await self._flip(cluster, next(turns))

        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write())
        return count

    def _turns(self) -> Iterator[str]:
        while True:
            yield from self._names

    async def _flip(self, cluster: Cluster, name: str) -> None:
        states = self._states[name]
        for place in self._chance.sample(range(ENDPOINTS), FLIPS):
            states[place] = not states[place]
        endpoints: list[Object] = [
            {"addresses": ["10.0.0.1"], "nodeName": node, "conditions": {"ready": ready}}
            for node, ready in zip(self._nodes, states, strict=True)
        ]
        body = {"endpoints": endpoints}
        await cluster.patch(
            ENDPOINT_SLICES, f"{name}-slice", body, kind=PatchKind.MERGE, namespace=self._tenant.namespace
        )

    def _hear(self, message: Message) -> None:
        if message.subject.endswith(".node"):
            return
        hops = {hop.name: hop.at for hop in codec.decode(VirtualServerRealized, message.data).hops}
        if "watch" in hops and "acknowledge" in hops:
            self._staleness.append((hops["acknowledge"] - hops["watch"]) / 1000)

    async def _pushes(self) -> int:
        """Sets of endpoints that the programmers have sent."""
        total = 0.0
        for name, process in self._environment.processes.items():
            if name.startswith("dataplane-programmer/") and process.http:
                async with aiohttp.ClientSession() as session, session.get(f"{process.http}/metrics") as answer:
                    families = text_string_to_metric_families(await answer.text())
                    samples = [sample for family in families for sample in family.samples if sample.name == _PUSHED]
                    total += sum(s.value for s in samples if s.labels.get("kind") == "endpoints")
        return int(total)

    async def _clean(self, cluster: Cluster) -> None:
        for server in self._servers:
            server.close()
        await self._tenant.delete_many(self._names)
        for name in self._names:
            await cluster.delete(ENDPOINT_SLICES, f"{name}-slice", self._tenant.namespace)
        for name in self._nodes:
            await cluster.delete(NODES, name)


async def _accept_everywhere(port: int) -> asyncio.Server:
    """Take connections to a port of every loopback address and say yes to whatever is asked, which is enough for a
    check of health."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1024):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listening.bind(("0.0.0.0", port))  # noqa: S104 - on the loopback device alone
    return await asyncio.start_server(answer, sock=listening)
