"""The two clocks of a watcher, given in so that its time can be somebody else's. Decides nothing."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clocks(Protocol):
    """Time, twice."""

    def now(self) -> float:
        """Seconds that only grow."""

    def micros(self) -> int:
        """Microseconds since 1970."""


class SystemClocks:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def micros(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1000


SYSTEM_CLOCKS = SystemClocks()


def timestamp(clocks: Clocks) -> str:
    """Now, as Kubernetes writes it."""
    return datetime.fromtimestamp(clocks.micros() // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
