"""The last change of a Service station by station, from what its messages say themselves. Pure."""

from collections.abc import Iterable

import msgspec

from fleetlb.contracts.v1 import Hop, Hops
from fleetlb.explaining.situation import Said, Situation

WHO = {
    "watch": "tenant-watcher",
    "publish": "tenant-watcher",
    "decide": "manager",
    "claim": "manager",
    "program": "balancer node",
    "acknowledge": "balancer node",
    "probe": "balancer node",
    "report": "status",
    "hear": "status",
}
"""Who reaches which station."""


class Passage(msgspec.Struct, frozen=True, rename="camel"):
    """One station of a change."""

    service: str
    station: str
    at: int
    """Microseconds since 1970, by the clock of whoever reached it."""
    took_ms: float
    """Since the station before."""
    after_ms: float
    """Since the first."""


def last_change(seen: Situation) -> Said | None:
    """What a node said last that has a journey: of all virtual servers the one that was last to be done."""
    said = [word for _, _, word in seen.words() if word is not None and word.word.hops]
    return max(said, key=lambda each: each.word.hops[-1].at, default=None)


def passages(hops: Hops) -> list[Passage]:
    """Each station, and how long it took to get there."""
    return [
        Passage(
            service=WHO.get(hop.name, ""),
            station=hop.name,
            at=hop.at,
            took_ms=(hop.at - before.at) / 1000,
            after_ms=(hop.at - hops[0].at) / 1000,
        )
        for before, hop in _pairs(hops)
    ]


def _pairs(hops: Hops) -> Iterable[tuple[Hop, Hop]]:
    return zip((hops[0], *hops), hops, strict=False) if hops else ()
