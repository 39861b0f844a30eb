"""Says on the bus what this node realized, once, and again only where the hub does not hold it.

The teller reads its own node's part of the realized stream, so it knows what the hub holds: after a restart nothing
is said twice, and after a loss exactly what was lost is said again. That a key is let go of is said only once it is
kept on disk: the hub may forget it as soon as it knows, and give the address to somebody else. It must not know the
engine.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

import msgspec
import prometheus_client
import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import realized_stream
from fleetlb.contracts.v1 import NodeRealized, Probe, RealizedState, VirtualServerRealized
from fleetlb.domain.errors import Poison, Transient
from fleetlb.domain.services import digest_of
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.deciding import order_of
from fleetlb_dataplane_programmer.programming import Ledger
from fleetlb_dataplane_programmer.stations import attributes_of, spans_of

BEHIND = prometheus_client.Counter(
    "fleetlb_state_file_behind_total", "Keys of which this node had realized a newer revision than it remembered."
)

GRACE_SECONDS = 0.04
"""An acknowledgement waits so long for the outcome of the first probe, to be one message with it."""
CROWDED_GRACE_SECONDS = 0.5
"""The same while hundreds are programmed at once."""
REALIZED = "fleetlb.v1.realized.{group}.{node}.{virtual-server}"
_NODE = "node"
_CONCURRENCY = 64
_RETRY = Backoff(initial=0.05, cap=5.0, factor=2.0, jitter=0.3)


class _Told(msgspec.Struct, frozen=True):
    """What the hub holds under a key: a fingerprint of all but the probe, the probe, and where it stands."""

    fingerprint: str
    probe: Probe
    sequence: int


class Teller:
    """Publishes `virtual_server_realized` and `node_realized`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        group: str,
        node: str,
        describe: Callable[[], NodeRealized],
        keep: Callable[[], Awaitable[bool]],
        on_let_go: Callable[[VirtualServerKey], None],
        tracing: Tracing = OFF,
    ) -> None:
        """`describe` says what the node is; `on_let_go` is called when the hub knows that a key is removed.

        `keep` returns when the ledger as it stands will outlive this process; False: not for now.
        """
        self._ledger = ledger
        self._group, self._node = group, node
        self._describe = describe
        self._tracing = tracing
        self._keep = keep
        self._on_let_go = on_let_go
        self._bus: Bus | None = None
        self._told: dict[VirtualServerKey, _Told] = {}
        self._told_node: NodeRealized | None = None
        self._knows_hub = asyncio.Event()
        self._epoch = 0
        self._run_id = secrets.token_hex(4)
        self._count = 0
        self._attempts: dict[VirtualServerKey | None, tuple[bytes, str]] = {}
        self._queue = Reconciler(self._say, name="realized", concurrency=_CONCURRENCY, backoff=_RETRY)
        self._log = structlog.get_logger()

    def tell(self, key: VirtualServerKey) -> None:
        """The word about a key may have changed."""
        self._queue.add(key)

    def tell_within(self, key: VirtualServerKey, seconds: float) -> None:
        """Tell, but wait so long for a better word."""
        self._queue.add_after(key, seconds)

    def tell_again(self, key: VirtualServerKey) -> None:
        """Somebody seems not to know what stands under a key."""
        self._told.pop(key, None)
        self._queue.add(key)

    def tell_everything_again(self) -> None:
        """The hub may have forgotten what it held of this node without its knowing."""
        for key in self._ledger.worth_telling():
            self.tell_again(key)

    def tell_node(self, seconds: float = 0.0) -> None:
        """What the node is may have changed."""
        self._queue.add_after(None, seconds)

    async def run(self) -> None:
        """Publish for ever; nothing is published before `follow` knows what the hub holds."""
        await self._queue.run()

    async def wait_for_hub(self, seconds: float) -> None:
        """Return when `follow` knows what the hub holds, or after this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._knows_hub.wait()

    async def follow(self, bus: Bus) -> None:
        """Read what the hub holds of this node, for ever."""
        self._bus = bus
        await bus.replay_and_follow(
            realized_stream(self._group).name,
            subjects.realized_by(self._group, self._node),
            self._on_message,
            on_replayed=self._on_replayed,
            on_restart=self._on_restart,
        )

    def _on_restart(self) -> None:
        self._knows_hub.clear()
        self._epoch += 1
        self._told.clear()
        self._told_node = None

    def _on_replayed(self) -> None:
        self._knows_hub.set()
        for key in self._ledger.worth_telling():
            if self._ledger.awaits_probe(key):
                self.tell_within(key, GRACE_SECONDS)
            else:
                self.tell(key)
        self.tell_node()

    def _on_message(self, message: Message) -> None:
        if not message.data:
            return  # a purge
        try:
            if message.subject.endswith(f".{_NODE}"):
                self._told_node = codec.decode(NodeRealized, message.data)
            else:
                self._on_realized(codec.decode(VirtualServerRealized, message.data), message.stream_sequence)
        except Poison as problem:
            self._log.warning("what the hub holds of this node is not readable", problem=str(problem))

    def _on_realized(self, realized: VirtualServerRealized, sequence: int) -> None:
        key, told = realized.key, self._told.get(realized.key)
        if self._ledger.refuse_below(key, order_of(realized)):
            BEHIND.inc()
            self._log.warning("a newer revision was realized before than is remembered", key=str(key))
        if told is None or sequence > told.sequence:
            self._told[key] = _Told(_fingerprint(realized), realized.probe, sequence)
            if self._knows_hub.is_set() and (wanted := self._ledger.realized(key)) and not self._is_told(key, wanted):
                self._queue.add(key)

    def _is_told(self, key: VirtualServerKey, wanted: VirtualServerRealized) -> bool:
        """Whether the hub holds this, or the same with the outcome of a probe that is not yet repeated."""
        told = self._told.get(key)
        if told is None or told.fingerprint != _fingerprint(wanted):
            return False
        return told.probe is wanted.probe or wanted.probe is Probe.PENDING

    async def _say(self, key: VirtualServerKey | None) -> float | None:
        if self._bus is None or not self._knows_hub.is_set():
            return None  # everything is looked at again once that is known
        if key is None:
            await self._say_node(self._bus)
            return None
        wanted = self._ledger.realized(key)
        if wanted is None:
            return None
        if self._is_told(key, wanted):
            self._attempts.pop(key, None)
        else:
            if wanted.state is RealizedState.REMOVED and not await self._keep():
                raise Transient(f"{key} is removed, and that cannot be written down yet")
            epoch = self._epoch
            sequence = await self._publish_word(self._bus, key, wanted)
            if epoch != self._epoch:
                return 0.0  # it may have gone into a stream that is no more
            self._told[key] = _Told(_fingerprint(wanted), wanted.probe, sequence)
        if self._ledger.note_told(key, wanted):
            self._on_let_go(key)
        return None

    async def _publish_word(self, bus: Bus, key: VirtualServerKey, wanted: VirtualServerRealized) -> int:
        journey = self._ledger.journey(key)
        trace, began = self._tracing.follow(journey.trace), self._tracing.now()
        subject, name = subjects.realized(self._group, self._node, key), f"{key}-{wanted.generation}-{wanted.revision}"
        sequence = await self._publish(bus, key, subject, codec.encode(wanted), name, trace=trace)
        for span in spans_of(journey, self._ledger.take_stations(key), self._tracing, attributes_of(wanted)):
            self._tracing.record(span)
        self._tracing.record_publish(trace, journey.trace, REALIZED, began, self._tracing.now())
        return sequence

    async def _say_node(self, bus: Bus) -> None:
        wanted = self._describe()
        if wanted != self._told_node:
            await self._publish(bus, None, subjects.realized_node(self._group, self._node), codec.encode(wanted), _NODE)
            self._told_node = wanted

    async def _publish(
        self, bus: Bus, key: VirtualServerKey | None, subject: str, body: bytes, name: str, *, trace: str = ""
    ) -> int:
        """Publish, under the same id as a first attempt whose outcome is not known."""
        before = self._attempts.get(key)
        if before is None or before[0] != body:
            self._count += 1
            before = self._attempts[key] = (body, f"{self._node}-{name}-{self._run_id}-{self._count}")
        ack = await bus.publish(subject, body, message_id=before[1], trace=trace)
        del self._attempts[key]
        return ack.sequence


def _fingerprint(realized: VirtualServerRealized) -> str:
    return digest_of(msgspec.structs.replace(realized, hops=(), probe=Probe.PENDING))
