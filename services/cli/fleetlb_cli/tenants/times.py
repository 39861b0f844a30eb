"""Points in time as the API server writes them, in whole seconds. Reads no clock."""

import math
from datetime import UTC, datetime


def spelled(seconds: int) -> str:
    """RFC 3339, as in metav1.Time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> int | None:
    """Seconds since 1970, rounded up as the manager does; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return math.ceil(moment.timestamp()) if moment.tzinfo else None
