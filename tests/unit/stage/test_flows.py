"""What a client missed, by what it sent and what was answered."""

import math

from tests.stage.flows import Loss, loss_of

SENT = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_nothing_is_missed_where_all_is_answered() -> None:
    assert loss_of(SENT, {0, 1, 2, 3, 4, 5}) == Loss(0, 0.0)


def test_the_longest_time_counts_until_the_next_that_is_answered() -> None:
    assert loss_of(SENT, {0, 2, 5}) == Loss(3, 2.0)


def test_who_is_never_answered_again_misses_without_end() -> None:
    assert loss_of(SENT, {0, 1, 2, 3, 4}) == Loss(1, math.inf)


def test_answers_to_others_do_not_count() -> None:
    assert loss_of(SENT[:1], {0, 7}) == Loss(0, 0.0)
    assert loss_of([], set()) == Loss(0, 0.0)
