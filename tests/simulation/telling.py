"""What failed, in words, with the command that plays it again; and the way back from there. Reads no clock."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.simulation.effects import Fate
from tests.simulation.histories import DIVIDED, STORIES
from tests.simulation.playing import Played, play, play_at_random

RANDOM = "random"
TOLD = 5


class Case(NamedTuple):
    """One run: a history of `STORIES` with a fate after one effect (0: with none), or with a seed all by chance."""

    history: str
    number: int
    fate: Fate | None = None

    def __str__(self) -> str:
        parts = (self.history, str(self.number), *([self.fate.value] if self.fate else []))
        return ":".join(parts)

    def play(self) -> Played:
        """With disks that are empty, and gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="fleetlb-disks-") as disks:
            if self.history == RANDOM:
                return play_at_random(self.number, Path(disks))
            fates = {self.number: self.fate} if self.fate else {}
            is_divided = self.history.endswith(DIVIDED)
            return play(STORIES[self.history], Path(disks), fates, is_divided=is_divided)


def parse_case(text: str) -> Case:
    """The inverse of `str(case)`. Raises ValueError."""
    history, _, rest = text.partition(":")
    number, _, fate = rest.partition(":")
    if history not in (RANDOM, *STORIES):
        raise ValueError(f"{history!r} is none of {', '.join((*STORIES, RANDOM))}")
    return Case(history, int(number or 0), Fate(fate) if fate else None)


def sentence(case: Case, played: Played) -> str:
    """What was broken in a run, and how to see it again."""
    lines = [f"{case}: {'; '.join(played.met[-3:]) or 'nobody was disturbed'}"]
    lines += [f"    {broken}" for broken in played.broken[:TOLD]]
    return "\n".join([*lines, f"    to see it again: make simulate REPLAY={case}"])
