"""A whole fleet, whose processes end after each of their effects in turn, and by chance. Each failure prints the one
command that plays it again.
"""

import os
import re
from collections.abc import Iterable

import pytest

from tests.simulation.effects import Effect, Fate
from tests.simulation.histories import STORIES
from tests.simulation.outside import NETWORKS, NODES, SPARE_NODES
from tests.simulation.playing import REPLICAS, Played
from tests.simulation.telling import RANDOM, TOLD, Case, sentence

LEVEL = os.environ.get("FLEETLB_HISTORIES", "few")
"""`few`: the last effect of each kind, which are enough for a bug that is there to be found."""
UNANSWERED_EACH = {"few": 0, "test": 5, "soak": 1}[LEVEL]
"""After each effect its doer is killed; the answer to every so-manieth of those that have one is lost; 0: to none."""
SEEDS = {"few": 5, "test": 30, "soak": 20_000}[LEVEL]
FIRST_SEED = int(os.environ.get("SEED") or 1)
ENOUGH = 30
"""So many random histories reach every process."""


def kind_of(effect: Effect) -> tuple[str, ...]:
    """What sort of process does what sort of thing: words alone, without what was numbered or made up."""
    words = (word for word in re.split(r"[/. ]", effect.what) if word.isalpha())
    return effect.who.partition("-")[0], *words


def cases_of(name: str, undisturbed: Played) -> Iterable[Case]:
    last = {kind_of(effect): effect for effect in undisturbed.effects}
    for effect in last.values() if LEVEL == "few" else undisturbed.effects:
        yield Case(name, effect.number, Fate.KILLED)
        if effect.has_answer and UNANSWERED_EACH and effect.number % UNANSWERED_EACH == 0:
            yield Case(name, effect.number, Fate.UNANSWERED)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", STORIES)
def test_promises_are_kept_whoever_ends_after_whatever_effect(name: str) -> None:
    undisturbed = Case(name, 0).play()
    assert not undisturbed.broken, sentence(Case(name, 0), undisturbed)
    failures: list[str] = []
    for case in cases_of(name, undisturbed):
        played = case.play()
        assert played.met, f"{case}: the effect did not come again, so nothing is tried"
        if played.broken:
            failures.append(sentence(case, played))
        if len(failures) == TOLD:
            break
    assert not failures, "\n".join(failures)


@pytest.mark.timeout(0)
def test_promises_are_kept_whatever_chance_does() -> None:
    failures: list[str] = []
    killed: set[str] = set()
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        case = Case(RANDOM, seed)
        played = case.play()
        killed |= {words.split()[0] for words in played.met if f" {Fate.KILLED} " in words}
        if played.broken:
            failures.append(sentence(case, played))
        if len(failures) == TOLD:
            break
    assert not failures, "\n".join(failures)
    if SEEDS >= ENOUGH:
        assert killed == {*REPLICAS, "status", *NODES, *SPARE_NODES, *(f"watcher-{tenant}" for tenant in NETWORKS)}
