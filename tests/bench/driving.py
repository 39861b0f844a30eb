"""Runs an engine on the kernel of this network namespace, and sees what it sends and when it is done."""

import asyncio
import collections
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.testkit.surroundings import NoSurroundings
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.exchange import Failure
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

NEVER = 3600.0
"""Seconds between two rounds of the patrol, where it must not disturb."""
READS = frozenset({Command.GET_SERVICE, Command.GET_DESTINATION, Command.GET_CONFIG, Command.GET_INFO})
_LENGTH_AND_KIND = struct.Struct("=IH")
_COMMAND_AT = 16
_LOOK_SECONDS = 0.05


class NothingAround(NoSurroundings):
    """Needs nothing and remembers nothing."""

    async def admit(self, server: VirtualServer) -> None:
        """Ready."""

    async def dismiss(self, key: VirtualServerKey) -> None:
        """Ready."""


class WatchedKernel(Kernel):
    """The kernel, with the time of the last change. Costs one look at the clock for each send of changes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.last_write = 0.0
        self.rounds = 0
        """Times that the table was read as text, which is what the patrol does."""

    def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        failures = super().apply(operations)
        self.written += len(operations) - len(failures)
        self.last_write = time.perf_counter()
        return failures

    def text(self) -> bytes:
        self.rounds += 1
        return super().text()


class CountedKernel(WatchedKernel):
    """The same, with a count of every netlink message that leaves the socket, by its command."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: collections.Counter[str] = collections.Counter()
        self._socket = _CountingSocket(self._socket, self.sent)

    @property
    def reads_and_writes(self) -> tuple[int, int]:
        """Messages that asked, and messages that changed something, so far."""
        reads = sum(count for name, count in self.sent.items() if Command[name] in READS)
        return reads, self.sent.total() - reads

    async def is_left_alone(self, rounds: int = 2) -> None:
        """Return when nothing was sent during so many rounds of the patrol."""
        quiet = 0
        while quiet < rounds:
            sent, round_ = self.sent.total(), self.rounds
            while self.rounds == round_:
                await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)
            quiet = quiet + 1 if self.sent.total() == sent else 0


class _CountingSocket(socket.socket):
    """Takes over an open netlink socket."""

    def __init__(self, opened: socket.socket, sent: collections.Counter[str]) -> None:
        super().__init__(fileno=opened.detach())
        self._sent = sent

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        offset = 0
        while offset < len(data):
            length, _ = _LENGTH_AND_KIND.unpack_from(data, offset)
            self._sent[Command(data[offset + _COMMAND_AT]).name] += 1
            offset += (length + 3) & ~3
        return super().send(data, flags)


AnyKernel = TypeVar("AnyKernel", bound=WatchedKernel)


class Driven(Generic[AnyKernel]):
    """One engine with the wishes that it was given. Times are of `time.perf_counter`."""

    def __init__(
        self, servers: Sequence[VirtualServer], open_kernel: Callable[[], AnyKernel], round_seconds: float
    ) -> None:
        self.kernel: AnyKernel
        self._open_kernel = open_kernel
        self._token = 1
        self._missing = {server.key for server in servers}
        self._told = asyncio.Event()
        self.began = self.told = 0.0
        self.engine = IpvsEngine(
            self._on_outcome, NothingAround(), open_kernel=self._opened, terms=Terms(round_seconds=round_seconds)
        )
        for server in servers:
            self.engine.apply(server, self._token)

    async def begin(self) -> None:
        """Let it change the kernel, once it has opened it."""
        while not hasattr(self, "kernel"):
            await asyncio.sleep(0)
        self.began = time.perf_counter()
        self.engine.complete()

    async def change(self, *servers: VirtualServer) -> float:
        """Wish anew, and the seconds until all of it was told to be in the kernel."""
        self._token += 1
        self._missing.update(server.key for server in servers)
        self._told.clear()
        self.began = time.perf_counter()
        for server in servers:
            self.engine.apply(server, self._token)
        return await self.all_told()

    async def all_told(self) -> float:
        """Seconds from the beginning until everything wished for was told to be in the kernel."""
        if self._missing:
            await self._told.wait()
        return self.told - self.began

    def _opened(self) -> Kernel:
        self.kernel = self._open_kernel()
        return self.kernel

    def _on_outcome(self, key: VirtualServerKey, outcome: Outcome) -> None:
        if outcome.state is not State.PROGRAMMED:
            raise AssertionError(f"{key}: {outcome}")
        if outcome.token == self._token:
            self._missing.discard(key)
        if not self._missing:
            self.told = time.perf_counter()
            self._told.set()


@contextlib.asynccontextmanager
async def driving(
    servers: Sequence[VirtualServer], open_kernel: Callable[[], AnyKernel], *, round_seconds: float = NEVER
) -> AsyncIterator[Driven[AnyKernel]]:
    """An engine that has begun, until the end of the block: then it ends without a word, as if killed."""
    driven = Driven(servers, open_kernel, round_seconds)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(driven.engine.run())
        await driven.begin()
        yield driven
        running.cancel()
