"""One balancer node's Envoy with the engine that programs it, and clients of what they serve."""

import asyncio
import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator

import prometheus_client

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey
from fleetlb.testkit.echo import ask_tcp, ask_udp
from fleetlb.testkit.envoy_process import ENVOY, EnvoyProcess
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap, command
from fleetlb_dataplane_programmer.envoy.delta import Retry
from fleetlb_dataplane_programmer.envoy.engine import EnvoyEngine

PORT = 20443
# A /24 of loopback per process, so that concurrent runs do not meet.
VIPS = (f"127.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}.{host}" for host in itertools.cycle(range(1, 255)))
RETRY = Retry(initial_seconds=0.2, cap_seconds=0.4)


def server(
    *ports: int, protocol: Protocol = Protocol.TCP, scheduler: Scheduler = Scheduler.ROUND_ROBIN
) -> VirtualServer:
    """On a fresh VIP, with real servers on these ports of the loopback."""
    key = VirtualServerKey(next(VIPS), PORT, protocol)
    return VirtualServer(key=key, real_servers=real_servers(*ports), scheduler=scheduler)


def real_servers(*ports: int) -> tuple[RealServer, ...]:
    return tuple(RealServer("127.0.0.1", port) for port in sorted(ports))


def unused_port() -> int:
    """A port of the loopback that refuses connections, until somebody takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def pushed() -> float:
    """Resources sent to any Envoy by this process so far."""
    sample = functools.partial(prometheus_client.REGISTRY.get_sample_value, "fleetlb_envoy_pushed_resources_total")
    return sum(sample({"kind": kind}) or 0 for kind in ("cluster", "endpoints", "listener"))


class Node:
    """A balancer node: one Envoy, and one engine at a time."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._socket = folder / "ads"
        made = bootstrap(node="node-1", group="test", ads_socket=self._socket, admin=str(folder / "admin"))
        self.envoy = EnvoyProcess(folder, made, functools.partial(command, ENVOY, concurrency=2))
        self.outcomes: list[tuple[VirtualServerKey, Outcome]] = []
        self.wishes: dict[VirtualServerKey, VirtualServer] = {}
        self.token = 0
        self.engine = self._new_engine()

    def _new_engine(self) -> EnvoyEngine:
        return EnvoyEngine(self._socket, lambda key, outcome: self.outcomes.append((key, outcome)), retry=RETRY)

    async def restart_engine(self) -> None:
        """As after a crash of the programmer: a new one that knows its wishes from elsewhere."""
        await self.engine.stop()
        self.outcomes.clear()
        self.engine = self._new_engine()
        for wish in self.wishes.values():
            self.engine.apply(wish, self.token)
        self.engine.complete()
        await self.engine.start()

    def wish(self, *servers: VirtualServer) -> None:
        self.token += 1
        for wished in servers:
            self.wishes[wished.key] = wished
            self.engine.apply(wished, self.token)

    async def program(self, *servers: VirtualServer) -> None:
        self.wish(*servers)
        await self.told(State.PROGRAMMED, *servers)

    async def remove(self, gone: VirtualServer) -> None:
        self.token += 1
        del self.wishes[gone.key]
        self.engine.remove(gone.key, self.token)
        await self.told(State.REMOVED, gone)

    async def told(self, state: State, *servers: VirtualServer) -> None:
        missing = {wished.key for wished in servers}

        def all_told() -> bool:
            missing.difference_update(k for k, o in self.outcomes if (o.state, o.token) == (state, self.token))
            return not missing

        await eventually(all_told, seconds=20)


@contextlib.asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
    """A node whose engine knows that there is nothing yet."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fleetlb-"))  # short: it holds unix sockets
    made = Node(folder)
    made.engine.complete()
    await made.engine.start()
    await made.envoy.start()
    try:
        yield made
    finally:
        await made.envoy.stop()
        await made.engine.stop()
        shutil.rmtree(folder)


class Conversation:
    """One long-lived TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self) -> str:
        self._writer.write(b"hello\n")
        async with asyncio.timeout(2):
            return (await self._reader.readline()).decode().strip()

    async def end(self) -> bytes:
        return await self._reader.read()


@contextlib.asynccontextmanager
async def conversation(key: VirtualServerKey, source: str | None = None) -> AsyncIterator[Conversation]:
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(key.address, key.port, local_addr=local)
    try:
        yield Conversation(reader, writer)
    finally:
        writer.close()


async def answer(key: VirtualServerKey, source: str | None = None) -> str:
    if key.protocol is Protocol.UDP:
        return await ask_udp(key.address, key.port, source=source)
    return await ask_tcp(key.address, key.port, source=source)


def refuses(key: VirtualServerKey) -> bool:
    """Whether nobody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in key.address else socket.AF_INET) as dialling:
        return dialling.connect_ex((key.address, key.port)) != 0


async def listens(key: VirtualServerKey) -> None:
    """Until somebody takes connections there."""
    await eventually(lambda: not refuses(key))


async def settles(key: VirtualServerKey, expected: str, source: str | None = None, seconds: float = 5) -> None:
    """Until the VIP answers so; between acknowledgement and workers lies an instant."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            if await answer(key, source) == expected:
                return
        assert time.monotonic() < deadline, f"{key} does not answer {expected!r}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def clients(key: VirtualServerKey, source: str | None = None) -> AsyncIterator[list[str]]:
    """New connections, one after the other, all the while; yields what they got."""
    answers: list[str] = []

    async def dial() -> None:
        while True:
            try:
                answers.append(await answer(key, source))
            except OSError as problem:
                answers.append(repr(problem))
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as tasks:
        dialling = tasks.create_task(dial())
        try:
            yield answers
        finally:
            dialling.cancel()
