"""Ages of objects. Reads no clock."""

from datetime import datetime


def age_of(text: str | None, now: float) -> float:
    """Seconds since a time as the API server writes it; 0 for what is no time."""
    try:
        return max(0.0, now - datetime.fromisoformat(text or "").timestamp())
    except ValueError:
        return 0.0
