"""Samples, their quantiles and their files. Pure but for `write_raw`."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec


class Series(msgspec.Struct, frozen=True):
    """Milliseconds of one thing measured again and again."""

    name: str
    standing: int
    samples: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The nearest-rank quantile; the series is never empty."""
        ordered = sorted(self.samples)
        rank = math.ceil(share * len(ordered) - 1e-9)  # 0.95 × 100 must not become 96
        return ordered[max(rank, 1) - 1]

    def describe(self) -> str:
        """p50 / p95 / p99."""
        return " / ".join(f"{self.quantile(share):.1f}" for share in (0.50, 0.95, 0.99))


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """How many times the floor's median ours is."""
    return Series("", 0, tuple(ours)).quantile(0.5) / Series("", 0, tuple(floor)).quantile(0.5)


def write_raw(path: Path, series: Iterable[Series]) -> None:
    """One JSON line per series, every sample in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in series))
