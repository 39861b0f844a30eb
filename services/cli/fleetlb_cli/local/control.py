"""How the verbs of `fleetlb local` reach the supervisor: one JSON line each way over a unix socket.

It must not know what a verb does.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec


class Order(msgspec.Struct, frozen=True):
    """A verb for one process."""

    verb: str
    process: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of it. `code` is the command's exit code."""

    code: int
    text: str = ""


Obey = Callable[[Order], Awaitable[Outcome]]


async def serve(path: Path, obey: Obey) -> asyncio.Server:
    """Take orders until the server is closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            try:
                outcome = await obey(msgspec.json.decode(await reader.readline(), type=Order))
            except msgspec.DecodeError as problem:
                outcome = Outcome(code=2, text=str(problem))
            writer.write(msgspec.json.encode(outcome) + b"\n")
            await writer.drain()

    return await asyncio.start_unix_server(answer, path)


def send(path: Path, order: Order, timeout: float) -> Outcome:
    """Give an order and wait for its outcome. Raises OSError if nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(msgspec.json.encode(order) + b"\n")
        with connection.makefile("rb") as answer:
            line = answer.readline()
    if not line:
        return Outcome(code=1, text="the fleet went down before it answered")
    return msgspec.json.decode(line, type=Outcome)
