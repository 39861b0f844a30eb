"""Questions and answers: clients that ask who answers, servers that say who they are and who asked.

A server believes a header of PROXY protocol v2 about who asked. Every socket is made in its place, such as a network
namespace, where it stays, and used from the test's own event loop.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import typing
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import NamedTuple, cast

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.demo.dialling import Answer

_KINDS = {
    Protocol.TCP: (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    Protocol.UDP: (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    Protocol.SCTP: (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_PROXY_HEADER = b"\r\n\r\n\0\r\nQUIT\n"
_QUESTION = b"who are you?\n"
_CONNECT_SECONDS = 20.0


class Place(typing.Protocol):
    """Where a socket can be made, such as a network namespace."""

    def entered(self) -> AbstractContextManager[object]:
        """Within, the current thread is there."""


class Talk(NamedTuple):
    """From where, as whom, to whom."""

    place: Place
    source: str
    key: VirtualServerKey


class Conversation:
    """A connection that stands."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def ask(self, seconds: float = 20.0) -> str:
        """Who answers. Raises OSError if the connection was cut, TimeoutError, EOFError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            await loop.sock_sendall(self._socket, _QUESTION)
            answer = await loop.sock_recv(self._socket, 1000)
        if not answer:
            raise EOFError("closed without an answer")
        return answer.decode().strip()


@contextlib.asynccontextmanager
async def open_conversation(talk: Talk) -> AsyncIterator[Conversation]:
    """A connection, or for UDP a socket that keeps its port. Raises OSError, TimeoutError."""
    with contextlib.closing(_socket(talk.place, talk.source, talk.key.protocol)) as made:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, (talk.key.address, talk.key.port))
        yield Conversation(made)


async def ask(talk: Talk, seconds: float) -> Answer:
    """One question; never raises for what the network does."""
    try:
        async with asyncio.timeout(seconds), open_conversation(talk) as conversation:
            return Answer(text=await conversation.ask(seconds))
    except TimeoutError:
        return Answer(failure="no answer")
    except EOFError as problem:
        return Answer(failure=str(problem))
    except OSError as problem:
        return Answer(failure=os.strerror(problem.errno) if problem.errno else type(problem).__name__)


class Servers:
    """TCP and UDP servers on tenants' nodes, until closed. They answer `<name> <who asked>`."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._transports: set[asyncio.BaseTransport] = set()
        self._is_closed = False

    async def start(self, name: str, place: Place, address: str, protocol: Protocol, port: int) -> None:
        """One more. Raises OSError."""
        listening = listening_socket(place, address, protocol, port)
        self._is_closed = False
        loop = asyncio.get_running_loop()
        if protocol is Protocol.UDP:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(name), sock=listening)
            self._transports.add(transport)
        else:
            self._servers.append(await loop.create_server(lambda: _Lines(name, self), sock=listening))

    def note(self, transport: asyncio.BaseTransport) -> None:
        """A connection stands. One that was accepted while everything ended ends too."""
        if self._is_closed:
            transport.close()
        else:
            self._transports.add(transport)

    def forget(self, transport: asyncio.BaseTransport) -> None:
        """A connection has ended."""
        self._transports.discard(transport)

    async def close(self) -> None:
        """Stop listening and hang up."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        for transport in tuple(self._transports):
            transport.close()
        await asyncio.sleep(0)  # that is when they close


class _Lines(asyncio.Protocol):
    def __init__(self, name: str, servers: Servers) -> None:
        self._name = name
        self._servers = servers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = (transport.get_extra_info("peername") or ("nobody",))[0]
        self._servers.note(transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(_PROXY_HEADER):
            data, self._peer = _without_header(data)
        self._transport.write(f"{self._name} {self._peer}\n".encode() * data.count(b"\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._servers.forget(self._transport)


def _without_header(data: bytes) -> tuple[bytes, str]:
    """What follows a header of PROXY protocol v2, and the client's address in it."""
    family, length = data[13] >> 4, int.from_bytes(data[14:16])
    size = {1: 4, 2: 16}[family]
    return data[16 + length :], str(ipaddress.ip_address(data[16 : 16 + size]))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self._transport.sendto(f"{self._name} {addr[0]}".encode(), addr)


def listening_socket(place: Place, address: str, protocol: Protocol, port: int) -> socket.socket:
    """A server's socket in its place. Raises OSError."""
    return _socket(place, address, protocol, port)


def _socket(place: Place, address: str, protocol: Protocol, port: int | None = None) -> socket.socket:
    """Bound; listening if there is a port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with place.entered():
        made = socket.socket(family, *_KINDS[protocol])
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port or 0))
            if port is not None and protocol is not Protocol.UDP:
                made.listen(100)
        except OSError:
            made.close()
            raise
    return made
