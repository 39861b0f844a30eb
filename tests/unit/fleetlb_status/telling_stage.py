"""A status service's telling alone, in virtual time over a bus in memory: it can be killed at any of its writes."""

import asyncio
from collections.abc import Mapping

import msgspec

from fleetlb.contracts.streams import StreamSpec, events_stream
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import NO_HEADERS, Ack, Message
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.load_balancers import a_group, a_tenant
from fleetlb_status.integrations import Integrations
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory

BEGAN = 1_764_412_800.0
"""The wall clock's second 0."""
SETTLED_SECONDS = 5.0
"""After this everything has been told that there is to tell."""
EVENTS = events_stream()


class VirtualClock:
    """Both clocks of a service."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return BEGAN + asyncio.get_running_loop().time()


class MortalBus(FakeBus):
    """Dies at its n-th write, which still arrives or does not; nothing goes through it afterwards."""

    def __init__(self, server: FakeServer, *, dies_at: int = 0, arrives: bool = True) -> None:
        super().__init__(server)
        self.writes = 0
        self._dies_at = dies_at
        self._arrives = arrives

    @property
    def is_dead(self) -> bool:
        return 0 < self._dies_at <= self.writes

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        self._count()
        if not self.is_dead or (self._arrives and self.writes == self._dies_at):
            ack = await super().publish(subject, body, message_id=message_id, trace=trace, headers=headers)
            if not self.is_dead:
                return ack
        raise Transient("dead")

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        self._count()
        if self.is_dead:
            raise Transient("dead")
        await super().purge_subject(stream, subject, through)

    def _count(self) -> None:
        self.writes += 1


class Status:
    """One process: what it knows, and its telling."""

    def __init__(self, tasks: asyncio.TaskGroup, bus: FakeBus, *, events: StreamSpec = EVENTS) -> None:
        self.bus = bus
        self.term: int | None = 7
        self.memory = Memory(lambda key: self.integrations.service_changed(key))
        self.integrations = Integrations(Judging(self.memory), bus, lambda: self.term, VirtualClock(), events)
        self.memory.set_tenant(a_tenant())
        self.set_group("node-1")
        self.memory.complete_group("default")
        self.integrations.nodes.complete_group("default")
        self._tasks = [tasks.create_task(work, name=name) for work, name in self.integrations.work()]

    def set_group(self, *nodes: str) -> None:
        self.memory.set_group(a_group(*nodes))
        self.integrations.nodes.set_group(a_group(*nodes))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


class Said(msgspec.Struct, frozen=True):
    """One event as an integration reads it."""

    word: str
    event_id: str
    data: dict[str, object]
    message: Message


def said(server: FakeServer) -> list[Said]:
    """All events in the stream, in its order, each once."""
    stream = server.streams[EVENTS.name]
    messages = sorted((m for kept in stream.messages.values() for m in kept), key=lambda m: m.stream_sequence)
    once = {m.headers["ce-id"]: m for m in reversed(messages)}
    return [
        Said(m.subject.rpartition(".")[2], event_id, msgspec.json.decode(m.data), m)
        for event_id, m in sorted(once.items(), key=lambda pair: pair[1].stream_sequence)
    ]


def words(server: FakeServer) -> list[str]:
    """Their types."""
    return [each.word for each in said(server)]
