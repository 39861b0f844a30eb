"""When VIPs are told of unasked: a few times when they are taken, then again and again, slowly. Pure; time is given.

Hosts and switches keep what they once heard. A frame may be lost, so a VIP that is taken is told several times; and a
switch may forget or have missed all of them, so each is told again in every round. Rounds are spread evenly. All of it
goes through one token bucket: who takes ten thousand VIPs at once must not flood the link. Who has been told less often
goes first, and everybody new before any round. Whatever happens to a VIP, and each telling, costs the same however many
there are.
"""

import itertools
import math
from collections import OrderedDict

import msgspec

from fleetlb_dataplane_programmer.layer2.frames import frames_of

_LATE_SECONDS = 1.0


class Pace(msgspec.Struct, frozen=True):
    """How fast and how often."""

    rate: float = 500.0
    """Frames a second, on average."""
    burst: int = 100
    """Frames at once, after a rest; at least 2, as an IPv4 address takes."""
    pauses: tuple[float, ...] = (1.0, 1.0, 2.0)
    """Seconds between the tellings of a VIP that was taken, of which there is one more."""
    repeat_seconds: float = 300.0
    """How long a round over all VIPs takes, if the rate allows."""

    def __post_init__(self) -> None:
        """Raises ValueError for what would never tell, or never rest."""
        if not (self.rate > 0 and self.burst >= 2 and self.repeat_seconds > 0 and min(self.pauses, default=0) >= 0):
            raise ValueError(f"rate and repeat_seconds must be above 0, burst at least 2, pauses not negative: {self}")


class Telling(msgspec.Struct, frozen=True):
    """A VIP, packed, to be told now."""

    address: bytes
    is_repeat: bool
    """Whether it is of a round."""


class Pacer:
    """What is to be told on one interface. Times are of a clock that never goes back, in seconds."""

    def __init__(self, pace: Pace) -> None:
        """Nothing."""
        self._pace = pace
        self._fresh: list[OrderedDict[bytes, float]] = [OrderedDict() for _ in range(len(pace.pauses) + 1)]
        """VIPs by how often they have been told, each with when it is due, the earliest first."""
        self._round: OrderedDict[bytes, None] = OrderedDict()
        """The others, the one that was told longest ago first."""
        self._repeated_at = -math.inf
        self._tokens = float(pace.burst)
        self._filled_at = -math.inf

    def own(self, address: bytes) -> None:
        """The VIP was taken: begin to tell of it, from the first time on."""
        self.disown(address)
        self._fresh[0][address] = -math.inf

    def disown(self, address: bytes) -> None:
        """The VIP was given up: nothing that is still due of it is told."""
        self._round.pop(address, None)
        for waiting in self._fresh:
            waiting.pop(address, None)

    def own_all_again(self) -> None:
        """What was told is void, as it is when the MAC is another: begin anew with every VIP."""
        for address in [*itertools.chain(*self._fresh[1:], self._round)]:
            self.own(address)

    def take(self, now: float) -> Telling | None:
        """What is to be told now; it counts as told. None: nothing is due yet, or the bucket is empty."""
        due, told, address = self._next(now)
        if due > now or not self._spend(frames_of(address), now):
            return None
        if told > len(self._pace.pauses):
            self._round.move_to_end(address)
            self._repeated_at = max(due, now - _LATE_SECONDS)  # what a long stop left undone is not made up for
            return Telling(address, is_repeat=True)
        del self._fresh[told][address]
        if told < len(self._pace.pauses):
            self._fresh[told + 1][address] = now + self._pace.pauses[told]
        else:
            self._enter_round(address, now)
        return Telling(address, is_repeat=False)

    def wait(self, now: float) -> float:
        """Seconds until something is to be told; infinite if nothing ever is."""
        due, _, address = self._next(now)
        if not address:
            return math.inf
        self._fill(now)
        return max(0.0, due - now, (frames_of(address) - self._tokens) / self._pace.rate)

    def _next(self, now: float) -> tuple[float, int, bytes]:
        """When something is due, how often it has been told, and what; of all that is due already, the most urgent.

        The bucket is not looked at.
        """
        soonest = (math.inf, 0, b"")
        for told, waiting in enumerate(self._fresh):
            if waiting:
                address, due = next(iter(waiting.items()))
                soonest = min(soonest, (due, told, address))
                if due <= now:
                    return soonest
        if self._round:
            due = self._repeated_at + self._pace.repeat_seconds / len(self._round)
            soonest = min(soonest, (due, len(self._fresh), next(iter(self._round))))
        return soonest

    def _enter_round(self, address: bytes, now: float) -> None:
        if not self._round:
            self._repeated_at = now
        self._round[address] = None

    def _spend(self, frames: int, now: float) -> bool:
        self._fill(now)
        if self._tokens < frames:
            return False
        self._tokens -= frames
        return True

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            self._tokens = min(self._pace.burst, self._tokens + (now - self._filled_at) * self._pace.rate)
            self._filled_at = now
