"""Points in time as the API server writes them. Reads no clock."""

from datetime import UTC, datetime


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


def to_microseconds(epoch_seconds: float) -> int:
    """As stations of a journey are noted."""
    return int(epoch_seconds * 1_000_000)
