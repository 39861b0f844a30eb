"""Keeps messages that nobody could read, for whoever wants to know what was sent. Best effort and bounded.

Nothing of such a message is logged but its size and why it could not be read.
"""

import asyncio
from collections import OrderedDict, deque
from typing import NoReturn, Protocol

import structlog
from prometheus_client import Counter

from fleetlb.contracts import subjects
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.bus import Ack

PARKED = Counter("fleetlb_parked_messages_total", "Messages of tenants that could not be read.", ["tenant"])
KEPT_BYTES = 64 * 1024
MAX_WAITING = 256
MAX_REMEMBERED = 4096
QUIET_SECONDS = 60.0
"""At most one log line per tenant in this time: a flood of garbage must not become a flood of lines."""

log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """The one thing needed of a bus."""

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> Ack:
        """Put a message into its stream."""


class _Parked(tuple[str, str, bytes]):
    """Account, name within it, body."""

    __slots__ = ()


class Parking:
    """A bounded line of unreadable messages on their way into the parked stream."""

    def __init__(self, bus: Publisher) -> None:
        """`run` must be running for anything to arrive."""
        self._bus = bus
        self._waiting: deque[_Parked] = deque(maxlen=MAX_WAITING)
        self._arrived = asyncio.Event()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._told: dict[str, float] = {}

    def put(self, tenant: str, account: str, sequence: int, body: bytes, problem: str) -> None:
        """Count a message and keep it; one that a replay shows again is counted once."""
        name = str(sequence)
        if (account, name) in self._seen:
            return
        self._seen[account, name] = None
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        PARKED.labels(tenant).inc()
        now = asyncio.get_running_loop().time()
        if now - self._told.get(tenant, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._told[tenant] = now
            log.warning("a message cannot be read", tenant=tenant, size=len(body), problem=problem[:256])
        self._waiting.append(_Parked((account, name, body[:KEPT_BYTES])))
        self._arrived.set()

    async def run(self) -> NoReturn:
        """Publish whatever waits, for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._park(*self._waiting.popleft())

    async def _park(self, account: str, name: str, body: bytes) -> None:
        try:
            await self._bus.publish(subjects.parked(account, name), body, message_id=f"{account}-{name}")
        except FleetlbError as problem:
            log.debug("a message could not be parked", problem=str(problem))
