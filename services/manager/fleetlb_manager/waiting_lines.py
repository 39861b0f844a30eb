"""Who waits for what: refused wishes that end when somebody gives something back, the oldest first.

A wish waits for one or more resources, such as `pool/default/IPv4` or `quota/acme`. When one unit of a resource becomes
free, the oldest is called; until it has come back, the unit is kept for it: a newcomer must find more free units than
there are called ones. Pure; `wait`, `leave` and `call` cost O(log n), amortised.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fleetlb.domain.addresses import Family
from fleetlb_manager.identities import ServiceKey

_ADDRESS = "address/"
SLACK = 64
"""Entries of those who left that a line may carry before it is cleaned."""


class Since(NamedTuple):
    """When a wish began to wait: the age of its object, then the order of arrival."""

    created: str
    arrival: int


class _Place(NamedTuple):
    since: Since
    resources: tuple[str, ...]


class _Line:
    """Those who wait for one resource."""

    def __init__(self) -> None:
        self.heap: list[tuple[Since, ServiceKey]] = []
        self.members: dict[ServiceKey, Since] = {}
        self.called: set[ServiceKey] = set()

    def join(self, key: ServiceKey, since: Since) -> None:
        self.called.discard(key)
        if self.members.get(key) != since:
            self.members[key] = since
            heapq.heappush(self.heap, (since, key))
        if len(self.heap) > 2 * len(self.members) + SLACK:
            self.heap = [(when, member) for member, when in self.members.items()]
            heapq.heapify(self.heap)

    def leave(self, key: ServiceKey) -> None:
        self.members.pop(key, None)
        self.called.discard(key)

    def first(self) -> Since | None:
        while self.heap and self.members.get(self.heap[0][1]) != self.heap[0][0]:
            heapq.heappop(self.heap)
        return self.heap[0][0] if self.heap else None

    def call(self) -> ServiceKey | None:
        if self.first() is None:
            return None
        _, key = heapq.heappop(self.heap)
        del self.members[key]
        self.called.add(key)
        return key


class WaitingLines:
    """Lines of Services, one for each resource that somebody waits for."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._lines: dict[str, _Line] = {}
        self._places: dict[ServiceKey, _Place] = {}
        self._kept: dict[str, tuple[str, ...]] = {}
        """Addresses that are kept by their names, and the pools whose units they are."""
        self._kept_in: Counter[str] = Counter()
        self._arrivals = 0

    def wait(self, key: ServiceKey, resources: Iterable[str], created: str) -> list[str]:
        """Put a Service in line, or back in its old place; whatever else it waited for is given up.

        Returns resources whose unit was kept for this Service: somebody else may be called.
        """
        wanted = tuple(resources)
        place = self._places.get(key)
        if place is None:
            self._arrivals += 1
            place = _Place(Since(created, self._arrivals), ())
        given_up = self._abandon(key, (name for name in place.resources if name not in wanted))
        self._places[key] = _Place(place.since, wanted)
        for name in wanted:
            line = self._lines.setdefault(name, _Line())
            line.join(key, place.since)
            self._note_kept(name, line)
        return given_up

    def join(self, key: ServiceKey, resource: str) -> None:
        """Someone who waits for others like it may be served by this one too, in the same old place."""
        place = self._places[key]
        if resource not in place.resources:
            self._places[key] = place._replace(resources=(*place.resources, resource))
            self._lines.setdefault(resource, _Line()).join(key, place.since)

    def leave(self, key: ServiceKey) -> list[str]:
        """A Service waits no more, served or not. Returns resources whose unit was kept for it."""
        place = self._places.pop(key, None)
        return self._abandon(key, place.resources) if place else []

    def resources(self, key: ServiceKey) -> tuple[str, ...]:
        """What a Service waits for."""
        place = self._places.get(key)
        return place.resources if place else ()

    def called_for(self, key: ServiceKey) -> tuple[str, ...]:
        """Of what a unit is kept for a Service."""
        return tuple(name for name in self.resources(key) if key in self._lines[name].called)

    def since(self, key: ServiceKey) -> Since:
        """Since when a Service waits; one that does not comes last."""
        place = self._places.get(key)
        return place.since if place else Since("~", 0)

    def call(self, resource: str, keeps_in: tuple[str, ...] = ()) -> ServiceKey | None:
        """One unit is free: the oldest Service that waits for it and was not called yet.

        `keeps_in`: other resources that have one unit less for as long as it is called.
        """
        line = self._lines.get(resource)
        key = line.call() if line else None
        if key is not None and keeps_in and resource not in self._kept:
            self._kept[resource] = keeps_in
            self._kept_in.update(keeps_in)
        return key

    def first(self, resource: str) -> Since | None:
        """Since when the oldest waits that `call` would call; None: there is nobody to call."""
        line = self._lines.get(resource)
        return line.first() if line else None

    def called(self, resource: str) -> int:
        """How many are called and have not come back: for each of them one unit is kept."""
        line = self._lines.get(resource)
        return len(line.called) if line else 0

    def kept_in(self, resource: str) -> int:
        """How many units of a pool are kept for Services that were called for them by name."""
        return self._kept_in[resource]

    def members(self, resources: Iterable[str]) -> list[ServiceKey]:
        """All who wait for any of these, the oldest first."""
        lines = [line for name in resources if (line := self._lines.get(name)) is not None]
        return sorted({key for line in lines for key in (*line.members, *line.called)}, key=self.since)

    def kept_from(self, key: ServiceKey, resource: str) -> int:
        """How many free units of a resource are kept for others than this Service."""
        line = self._lines.get(resource)
        if line is None or key in line.called:
            return 0
        return len(line.called)

    def waiting(self, resource: str) -> int:
        """How many wait for a resource."""
        line = self._lines.get(resource)
        return len(line.members) + len(line.called) if line else 0

    def _abandon(self, key: ServiceKey, resources: Iterable[str]) -> list[str]:
        kept = []
        for name in resources:
            line = self._lines[name]
            if key in line.called:
                kept.append(name)
            line.leave(key)
            self._note_kept(name, line)
            if not line.members and not line.called:
                del self._lines[name]
        return kept

    def _note_kept(self, resource: str, line: _Line) -> None:
        """Nothing is kept any more for who has come back."""
        if not line.called and (kept_in := self._kept.pop(resource, ())):
            self._kept_in.subtract(kept_in)
            self._kept_in += Counter()


def pool_resource(pool: str, family: Family) -> str:
    """The free addresses of a pool."""
    return f"pool/{pool}/{family}"


def for_anybody(resources: Iterable[str]) -> tuple[str, ...]:
    """Those that Services of any tenant may wait for."""
    return tuple(name for name in resources if address_of(name) or pool_of(name))


def pool_of(resource: str) -> tuple[str, Family] | None:
    """The pool and family whose addresses a resource stands for."""
    kind, _, rest = resource.partition("/")
    pool, _, family = rest.rpartition("/")
    return (pool, Family(family)) if kind == "pool" else None


def address_of(resource: str) -> str:
    """The address that a resource stands for; empty: none."""
    return resource.removeprefix(_ADDRESS) if resource.startswith(_ADDRESS) else ""


def quota_resource(tenant: str) -> str:
    """What is left of a tenant's quotas."""
    return f"quota/{tenant}"


def sharing_resource(tenant: str, sharing_key: str) -> str:
    """The addresses that Services of a tenant share under a key: whatever changes there concerns all who wait."""
    return f"sharing/{tenant}/{sharing_key}"


def address_resource(address: str) -> str:
    """One address asked for by name."""
    return f"{_ADDRESS}{address}"
