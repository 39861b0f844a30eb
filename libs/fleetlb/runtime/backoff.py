"""A pure schedule of delays between attempts. It must not know a clock, a loop or a random generator."""

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential delays in seconds: `initial`, times `factor` each attempt, never above `cap`.

    `jitter` is the share of a delay that chance may take away, so that a fleet does not act in step: 0 is none.
    """

    initial: float
    cap: float
    factor: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.initial <= self.cap and self.factor >= 1 and 0 <= self.jitter <= 1):
            raise ValueError(f"no sensible schedule: {self}")

    def delay(self, attempt: int, random01: float) -> float:
        """Seconds to wait after failure number `attempt`, counted from 0; `random01` is a number in [0, 1)."""
        if self.factor == 1 or self.initial == self.cap:
            full = self.initial
        else:
            # Beyond 64 doublings every schedule has met its cap; a larger exponent would overflow.
            full = min(self.cap, self.initial * self.factor ** min(attempt, 64))
        return full * (1 - self.jitter * random01)
