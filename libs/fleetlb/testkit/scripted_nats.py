"""A server that speaks just enough of the NATS protocol to misbehave on request: refuse, fall silent, say an error.

Must not pretend to route messages: whoever needs that takes `fleetlb.testkit.nats_server`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec

_INFO = {"server_id": "S", "server_name": "scripted", "version": "2.15.1", "max_payload": 1024, "headers": True}


class ScriptedNats:
    """Answers greetings and pings as long as it is not told otherwise."""

    def __init__(self) -> None:
        """Not listening yet."""
        self.refuse_with: str | None = None
        self.silent = False
        self.version: object = _INFO["version"]
        self.greetings = 0
        self.received: list[str] = []
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        """Listen while in this block; every connection is cut at its end."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def say(self, line: str) -> None:
        """Send a protocol line on every connection."""
        for writer in self._writers:
            writer.write(line.encode() + b"\r\n")

    def cut(self) -> None:
        """End every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.write(b"INFO " + msgspec.json.encode(_INFO | {"version": self.version}) + b"\r\n")
            while line := await reader.readline():
                self._answer(writer, line.decode().strip())
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, line: str) -> None:
        self.received.append(line)
        if line.startswith("CONNECT"):
            self.greetings += 1
            if self.refuse_with is not None:
                writer.write(f"-ERR '{self.refuse_with}'\r\n".encode())
        elif line == "PING" and not self.silent:
            writer.write(b"PONG\r\n")
