"""The production ports of one process, behind each the part that is played: what goes through is counted, and nothing
goes through once the process is dead.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TypeVar

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import StreamSpec
from fleetlb.contracts.subjects import ROOT
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.kube.errors import Unavailable
from fleetlb.kube.transport import Answer
from fleetlb.runtime.bus import (
    NO_HEADERS,
    REQUEST_SECONDS,
    Ack,
    Callback,
    MessageHandler,
    Responder,
    StreamState,
)
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import Outlet
from fleetlb.testkit.fake_wire import FakeWire, parse
from fleetlb_dataplane_programmer.records import Line
from fleetlb_dataplane_programmer.remembering import StateFile
from tests.simulation.effects import Effects, Killed
from tests.simulation.lives import Life

MARKED = f"{ROOT}.marked."
LEASES = "leases.coordination.k8s.io"
L = TypeVar("L", bound=Line)
M = TypeVar("M", bound=Line)
Plane = dict[VirtualServerKey, VirtualServer]


class MortalBus:
    """A bus; its connection ends with the process."""

    def __init__(self, life: Life, bus: FakeBus, effects: Effects) -> None:
        self.inner = bus
        self._life = life
        self._effects = effects
        life.at_end(bus.leave)

    @property
    def connected(self) -> bool:
        return self.inner.connected

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        ack = await self.inner.publish(subject, body, message_id=message_id, trace=trace, headers=headers)
        resting = subject.endswith(".inventory") or subject.startswith(MARKED)
        await self._done(f"publish {subject}", body, resting=resting)
        return ack

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        await self.inner.notify(subject, body, trace=trace)
        await self._done(f"notify {subject}", body, resting=subject == subjects.HELD)

    async def request(self, subject: str, body: bytes, timeout: float = REQUEST_SECONDS) -> bytes:
        return await self.inner.request(subject, body, timeout)

    async def listen(self, subject: str, handler: MessageHandler) -> None:
        await self.inner.listen(subject, handler)

    async def serve(self, subject: str, responder: Responder, queue: str = "") -> None:
        await self.inner.serve(subject, responder, queue)

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        before = self.inner.server.streams.get(spec.name)
        state = await self.inner.ensure_stream(spec)
        if before is None:
            await self._done(f"make stream {spec.name}")
        return state

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        await self.inner.replay_and_follow(
            stream, subject_filter, on_message, on_replayed=on_replayed, on_restart=on_restart
        )

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        await self.inner.purge_subject(stream, subject, through)
        await self._done(f"purge {subject}")

    async def delete_stream(self, name: str) -> None:
        is_there = name in self.inner.server.streams
        await self.inner.delete_stream(name)
        if is_there:
            await self._done(f"delete stream {name}")

    def dial_anew(self, reason: str) -> None:
        self.inner.dial_anew(reason)

    def on_reconnect(self, callback: Callback) -> None:
        self.inner.on_reconnect(callback)

    async def close(self) -> None:
        await self.inner.close()

    async def _done(self, what: str, body: bytes = b"", *, resting: bool = False) -> None:
        lost = Transient("no answer: outcome unknown")
        await self._effects.answer(self._life, what, body, lost, resting=resting)


class MortalWire:
    """The way to an API server."""

    def __init__(self, life: Life, wire: FakeWire, effects: Effects) -> None:
        self._life = life
        self._inner = wire
        self._effects = effects

    async def request(self, method: str, target: str, body: bytes = b"", content_type: str = "") -> Answer:
        await self._life.turn()
        if not self._life.is_alive:
            raise Unavailable("the process is dead")
        answer = msgspec.json.encode(self._inner.answer(method, target, body, content_type))
        if method != "GET":
            place = parse(target).place
            resting = place.kind == LEASES and b'"acquireTime"' not in body
            what = f"{method} {target.partition('?')[0]}"
            await self._effects.answer(self._life, what, body, Unavailable("no answer"), resting=resting)
        return Answer(200, answer)

    @contextlib.asynccontextmanager
    async def stream(self, target: str, read_timeout: float) -> AsyncIterator[Outlet]:
        async with self._inner.stream(target, read_timeout) as outlet:
            yield outlet

    async def close(self) -> None:
        """Nothing is left open."""


class MortalPlane(MutableMapping[VirtualServerKey, VirtualServer]):
    """A kernel's table, which outlives the process."""

    def __init__(self, life: Life, table: Plane, effects: Effects) -> None:
        self._life = life
        self._table = table
        self._effects = effects

    def __getitem__(self, key: VirtualServerKey) -> VirtualServer:
        return self._table[key]

    def __iter__(self) -> Iterator[VirtualServerKey]:
        return iter(dict(self._table))

    def __len__(self) -> int:
        return len(self._table)

    def __setitem__(self, key: VirtualServerKey, server: VirtualServer) -> None:
        self._live()
        if self._table.get(key) != server:
            self._table[key] = server
            self._effects.tell(self._life, f"kernel sets {key}", msgspec.json.encode(server))

    def __delitem__(self, key: VirtualServerKey) -> None:
        self._live()
        del self._table[key]
        self._effects.tell(self._life, f"kernel drops {key}")

    def _live(self) -> None:
        if not self._life.is_alive:
            raise Killed


class MortalStateFile(StateFile[L]):
    """The node's memory, on a real disk."""

    def __init__(
        self, life: Life, effects: Effects, directory: Path, kind: type[L], *, node: str, group: str, name: str
    ) -> None:
        super().__init__(directory, kind, node=node, group=group, name=name)
        self._life = life
        self._effects = effects

    def beside(self, name: str, kind: type[M]) -> "MortalStateFile[M]":
        return MortalStateFile(
            self._life, self._effects, self.path.parent, kind, node=self._node, group=self._group, name=name
        )

    def append(self, records: Iterable[L]) -> None:
        self._live()
        super().append(records)
        self._effects.tell(self._life, f"disk appends to {self.path.name}", self.path.read_bytes())

    def rewrite(self, records: list[L]) -> None:
        self._live()
        super().rewrite(records)
        self._effects.tell(self._life, f"disk has a new {self.path.name}", self.path.read_bytes())

    def _live(self) -> None:
        if not self._life.is_alive:
            raise Killed
