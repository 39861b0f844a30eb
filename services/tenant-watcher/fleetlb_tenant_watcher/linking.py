"""The way to the hub, while there is one, and the signs that the hub has lost what it was told.

Must not know what is published. A stream that gives a message no higher number than one acknowledged before the message
was sent is not the stream of before: whatever that held must be said again.
"""

from collections.abc import Callable

from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Bus, StreamMissing


class HubLink:
    """A bus that may not be there yet."""

    def __init__(self, on_doubt: Callable[[str], None]) -> None:
        """`on_doubt` is called with a reason whenever everything should be said again."""
        self._on_doubt = on_doubt
        self._bus: Bus | None = None
        self._sequence = 0
        self._is_missing = False

    @property
    def connected(self) -> bool:
        """Whether the hub can be talked to right now."""
        return self._bus is not None and self._bus.connected

    def attach(self, bus: Bus) -> None:
        """The first connection stands."""
        self._bus = bus

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> None:
        """Have the hub store a message. Raises Transient: say it again, under the same id."""
        before = self._sequence
        try:
            ack = await self._standing().publish(subject, body, message_id=message_id, trace=trace)
        except StreamMissing:
            self._is_missing = True
            raise
        if self._is_missing or (not ack.duplicate and ack.sequence <= before):
            self._is_missing, self._sequence = False, ack.sequence
            self._on_doubt("stream lost")
        elif not ack.duplicate:
            self._sequence = max(self._sequence, ack.sequence)

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask the hub. Raises Transient when nobody answers in time."""
        return await self._standing().request(subject, body, seconds)

    def _standing(self) -> Bus:
        if self._bus is None:
            raise Transient("not connected to the hub yet")
        return self._bus
