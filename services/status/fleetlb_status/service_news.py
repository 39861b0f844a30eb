"""What there is to tell of Services: the verdict, and what was told before. Knows no bus."""

import msgspec

from fleetlb.contracts.events import ServiceEvent
from fleetlb.contracts.told import ServiceTold, Standing
from fleetlb_status.judging import Clock, Judged, Judging, Patience
from fleetlb_status.memory import Key
from fleetlb_status.standing import events_of, gone, standing_of

UNSETTLED_SECONDS = 2.0
"""A verdict that is only "in progress" waits so long for a better one: most new Services are told of once."""


class ServiceNews:
    """See `fleetlb_status.telling.Matter`."""

    def __init__(self, judging: Judging, clock: Clock) -> None:
        """By the verdict that reports and objects have too."""
        self._judging = judging
        self._patience = Patience(UNSETTLED_SECONDS, clock)

    def wait(self, key: Key) -> float:
        """As long as the verdict is not settled, for a time."""
        judged = self._judging.judge(key)
        return self._patience.left(key, judged.verdict) if judged else 0.0

    def look(self, key: Key, told: ServiceTold | None, at: str) -> ServiceTold | None:
        """What would be told now."""
        before = told.now if told else None
        now = self._standing(key, self._judging.judge(key), before, at)
        trace = self._judging.memory.trace(key)
        if now is None:
            return None
        return ServiceTold(generation=0, revision=0, at=at, trace=trace, before=before, now=now)

    def _standing(self, key: Key, judged: Judged | None, before: Standing | None, at: str) -> Standing | None:
        if judged is not None:
            return standing_of(judged, before, at)
        if key in self._judging.memory.load_balancers or before is None or before.gone:
            return None
        return gone(before)

    def again(self, told: ServiceTold, at: str) -> ServiceTold:
        """All that stands."""
        return msgspec.structs.replace(told, at=at, trace="", before=None)

    def events(self, key: Key, told: ServiceTold) -> tuple[ServiceEvent, ...]:
        """Between two standings."""
        return events_of(key, told)

    def name(self, key: Key) -> str:
        """The Service's UID."""
        return key[1]

    def forget(self, key: Key) -> None:
        """Nothing of it is kept."""
        self._patience.forget(key)
        if key not in self._judging.memory.load_balancers:
            self._judging.memory.forget_trace(key)
