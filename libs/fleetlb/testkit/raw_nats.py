"""A NATS client that sends whatever bytes it is told to, as somebody would who means harm, and keeps all that it hears.

The client library refuses odd subjects, headers and replies before they reach a server; what is shown with it is shown
of the library. Must not judge anything: what may be heard is for tests to say.
"""

import asyncio
from pathlib import Path
from typing import Any, Self

import msgspec

from fleetlb.runtime.nats_accounts import parse_creds, sign_nonce

ANSWER_SECONDS = 10.0


class Heard(msgspec.Struct, frozen=True):
    """One message, as it came."""

    sid: str
    subject: str
    reply: str
    headers: bytes
    data: bytes


class RawNats:
    """One connection. After the server has cut it, everything raises ConnectionError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, info: dict[str, Any]) -> None:
        """Made by `connect`."""
        self.info = info
        self.heard: list[Heard] = []
        self.errors: list[str] = []
        self.is_cut = False
        self._writer = writer
        self._sid = 0
        self._pongs = 0
        self._pong = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    @classmethod
    async def connect(cls, port: int, creds: Path, **options: object) -> Self:
        """Greet as the user of a credentials file, with `options`. Raises ConnectionError if refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        info = msgspec.json.decode((await reader.readline()).removeprefix(b"INFO "))
        jwt, seed = parse_creds(creds.read_text())  # noqa: ASYNC240 - tiny, and in tests
        greeting = {"jwt": jwt, "sig": sign_nonce(seed, info["nonce"]).decode(), "headers": True, "no_responders": True}
        made = cls(reader, writer, info)
        made.send(
            b"CONNECT " + msgspec.json.encode({"verbose": False, "lang": "x", "version": "0"} | greeting | options)
        )
        try:
            await made.settle()
        except ConnectionError:
            await made.close()
            raise
        return made

    def send(self, *lines: bytes) -> None:
        """Write lines of the protocol."""
        self._writer.write(b"\r\n".join(lines) + b"\r\n")

    def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a message on a subject, which may be anything."""
        words = f"{subject} {reply}".strip().encode()
        if headers is None:
            self.send(b"PUB %b %d" % (words, len(data)), data)
            return
        head = b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
        self.send(b"HPUB %b %d %d" % (words, len(head), len(head) + len(data)), head + data)

    def subscribe(self, subject: str, queue: str = "") -> str:
        """Ask for messages; the number under which they will come."""
        self._sid += 1
        self.send(f"SUB {subject} {queue} {self._sid}".encode().replace(b"  ", b" "))
        return str(self._sid)

    def unsubscribe(self, sid: str) -> None:
        """Have no more of them."""
        self.send(f"UNSUB {sid}".encode())

    async def settle(self) -> None:
        """Return when the server has read all that was sent so far. Raises ConnectionError."""
        awaited = self._pongs + 1
        self.send(b"PING")
        async with asyncio.timeout(ANSWER_SECONDS):
            while self._pongs < awaited and not self.is_cut:
                self._pong.clear()
                await self._pong.wait()
        if self.is_cut:
            raise ConnectionError(f"cut by the server: {self.errors[-1:]}")

    async def drain(self) -> None:
        """Wait until the socket takes more. Raises ConnectionError."""
        await self._writer.drain()

    def of(self, sid: str) -> list[Heard]:
        """What came for one subscription."""
        return [heard for heard in self.heard if heard.sid == sid]

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        self._writer.transport.abort()
        await asyncio.wait([self._reading])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                await self._take(line.rstrip(b"\r\n"), reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.is_cut = True
            self._pong.set()

    async def _take(self, line: bytes, reader: asyncio.StreamReader) -> None:
        verb, _, rest = line.partition(b" ")
        if verb == b"PONG":
            self._pongs += 1
            self._pong.set()
        elif verb == b"PING":
            self.send(b"PONG")
        elif verb == b"-ERR":
            self.errors.append(rest.decode())
        elif verb in (b"MSG", b"HMSG"):
            words = rest.decode(errors="surrogateescape").split(" ")
            head = int(words[-2]) if verb == b"HMSG" else 0
            body = (await reader.readexactly(int(words[-1]) + 2))[:-2]
            reply = words[2] if len(words) == (5 if verb == b"HMSG" else 4) else ""
            self.heard.append(Heard(words[1], words[0], reply, body[:head], body[head:]))
