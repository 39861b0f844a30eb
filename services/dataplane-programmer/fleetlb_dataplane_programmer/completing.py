"""When it is safe to declare the wishes complete: from then on the engine removes whatever nobody wishes for.

An empty or shrunken set is never taken for the truth because nothing was heard (a damaged state file, a lost stream):
what the data plane holds must be all accounted for, or the hub has spoken and had time to say more. Pure.
"""

from collections.abc import Awaitable, Callable

import msgspec

from fleetlb.domain.virtual_servers import VirtualServerKey

HUB_SECONDS = 3.0
STRANGERS_SECONDS = 30.0

Holdings = Callable[[], Awaitable[frozenset[VirtualServerKey] | None]]
"""What the data plane holds now; None if it cannot be asked, most likely because it is not there."""


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """What is known since the start."""

    has_remembered: bool
    """A state file was read, undamaged."""
    waited_seconds: float
    """Since the start."""
    replayed_seconds: float | None
    """Since the desired stream was read to its end; None: it was not."""
    strangers: int | None
    """Virtual servers in the data plane that no wish and no tombstone explains; None if it cannot be asked."""


def may_complete(known: Knowledge) -> bool:
    """Whether everything that stands is known."""
    if known.replayed_seconds is None and known.waited_seconds < HUB_SECONDS:
        return False
    if known.strangers == 0:
        return True
    if known.strangers is None:
        return known.has_remembered or known.replayed_seconds is not None
    return known.replayed_seconds is not None and known.replayed_seconds >= STRANGERS_SECONDS
