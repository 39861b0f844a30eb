"""Services that show an address which nobody claims: the hub has lost its objects, and they take up what they had.

For a while after a term begins they choose first, so that no newcomer is given what one of them shows. Pure memory,
time as a parameter in seconds; a wish that is shown is a preference and no right, for a tenant can write what it likes.
"""

from collections.abc import Iterable

from fleetlb_manager.identities import ServiceKey

WINDOW_SECONDS = 30.0
"""For so long a newcomer waits for those that were here before, at the most."""
ASK_AGAIN_SECONDS = 0.5


class Adoption:
    """Who has yet to take up an address."""

    def __init__(self) -> None:
        """Nobody."""
        self._orphans: dict[ServiceKey, None] = {}
        self._until = 0.0

    def begin(self, orphans: Iterable[ServiceKey], now: float) -> None:
        """A term begins with these."""
        self._until = now + WINDOW_SECONDS
        self._orphans = dict.fromkeys(orphans)

    def note(self, key: ServiceKey, now: float) -> None:
        """One more is heard of; later than `WINDOW_SECONDS` it takes its turn like any other."""
        if now < self._until:
            self._orphans[key] = None

    def done(self, key: ServiceKey) -> None:
        """The Service was answered, or is gone."""
        self._orphans.pop(key, None)

    def goes_before(self, key: ServiceKey, now: float) -> bool:
        """Whether others choose before this Service, which shows nothing."""
        return bool(self._orphans) and now < self._until and key not in self._orphans
