"""Changes in order, kept for a while, and who reads them. Bounded by its ring: a reader has a place in it, no queue.

A change costs O(1) here, whoever reads; it was encoded once for operators and once for its tenant. A reader that falls
out of the ring, or comes from another process, begins anew.
"""

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from fleetlb.domain.errors import Transient

RING = 2048
"""Changes that are kept: some seconds of the busiest fleet, hours of a quiet one."""
READERS = 64
OF_A_TENANT = 8
"""Of them, for one tenant: it must not keep others out."""


class Event(NamedTuple):
    """One change. `whose`: the tenant that may see it, empty: operators alone."""

    number: int
    kind: str
    whose: str
    full: bytes
    narrow: bytes
    """As that tenant sees it."""


class Feed:
    """Appended to by whoever sees a change; read by any number of pages, up to a bound."""

    def __init__(self, ring: int = RING, readers: int = READERS) -> None:
        """Empty; no place of another feed is one of this."""
        self._epoch = secrets.token_hex(6)
        self._ring: deque[Event] = deque(maxlen=ring)
        self._limit = readers
        self._readers: Counter[str] = Counter()
        self._news = asyncio.Event()
        self.last = 0
        self.read = asyncio.Event()
        """Set while somebody reads."""
        self.closed = False

    def append(self, kind: str, whose: str, full: bytes, narrow: bytes = b"") -> None:
        """Something has changed."""
        self.last += 1
        self._ring.append(Event(self.last, kind, whose, full, narrow))
        self._wake()

    def place(self, number: int) -> str:
        """What a reader says to go on after a change."""
        return f"{self._epoch}-{number}"

    def parse(self, place: str) -> int | None:
        """The change that a reader has seen last; None: nothing of this feed."""
        epoch, _, number = place.partition("-")
        if epoch != self._epoch or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        return int(number) if int(number) <= self.last else None

    def after(self, number: int) -> list[Event] | None:
        """What came after a change; None: some of it is not kept any more."""
        wanted = self.last - number
        if wanted > len(self._ring):
            return None
        return [self._ring[at] for at in range(len(self._ring) - wanted, len(self._ring))]

    async def news(self, number: int, seconds: float) -> None:
        """Wait until something came after a change, the feed is closed, or so long."""
        if self.last > number or self.closed:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    @contextlib.contextmanager
    def reading(self, tenant: str = "") -> Iterator[None]:
        """Somebody reads: an operator, or a tenant. Raises Transient if too many do."""
        if self._readers.total() >= self._limit or (tenant and self._readers[tenant] >= OF_A_TENANT):
            raise Transient("too many pages are open already: close one", retry_after=5)
        self._readers[tenant] += 1
        self.read.set()
        try:
            yield
        finally:
            self._readers[tenant] -= 1
            self._readers += Counter()  # keeps those alone who read
            if not self._readers:
                self.read.clear()

    def close(self) -> None:
        """Readers should go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
