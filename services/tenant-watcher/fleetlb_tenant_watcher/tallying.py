"""Which Events are worth an object of their own, after client-go's correlator: what repeats is counted, a flood is cut.

Pure: time is a parameter. Bounded in memory; O(1) for each Event.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from fleetlb_tenant_watcher.deciding import Announce

REPEAT_SECONDS = 600.0
"""For so long an Event that says the same counts as the same one."""
BURST = 25
"""So many Events of one Service may come at once …"""
REFILL_SECONDS = 60.0
"""… and one more after each of these."""
MAX_KEPT = 4096
K = TypeVar("K")
V = TypeVar("V")


class Told(NamedTuple):
    """An Event that was written: its object, how often it was said, and when last."""

    name: str
    times: int
    at: float


class Tally:
    """What was told lately of each Service."""

    def __init__(self) -> None:
        """Nothing was."""
        self._told: OrderedDict[tuple[str, Announce], Told] = OrderedDict()
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def may_speak(self, uid: str, now: float) -> bool:
        """Whether a Service has not used up its Events; asking uses one."""
        spent, at = self._spent.get(uid, (0.0, now))
        spent = max(0.0, spent - (now - at) / REFILL_SECONDS)
        is_free = spent <= BURST - 1
        _keep(self._spent, uid, (spent + is_free, now))
        return is_free

    def earlier(self, uid: str, note: Announce, now: float) -> Told | None:
        """The Event that said the same not long ago."""
        told = self._told.get((uid, note))
        return told if told is not None and now - told.at <= REPEAT_SECONDS else None

    def note(self, uid: str, note: Announce, name: str, times: int, now: float) -> None:
        """It was written, and has been said so many times."""
        _keep(self._told, (uid, note), Told(name, times, now))


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
