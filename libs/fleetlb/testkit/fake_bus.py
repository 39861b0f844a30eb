"""A bus in memory, with the same semantics as the one over NATS; one contract suite holds for both.

`FakeServer` is what several `FakeBus` share: give each service its own bus, and a tenant's services one made with
`for_tenant`, which sees its account's words only. Faults are asked for by name. Not modelled: ages, and latency.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from fleetlb.contracts.streams import StreamSpec
from fleetlb.contracts.subjects import LOCAL_CREDENTIALS, LOCAL_SNAPSHOT, ROOT
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import (
    NO_HEADERS,
    REQUEST_SECONDS,
    Ack,
    Callback,
    Message,
    MessageHandler,
    Responder,
    StreamMissing,
    StreamState,
    TooLarge,
    headers_of,
)
from fleetlb.testkit.fake_handling import answered, guarded
from fleetlb.testkit.fake_streams import FakeStream, subject_matches

T = TypeVar("T")

_YIELD_EVERY = 100
_SAID_TO_THE_HUB = ("observed", LOCAL_SNAPSHOT, LOCAL_CREDENTIALS)


class FakeServer:
    """The shared part: streams, listeners, responders, and faults to come."""

    def __init__(self) -> None:
        """A server without streams, to which every bus is connected."""
        self.streams: dict[str, FakeStream] = {}
        self.ended: dict[str, int] = {}
        """Streams that are gone, and their last sequences."""
        self.faults: Counter[str] = Counter()
        self.listeners: list[tuple[str, MessageHandler]] = []
        self.responders: list[tuple[str, Responder, asyncio.Lock]] = []
        self.buses: list[FakeBus] = []
        self.lag: Callable[[], float] = lambda: 0.0
        """By how many seconds the next notification is late; later ones may overtake it."""
        self._changed = asyncio.Event()

    def lose_acks(self, count: int = 1) -> None:
        """The next publishes are stored, and yet raise Transient."""
        self.faults["ack"] += count

    def lose_publishes(self, count: int = 1) -> None:
        """The next publishes are not stored, and raise Transient."""
        self.faults["publish"] += count

    def lose_notifications(self, count: int = 1) -> None:
        """The next notifications reach nobody, and nobody is told."""
        self.faults["notification"] += count

    def duplicate_notifications(self, count: int = 1) -> None:
        """The next notifications arrive twice."""
        self.faults["duplicate"] += count

    def delete_stream(self, name: str) -> None:
        """A stream disappears under its followers."""
        stream = self.streams.pop(name)
        self.ended[name] = stream.last_sequence
        stream.interrupt()

    def restart_followers(self) -> None:
        """Continuity is in doubt: every follower begins anew."""
        for stream in self.streams.values():
            stream.interrupt()

    def took(self, fault: str) -> bool:
        """Whether a fault was ordered; uses one up."""
        if self.faults[fault] <= 0:
            return False
        self.faults[fault] -= 1
        return True

    def stream_for(self, subject: str) -> FakeStream | None:
        """The stream that takes a subject."""
        return next((stream for stream in self.streams.values() if stream.takes(subject)), None)

    def changed(self) -> None:
        """Wake whoever waits for a stream or a connection."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], T | None]) -> T:
        """Wait until the condition gives something."""
        while (found := condition()) is None:
            await self._changed.wait()
        return found

    def spread(self, message: Message) -> None:
        """Hand a message to the listeners, soon."""
        if self.took("notification"):
            return
        times = 2 if self.took("duplicate") else 1
        loop = asyncio.get_running_loop()
        for pattern, handler in self.listeners * times:
            if subject_matches(pattern, message.subject):
                if late := self.lag():
                    loop.call_later(late, guarded, handler, message)
                else:
                    loop.call_soon(guarded, handler, message)


class FakeBus:
    """One service's connection to a FakeServer; see `fleetlb.runtime.bus.Bus`."""

    def __init__(self, server: FakeServer | None = None, *, account: str = "", max_payload: int = 1024 * 1024) -> None:
        """A bus in the hub account, or in a tenant's when `account` is given."""
        self.server = server or FakeServer()
        self.published: list[tuple[str, bytes]] = []
        self._account = account
        self._max_payload = max_payload
        self._connected = True
        self._callbacks: list[Callback] = []
        self._mine: dict[int, object] = {}
        self.server.buses.append(self)

    def for_tenant(self, account: str) -> "FakeBus":
        """A bus on the same server that speaks a tenant account's words."""
        return FakeBus(self.server, account=account, max_payload=256 * 1024)

    def disconnect(self) -> None:
        """The connection is lost: everything raises Transient, followers stand still."""
        self._connected = False

    def reconnect(self) -> None:
        """The connection stands again: followers begin anew, callbacks are called."""
        self._connected = True
        self.server.restart_followers()
        self.server.changed()
        for callback in self._callbacks:
            callback()

    def dial_anew(self, reason: str) -> None:
        """The connection is another one; it stands again when the loop comes to it."""
        if self._connected:
            self.disconnect()
            asyncio.get_running_loop().call_soon(self.reconnect)

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._connected

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        """Put a message into its stream."""
        await self._link(body)
        full = self._outward(subject, ("observed",))
        stream = self.server.stream_for(full)
        if stream is None:
            raise StreamMissing(f"no stream takes {subject}")
        if self.server.took("publish"):
            raise Transient(f"no answer on {subject}: outcome unknown")
        ack = stream.store(full, body, message_id, trace, headers)
        self.published.append((subject, body))
        if self.server.took("ack"):
            raise Transient(f"no answer on {subject}: outcome unknown")
        return ack

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        """Send without waiting."""
        await self._link(body)
        full = self._outward(subject, _SAID_TO_THE_HUB)
        self.published.append((subject, body))
        stream = self.server.stream_for(full)
        if stream is not None:
            stream.store(full, body, "", trace)
        self.server.spread(Message(full, body, headers=headers_of(trace=trace)))

    async def request(self, subject: str, body: bytes, timeout: float = REQUEST_SECONDS) -> bytes:
        """Ask, and return the first answer."""
        await self._link(body)
        full = self._outward(subject, _SAID_TO_THE_HUB)
        for pattern, responder, turn in self.server.responders:
            if subject_matches(pattern, full):
                return await answered(responder, turn, (full, body), timeout)
        raise Transient(f"nobody answers on {subject}")

    async def listen(self, subject: str, handler: MessageHandler) -> None:
        """Call the handler for every message sent on a subject."""
        pattern = self._outward(subject, ("reported", "resync", "renewal"))

        def receive(message: Message) -> None:
            if self._connected:
                handler(msgspec.structs.replace(message, subject=self._inward(message.subject)))

        self._keep(self.server.listeners, (pattern, receive))

    async def serve(self, subject: str, responder: Responder, queue: str = "") -> None:
        """Answer requests on a subject; the queue makes no difference, as only the first responder is ever asked."""
        self._keep(self.server.responders, (subject, responder, asyncio.Lock()))

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        """Create or update a stream."""
        await self._link(b"")
        stream = self.server.streams.get(spec.name)
        if stream is None:
            last = self.server.ended.get(spec.name, 0) if spec.counts_on else 0
            stream = self.server.streams[spec.name] = FakeStream(spec, last)
            self.server.changed()
        stream.spec = spec
        return stream.state

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        """Never returns: everything of a stream, then what comes."""
        begun = False
        while True:
            found = await self.server.until(lambda: self.server.streams.get(stream) if self._connected else None)
            queue: asyncio.Queue[Message | None] = asyncio.Queue()
            found.followers[queue] = subject_filter
            try:
                if begun:
                    guarded(on_restart)
                begun = True
                for number, message in enumerate(found.last_per_subject(subject_filter)):
                    if number % _YIELD_EVERY == 0:
                        await asyncio.sleep(0)
                    guarded(on_message, message)
                guarded(on_replayed)
                while (live := await queue.get()) is not None:
                    if self._connected:
                        guarded(on_message, live)
            finally:
                del found.followers[queue]

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        """Remove the messages of one subject, or those up to a sequence."""
        await self._link(b"")
        found = self.server.streams.get(stream)
        if found is None:
            raise StreamMissing(f"stream not found: {stream}")
        found.purge(subject, through)

    async def delete_stream(self, name: str) -> None:
        """Remove a stream with all that it holds."""
        await self._link(b"")
        if name in self.server.streams:
            self.server.delete_stream(name)

    def on_reconnect(self, callback: Callback) -> None:
        """Call back each time the connection stands again."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        """End the connection."""
        self.leave()

    def leave(self) -> None:
        """The connection is gone for good, and with it whoever listened and answered over it."""
        self._connected = False
        server, mine = self.server, self._mine
        server.listeners = [each for each in server.listeners if id(each) not in mine]
        server.responders = [each for each in server.responders if id(each) not in mine]
        if self in server.buses:
            server.buses.remove(self)

    def _keep(self, among: list[T], item: T) -> None:
        among.append(item)
        self._mine[id(item)] = item

    async def _link(self, body: bytes) -> None:
        await asyncio.sleep(0)
        if not self._connected:
            raise Transient("not connected to NATS")
        if len(body) > self._max_payload:
            raise TooLarge(f"{len(body)} bytes: the connection takes {self._max_payload}")

    def _outward(self, subject: str, trees: tuple[str, ...]) -> str:
        """The hub's name of a subject. What a tenant has no import for leads nowhere."""
        if not self._account:
            return subject
        tree, dot, rest = subject.partition(".")
        if tree not in trees:
            return f"nowhere.{self._account}.{subject}"
        return f"{ROOT}.{tree}.{self._account}{dot}{rest}"

    def _inward(self, full: str) -> str:
        if not self._account:
            return full
        tree, _, rest = full.removeprefix(f"{ROOT}.").partition(f".{self._account}.")
        return f"{tree}.{rest}"
