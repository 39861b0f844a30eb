"""Dials a VIP as a client would: one question over TCP or UDP, one answer. Knows no Kubernetes."""

import asyncio
import os
import time

import msgspec

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey


class Answer(msgspec.Struct, frozen=True):
    """What came back, or why nothing did."""

    text: str = ""
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether a backend answered."""
        return bool(self.text)


async def dial(key: VirtualServerKey, timeout: float = 2.0) -> Answer:
    """Ask once; never raises for a network failure."""
    try:
        async with asyncio.timeout(timeout):
            return Answer(text=await (_ask_udp(key) if key.protocol is Protocol.UDP else _ask_tcp(key)))
    except TimeoutError:
        return Answer(failure="no answer")
    except OSError as problem:
        return Answer(failure=os.strerror(problem.errno) if problem.errno else type(problem).__name__)


async def dial_until_answered(key: VirtualServerKey, deadline: float, timeout: float = 0.5) -> Answer:
    """Ask again and again until a backend answers or `deadline` seconds have passed."""
    end = time.monotonic() + deadline
    while True:
        answer = await dial(key, timeout)
        if answer.ok or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.005)


async def dial_until_refused(key: VirtualServerKey, deadline: float) -> Answer:
    """Ask again and again until a TCP connection is refused or `deadline` seconds have passed."""
    end = time.monotonic() + deadline
    while True:
        answer = await dial(key, 0.5)
        if answer.failure == "Connection refused" or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.01)


async def _ask_tcp(key: VirtualServerKey) -> str:
    reader, writer = await asyncio.open_connection(key.address, key.port)
    try:
        writer.write(b"who are you?\n")
        line = await reader.readline()
        return line.decode(errors="replace").strip()
    finally:
        writer.close()


class _Question(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[str]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        if not self._answer.done():
            self._answer.set_result(data.decode(errors="replace"))

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def _ask_udp(key: VirtualServerKey) -> str:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Question(answer), remote_addr=(key.address, key.port))
    try:
        transport.sendto(b"who are you?")
        return await answer
    finally:
        transport.close()
