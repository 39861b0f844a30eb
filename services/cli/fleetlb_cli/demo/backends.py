"""Real TCP and UDP servers on a node's address, in the place of pods and of kube-proxy. They answer with their name."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import cast

import msgspec


class Backend(msgspec.Struct, frozen=True):
    """Where a server listens, and what it calls itself."""

    name: str
    address: str
    tcp_ports: tuple[int, ...] = ()
    udp_ports: tuple[int, ...] = ()
    health_ports: tuple[int, ...] = ()
    """Where it says that its node has a ready pod, as kube-proxy does at `healthCheckNodePort`."""


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with the backend's name."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self._transport.sendto(self._name, addr)


class _Lines(asyncio.Protocol):
    """Answers each line with the backend's name, until the client hangs up."""

    def __init__(self, name: str, living: set[asyncio.BaseTransport]) -> None:
        self._answer = name.encode() + b"\n"
        self._living = living

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._living.add(transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer * data.count(b"\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._living.discard(self._transport)


class _Health(asyncio.Protocol):
    """Answers each request over HTTP by yes or no, and hangs up."""

    def __init__(self, is_well: Callable[[], bool]) -> None:
        self._is_well = is_well

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        word = b"200 OK" if self._is_well() else b"503 Service Unavailable"
        self._transport.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % word)
        self._transport.close()


class Backends:
    """Servers that live as long as the `async with` block."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.unwell: set[str] = set()
        """Names of those that say no at their health ports; they go on answering elsewhere."""
        self._backends = backends
        self._servers: list[asyncio.Server] = []
        self._living: set[asyncio.BaseTransport] = set()

    async def __aenter__(self) -> "Backends":
        try:
            for backend in self._backends:
                await self._start(backend)
        except OSError:
            await self.close()
            raise
        return self

    async def _start(self, backend: Backend) -> None:
        loop = asyncio.get_running_loop()
        for port in backend.tcp_ports:
            server = await loop.create_server(lambda: _Lines(backend.name, self._living), backend.address, port)
            self._servers.append(server)
        for port in backend.health_ports:
            server = await loop.create_server(
                lambda: _Health(lambda: backend.name not in self.unwell), backend.address, port
            )
            self._servers.append(server)
        for port in backend.udp_ports:
            place = (backend.address, port)
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(backend.name), place)
            self._living.add(transport)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and hang up."""
        for server in self._servers:
            server.close()
        for transport in tuple(self._living):
            transport.close()
