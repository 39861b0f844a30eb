"""Turns between tenants: however many Services of one tenant changed at once, only a share of them is queued.

The rest waits in the tenant's own line and moves up as its Services are done, so another tenant's change finds at most
that share of each in front of it. Every operation is O(1).
"""

from collections.abc import Callable

from fleetlb_manager.identities import ServiceKey

SHARE = 16
"""Services of one tenant in the common queue; a tenant alone is not slower for it: the API server is."""


class Turns:
    """A line per tenant in front of one queue."""

    def __init__(self, enqueue: Callable[[ServiceKey], None], share: int = SHARE) -> None:
        """`enqueue` puts a Service into the common queue."""
        self._enqueue = enqueue
        self._share = share
        self._queued: dict[str, set[ServiceKey]] = {}
        self._waiting: dict[str, dict[ServiceKey, None]] = {}

    def add(self, key: ServiceKey) -> None:
        """A Service changed."""
        queued = self._queued.setdefault(key.tenant, set())
        if key in queued or len(queued) < self._share:
            queued.add(key)
            self._enqueue(key)
        else:
            self._waiting.setdefault(key.tenant, {})[key] = None

    def done(self, key: ServiceKey) -> None:
        """A Service was worked on, however it ended."""
        queued = self._queued.get(key.tenant)
        if queued is None or key not in queued:
            return
        queued.discard(key)
        waiting = self._waiting.get(key.tenant)
        if waiting:
            following = next(iter(waiting))
            del waiting[following]
            queued.add(following)
            self._enqueue(following)
        elif not queued:
            del self._queued[key.tenant]
            self._waiting.pop(key.tenant, None)

    def waiting(self) -> int:
        """Services not queued yet."""
        return sum(len(line) for line in self._waiting.values())
