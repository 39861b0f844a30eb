"""Which wishes come too late to be begun: those of an earlier term that stand behind what the later one had read. Pure.

A manager that was stopped in the middle of a publish may go on when another one has long let go of what it asks for,
and a node that came since knows of no later wish to hold it against. So whoever lets go says first how far it had read
`desired`. What earlier terms wrote up to there it knows, and sees to; what they write behind it counts for nothing.
"""

from typing import Annotated

import msgspec

MAX_BARS = 16
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Bar(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of generations below this one, what stands behind a place of the stream is late."""

    generation: Number
    through: Number
    """A sequence of the group's stream `desired`; 0: everything is behind it."""

    def is_before(self, generation: int, sequence: int) -> bool:
        """Whether a wish is late by this bar."""
        return generation < self.generation and sequence > self.through


def is_late(bars: tuple[Bar, ...], generation: int, sequence: int) -> bool:
    """Whether a wish of this generation, at this place of its stream, must be said again before it counts."""
    return any(bar.is_before(generation, sequence) for bar in bars)


def raised(bars: tuple[Bar, ...], generation: int, through: int) -> tuple[Bar, ...]:
    """The same bars and one more, oldest first. A wish that was late stays late.

    More than fit become fewer and stricter: what they make late beyond that is said again, as all that is late.
    """
    kept = [bar for bar in bars if bar.generation > generation or bar.through < through]
    kept = sorted([*kept, Bar(generation, through)], key=lambda bar: (bar.generation, bar.through))
    while len(kept) > MAX_BARS:
        first, second, *others = kept
        kept = [Bar(second.generation, min(first.through, second.through)), *others]
    return tuple(kept)
