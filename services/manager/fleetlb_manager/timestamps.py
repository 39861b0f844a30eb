"""Points in time as the API server writes them. Reads no clock."""

from collections.abc import Iterable
from datetime import UTC, datetime

from fleetlb.contracts.v1 import Hop, Hops

MAX_HOPS = 32


def to_text(epoch_seconds: float) -> str:
    """RFC 3339 with whole seconds, as in metav1.Time."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_exact_text(epoch_seconds: float) -> str:
    """RFC 3339 with microseconds, as in metav1.MicroTime."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_seconds(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 text, or None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


def with_hops(hops: Hops, passed: Iterable[tuple[str, float]]) -> Hops:
    """Stations added to a journey; one that is too long already is not made longer."""
    added = tuple(Hop(name, int(epoch_seconds * 1_000_000)) for name, epoch_seconds in passed)
    return (*hops, *added)[:MAX_HOPS]
