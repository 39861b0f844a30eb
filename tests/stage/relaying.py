"""A server on the loopback, to be reached on the loopback of other network namespaces too."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tests.stage.talking import Place

_HOST = "127.0.0.1"
_CHUNK = 65536


@contextlib.asynccontextmanager
async def relayed(port: int, *places: Place) -> AsyncIterator[None]:
    """Within, whoever connects to this port in one of these places is connected to it where the thread is.

    Raises OSError where the port is taken there.
    """
    async with contextlib.AsyncExitStack() as stack:
        listening = [stack.enter_context(_listening(port, place)) for place in places]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(_accept(each, port)) for each in listening]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def _listening(port: int, place: Place) -> socket.socket:
    with place.entered():
        made = socket.create_server((_HOST, port))
    made.setblocking(False)
    return made


async def _accept(listening: socket.socket, port: int) -> None:
    """For ever; connections end with it."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
            tasks.create_task(_hand_on(accepted, port))


async def _hand_on(accepted: socket.socket, port: int) -> None:
    """Until both sides have said all, or one is gone."""
    with accepted, socket.socket() as other:
        other.setblocking(False)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_connect(other, (_HOST, port))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_pour(accepted, other))
                    tasks.create_task(_pour(other, accepted))
            except* OSError:
                pass


async def _pour(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
    target.shutdown(socket.SHUT_WR)
