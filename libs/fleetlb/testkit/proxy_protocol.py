"""A real server that expects the PROXY protocol, version 2, and tells what its header said.

Written from the specification, not from what a balancer sends: a header that it does not allow ends the connection.
"""

import asyncio
import contextlib
import ipaddress
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY, _TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x21, 0x11, 0x21
_LENGTHS = {_TCP_OVER_IPV4: 4, _TCP_OVER_IPV6: 16}


class Header(NamedTuple):
    """Who connects to what, as (address, port)."""

    source: tuple[str, int]
    destination: tuple[str, int]


async def read_header(reader: asyncio.StreamReader) -> Header:
    """The header that a connection begins with. Raises ValueError, or IncompleteReadError if the stream ends first."""
    start = await reader.readexactly(16)
    signature, command, transport, length = struct.unpack("!12sBBH", start)
    if signature != _SIGNATURE or command != _PROXY or transport not in _LENGTHS:
        raise ValueError(f"no header of a proxied TCP connection, version 2: {start!r}")
    body = await reader.readexactly(length)
    size = _LENGTHS[transport]
    source, destination, source_port, destination_port = struct.unpack(f"!{size}s{size}sHH", body[: 2 * size + 4])
    return Header(
        (str(ipaddress.ip_address(source)), source_port), (str(ipaddress.ip_address(destination)), destination_port)
    )


class ProxiedServer:
    """What such a server saw."""

    def __init__(self) -> None:
        """Nobody came yet."""
        self.port = 0
        self.headers: list[Header] = []
        self.checks = 0
        """Connections that ended without a word."""
        self.complaints: list[str] = []
        """About connections that said something, and no header."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet with the address and port in the header, then send back every line."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            try:
                header = await read_header(reader)
            except ValueError as problem:
                self.complaints.append(str(problem))
                return
            except asyncio.IncompleteReadError as ended:
                self.checks += not ended.partial
                self.complaints += [repr(ended.partial)] if ended.partial else []
                return
            self.headers.append(header)
            writer.write(b"welcome %s %d\n" % (header.source[0].encode(), header.source[1]))
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()


@contextlib.asynccontextmanager
async def proxied_server(address: str = "127.0.0.1") -> AsyncIterator[ProxiedServer]:
    """A server on a free port."""
    made = ProxiedServer()
    server = await asyncio.start_server(made.serve, address, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
