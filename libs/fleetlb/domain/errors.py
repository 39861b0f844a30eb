"""The kinds of failure, decided once; adapters translate foreign errors into these at their edge.

FleetlbError
├── Transient   the environment failed (API server, bus, proxy): try again, `retry_after` seconds from now if given
├── Stale       a newer revision or generation is known: drop it
└── Poison      a message that no build of this version can read: park it, go on

A tenant's mistake is none of these: it is a `Refusal`, a value that is returned (`fleetlb.domain.conditions`).
"""


class FleetlbError(Exception):
    """The root of all errors that fleetlb raises itself."""


class Transient(FleetlbError):
    """The environment failed; the same work may succeed later."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that the other side asked for, or None to use the caller's own back-off."""
        super().__init__(message)
        self.retry_after = retry_after


class Stale(FleetlbError):
    """Something newer is known already."""


class Poison(FleetlbError):
    """A message that cannot be read by this version; its text says what is wrong."""
