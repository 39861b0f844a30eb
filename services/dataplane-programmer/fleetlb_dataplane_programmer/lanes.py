"""Turns that come no faster than a rate, for what has many to look at and must not do it all at once. Pure."""


class Lane:
    """Gives out slots that are no denser than a rate, and not later than a round over all needs."""

    def __init__(self, per_second: float) -> None:
        """`per_second`: how many slots at most."""
        self._gap = 1.0 / per_second
        self._last = 0.0

    def slot(self, earliest: float, riders: int) -> float:
        """The next free time, not before `earliest`; `riders` share the lane."""
        self._last = min(max(self._last + self._gap, earliest), earliest + riders * self._gap)
        return self._last
