"""Services that others act for: they stand in line here too, so that every manager calls the same one (A5).

Where somebody else's Service is the oldest, what it was called for is kept from ours, but not for ever: its manager may
be no more, or find that the Service does not need it.
"""

from fleetlb_manager.choosing import Chooser
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.workbench import Workbench

PATIENCE_SECONDS = 3.0
"""So long a free address is kept for a Service of another manager's."""


class StandingBy:
    """Keeps the places of Services that this process does not act for."""

    def __init__(self, bench: Workbench, chooser: Chooser) -> None:
        """`chooser` may have chosen for them while this process acted."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._clock = bench.clock
        self._chooser = chooser
        self._called: dict[ServiceKey, float] = {}

    def look(self, key: ServiceKey) -> float | None:
        """Keep a place as the object says it; the seconds until patience with a Service that was called is over."""
        self._chooser.abandon(key, self._memory.claims.of(key))
        known, lines = self._memory.load_balancers.get(key), self._memory.lines
        waits_for = known.spec.waits_for if known is not None else ()
        created = (known.metadata.creation_timestamp if known is not None else "") or ""
        stands = lines.resources(key)  # also for a pool that is new, of which its object says nothing yet
        if not set(waits_for) <= set(stands) or (stands and not waits_for):
            self._called.pop(key, None)
            self._folding.call_next(lines.wait(key, waits_for, created) if waits_for else lines.leave(key))
        called_for = lines.called_for(key)
        if not called_for:
            self._called.pop(key, None)
            return None
        now = self._clock.monotonic()
        left = self._called.setdefault(key, now) + PATIENCE_SECONDS - now
        if left > 0:
            return left
        del self._called[key]
        is_elsewhere = waits_for and not set(called_for) & set(waits_for)
        self._folding.call_next(lines.wait(key, waits_for, created) if is_elsewhere else lines.leave(key))
        return None
