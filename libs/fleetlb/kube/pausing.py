"""When to try again, and when to stop trusting a resume. Pure: chance arrives as a number."""

from typing import NamedTuple

import msgspec

from fleetlb.kube.errors import ApiError, Gone

_SERVER_ABSENT = (0, 429, 502, 503)
"""Answers that say nothing about the version we resume from: a full list would only add to the server's load."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Growing pauses with jitter, so that a fleet does not come back all at once."""

    initial: float = 0.2
    cap: float = 10.0
    """Low for a reason: after an API server's restart nothing moves until we ask again."""
    factor: float = 2.0

    def seconds(self, attempt: int, chance: float) -> float:
        """The pause after the `attempt`-th failure in a row (from 1): from half to all of it, by `chance` in 0..1."""
        whole = min(self.cap, self.initial * self.factor ** min(attempt - 1, 32))
        return whole * (0.5 + chance / 2)


class Verdict(NamedTuple):
    """What to do after a watch has ended."""

    pause: float
    relist: bool


class Patience:
    """Counts watches in a row that gave nothing.

    A server may end every watch at once, with or without an error, when it no longer knows our version, and never say
    410: after `relist_after` such ends everything is listed again. Endings of an absent server do not count.
    """

    def __init__(self, pause: Pause, relist_after: int) -> None:
        """Starts with nothing to complain of."""
        self._pause = pause
        self._relist_after = relist_after
        self._attempt = 0
        self._fruitless = 0

    def after(self, problem: ApiError | None, *, progressed: bool, chance: float) -> Verdict:
        """Judge a watch that ended with a problem, or cleanly; `progressed`: it was good for something."""
        if progressed:
            self._attempt = self._fruitless = 0
        else:
            self._attempt += 1
            self._fruitless += problem is None or problem.status not in _SERVER_ABSENT
        expired = isinstance(problem, Gone)
        relist = expired or self._fruitless >= self._relist_after
        if relist:
            self._fruitless = 0
        if progressed and (problem is None or expired):
            return Verdict(0.0, relist)
        if expired and self._attempt == 1:
            return Verdict(0.0, relist)  # an old version after a long absence is no reason to wait
        return Verdict(self._pause.seconds(max(self._attempt, 1), chance), relist)
