"""Asks BIRD by its control socket: one line there, numbered lines back. One connection for each question, so that
nothing is left over when BIRD starts anew. Must not know what the answers say; `reading` does.
"""

import asyncio
import contextlib
import enum
import pathlib
from collections.abc import Iterable

import msgspec

from fleetlb.domain.errors import Transient

SECONDS = 5.0
MAX_BYTES = 64 * 2**20
"""Far more than 100 000 routes take."""
_MAX_LINE_BYTES = 2**16


class Reply(msgspec.Struct, frozen=True):
    """What BIRD said: the lines with their codes, the last of which is the verdict."""

    lines: tuple[tuple[int, str], ...]

    def texts(self, *codes: int) -> list[str]:
        """Of the lines, those with such a code."""
        return [text for code, text in self.lines if code in codes]


class BirdRefusal(Transient):
    """BIRD answered, and said no."""


class Progress(enum.IntEnum):
    """How far BIRD is with a new configuration."""

    DONE = 3
    UNDER_WAY = 4
    QUEUED = 5
    QUEUE_EMPTIED = 17
    CONFIRMED = 18
    NOTHING_TO_DO = 19


class BirdControl:
    """A BIRD, by its control socket."""

    def __init__(self, socket: pathlib.Path, *, seconds: float = SECONDS, max_bytes: int = MAX_BYTES) -> None:
        """`seconds` and `max_bytes` bound each answer."""
        self.socket, self.seconds, self._max_bytes = socket, seconds, max_bytes

    async def configure(self) -> Progress:
        """Have BIRD read its configuration. Raises BirdRefusal if that is wrong, and BIRD keeps what it had."""
        reply = await self.ask("configure")
        code, text = reply.lines[-1]
        try:
            return Progress(code)
        except ValueError:
            raise Transient(f"BIRD does not take its configuration now: {text}") from None

    async def check(self) -> None:
        """Have BIRD look whether it would take its configuration. Raises BirdRefusal if not."""
        await self.ask("configure check")

    async def status(self) -> Reply:
        """Its version, and since when it runs."""
        return await self.ask("show status")

    async def protocols(self, pattern: str) -> Reply:
        """All about the protocols with such a name."""
        return await self.ask(f'show protocols all "{pattern}"')

    async def routes(self, table: str, protocol: str) -> Reply:
        """What a protocol has put into a table."""
        return await self.ask(f"show route table {table} protocol {protocol}")

    async def count(self, table: str, protocol: str, where: str = "") -> Reply:
        """How much that is, of what fulfils a condition of BIRD's own language."""
        condition = f" where {where}" if where else ""
        return await self.ask(f"show route table {table} protocol {protocol}{condition} count")

    async def exported(self, table: str, protocol: str) -> Reply:
        """What of a table is told to a protocol."""
        return await self.ask(f"show route table {table} export {protocol}")

    async def ask(self, command: str) -> Reply:
        """BIRD's answer to a command of one line. Raises Transient, and BirdRefusal for an answer that says no."""
        if not command.isprintable():
            raise ValueError("a command is one line")
        try:
            async with asyncio.timeout(self.seconds):
                reply = await self._exchange(command)
        except TimeoutError:
            raise Transient(f"BIRD at {self.socket} did not answer {command!r} within {self.seconds:g} s") from None
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as problem:
            raise Transient(f"BIRD cannot be asked at {self.socket}: {problem}") from problem
        code, text = reply.lines[-1]
        if code >= 8000:
            raise BirdRefusal(f"BIRD refuses {command!r}: {text}")
        return reply

    async def _exchange(self, command: str) -> Reply:
        reader, writer = await asyncio.open_unix_connection(self.socket, limit=_MAX_LINE_BYTES)
        try:
            await self._read(reader)  # its greeting
            writer.write(f"{command}\n".encode())
            await writer.drain()
            return await self._read(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Reply:
        rows: list[bytes] = []
        room = self._max_bytes
        while not rows or not _is_last(rows[-1]):
            rows.append(await reader.readuntil(b"\n"))
            room -= len(rows[-1])
            if room < 0:
                raise ValueError(f"its answer is longer than {self._max_bytes} bytes")
        return parse_reply(row.decode(errors="replace").rstrip("\n") for row in rows)


def _is_last(row: bytes) -> bool:
    return row[:4].isdigit() and row[4:5] in (b" ", b"\n")


def parse_reply(rows: Iterable[str]) -> Reply:
    """Read `CODE-text`, ` text` with the code of the line before, and at the end `CODE text`. Raises ValueError."""
    lines: list[tuple[int, str]] = []
    for row in rows:
        if row[:4].isdigit() and row[:4].isascii():
            lines.append((int(row[:4]), row[5:]))
        elif row[:1] == " " and lines:
            lines.append((lines[-1][0], row[1:]))
        elif row[:1] != "+":  # what it has to tell besides
            raise ValueError(f"{row[:64]!r} is no answer of BIRD's")
    if not lines:
        raise ValueError("its answer is empty")
    return Reply(tuple(lines))
