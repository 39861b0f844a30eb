"""Schedules of failures by chance, and as lines."""

import pytest

from tests.stage import failures, schedules
from tests.stage.playing_schedules import FAILURES
from tests.stage.schedules import Troubles, parse_schedule, schedule_of

SEEDS = range(300)


def test_a_seed_makes_the_same_schedule_each_time_and_another_seed_another_one() -> None:
    assert schedule_of(7, 25) == schedule_of(7, 25)
    assert len({str(schedule_of(seed, 25)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("steps", [8, 25])
def test_what_is_read_back_from_its_line_is_the_same_and_allowed(steps: int) -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed, steps)
        assert parse_schedule(str(schedule)) == schedule


def test_one_node_never_fails() -> None:
    for seed in SEEDS:
        troubles, most = Troubles(), 0
        for step in schedule_of(seed, 25).steps:
            troubles = troubles.after(step)
            most = max(most, len(troubles.failing))
        assert most <= schedules.MAX_FAILING < len(schedules.NODES)


def test_wishes_change_before_anything_else_happens() -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed, 8)
        assert len(schedule.calm) >= schedules.CALM_STEPS
        assert {step.word for step in schedule.calm} <= set(schedules.WISHES)
        assert schedule.calm + schedule.rough == schedule.steps


def test_everything_happens() -> None:
    words = {step.word for seed in SEEDS for step in schedule_of(seed, 8).steps}
    assert words == {
        *schedules.FAILURES,
        *schedules.BAD_LINKS,
        *schedules.WISHES,
        "mend",
        "clear",
        "drain",
        "undrain",
    }


def test_every_failure_that_there_is_can_happen() -> None:
    assert tuple(FAILURES) == schedules.FAILURES
    there = {each.name for each in vars(failures).values() if isinstance(each, failures.Failure)}
    assert {each.name for each in FAILURES.values()} == there


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hang@1/1 hang@2/1 hang@3/1", "step 'hang@3/1' cannot happen there: .*at most 2 fail at once"),
        ("hang@1/1 link-down@1/1", "a node has one failure at a time"),
        ("mend@1/1", "step 'mend@1/1' cannot happen there"),
        ("hang@4/1", "step 'hang@4/1' cannot happen there"),
        ("go/1", "step 'go/1' cannot happen there"),
        ("burn@1/1", "write one of power-off, .*weight"),
        ("hang@one/1", "'hang@one/1' is not written WORD@NODE/SECONDS"),
        ("hang@1/long", "'hang@1/long' is not written WORD@NODE/SECONDS"),
    ],
)
def test_a_line_that_cannot_be_played_is_refused_with_the_step_and_the_cure(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_schedule(line)
