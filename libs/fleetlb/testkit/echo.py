"""Real servers to balance to: each answers with its own name, so that a test sees who was reached."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


async def _serve_tcp(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(name.encode() + b" " + line)
            await writer.drain()


@contextlib.asynccontextmanager
async def tcp_echo(name: str, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Answer each line with `<name> <line>`; yields the port."""
    server = await asyncio.start_server(lambda r, w: _serve_tcp(name, r, w), address, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class _UdpEcho(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self._name + b" " + data, addr)


@contextlib.asynccontextmanager
async def udp_echo(name: str, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Answer each datagram with `<name> <datagram>`; yields the port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _UdpEcho(name), local_addr=(address, port))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def ask_tcp(address: str, port: int, text: str = "hello", *, source: str | None = None) -> str:
    """One line over a fresh connection; "" if it was closed unanswered. Raises OSError if refused.

    `source`: the address to come from.
    """
    reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0) if source else None)
    try:
        writer.write(text.encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            return (await reader.readline()).decode().rstrip("\n")
        return ""
    finally:
        writer.close()


async def ask_udp(
    address: str, port: int, text: str = "hello", *, timeout: float = 1.0, source: str | None = None
) -> str:
    """One datagram from a fresh socket. Raises TimeoutError or OSError. `source`: the address to come from."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if not answer.done():
                answer.set_result(data.decode())

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    local = (source, 0) if source else None
    transport, _ = await loop.create_datagram_endpoint(Once, local_addr=local, remote_addr=(address, port))
    try:
        transport.sendto(text.encode())
        async with asyncio.timeout(timeout):
            return await answer
    finally:
        transport.close()
