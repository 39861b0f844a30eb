"""Milliseconds per hop of one change, from the times that its messages carried. Pure."""

from collections.abc import Iterable

from fleetlb.contracts.v1 import Hop

HOPS = ("watch", "publish", "decide", "claim", "program", "acknowledge", "probe", "report", "patch")
"""The stations of a change, in order; each figure is the time since the station before it."""


def milliseconds_per_hop(started_at: int, hops: Iterable[Hop], patched_at: int) -> dict[str, float]:
    """Hop name to milliseconds since the hop before; the first counts from `started_at` (microseconds since 1970).

    A hop that the messages do not name is absent, and its time is in the next one.
    """
    reached = {hop.name: hop.at for hop in hops} | {"patch": patched_at}
    figures: dict[str, float] = {}
    previous = started_at
    for name in HOPS:
        if name in reached:
            figures[name] = (reached[name] - previous) / 1000
            previous = reached[name]
    return figures
