"""How a change came to where it is: what travels beside a message and is no part of what it says."""

import msgspec

from fleetlb.contracts.v1 import Hop, Hops

MAX_HOPS = 32
MAX_OVERTAKEN = 8
"""Traces that are still named once a later change went its way instead of theirs."""


class Journey(msgspec.Struct, frozen=True, gc=False):
    """One change on its way."""

    trace: str = ""
    """W3C trace context of the step that sent it on; empty: nobody traced it."""
    hops: Hops = ()
    """Stations, and when they were reached."""
    overtaken: tuple[str, ...] = ()
    """Contexts of earlier changes of the same thing that went no further, as this one says all that they said."""

    def then(self, name: str, at: int) -> "Journey":
        """A station more; a journey that is too long already is not made longer. `at`: microseconds since 1970."""
        hops = (*self.hops, Hop(name, at))[:MAX_HOPS]
        return Journey(self.trace, hops, self.overtaken)

    def under(self, trace: str) -> "Journey":
        """The same, sent on by another step."""
        return Journey(trace, self.hops, self.overtaken)

    def overtaking(self, earlier: "Journey") -> "Journey":
        """The same, having taken the place of an earlier one that was still on its way.

        What nobody traced is a repetition: the change is then the earlier one's.
        """
        if not self.trace and earlier.trace:
            return earlier
        found = [*self.overtaken, *earlier.overtaken, earlier.trace]
        contexts = tuple(dict.fromkeys(c for c in found if c and c != self.trace))
        return Journey(self.trace, self.hops, contexts[-MAX_OVERTAKEN:])


NOT_TRAVELLED = Journey()


def latest(some: Journey, others: Journey) -> Journey:
    """Of two journeys to one place the one that ended later, which overtakes the other."""
    ahead, behind = (some, others) if _end(some) >= _end(others) else (others, some)
    return ahead.overtaking(behind)


def _end(journey: Journey) -> int:
    return journey.hops[-1].at if journey.hops else 0
