"""How many Services there are per tenant and state, counted change by change. Knows one metric and no verdict."""

from collections import Counter

from prometheus_client import Gauge

from fleetlb_status.memory import Key

SERVICES = Gauge("fleetlb_services", "Services by the reason of their state.", ["tenant", "state"])


class Census:
    """Every Service counts once, under its tenant and its state."""

    def __init__(self) -> None:
        """Nobody was counted."""
        self._places: dict[Key, tuple[str, str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def note(self, key: Key, tenant: str, state: str) -> None:
        """A Service is in a state."""
        place = (tenant, state)
        if self._places.get(key) != place:
            self.forget(key)
            self._places[key] = place
            self._add(place, +1)

    def forget(self, key: Key) -> None:
        """A Service is gone."""
        place = self._places.pop(key, None)
        if place is not None:
            self._add(place, -1)

    def clear(self) -> None:
        """Somebody else counts now."""
        for key in tuple(self._places):
            self.forget(key)

    def _add(self, place: tuple[str, str], step: int) -> None:
        self._counts[place] += step
        if self._counts[place]:
            SERVICES.labels(*place).set(self._counts[place])
        else:  # a tenant that is gone, or a state that nobody is in, leaves no line behind
            del self._counts[place]
            SERVICES.remove(*place)
