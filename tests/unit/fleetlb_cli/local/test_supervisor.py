"""Delays between restarts; living processes are an integration test."""

import pytest

from fleetlb_cli.local import supervisor


def test_delays_begin_at_one_second_double_and_end_at_thirty() -> None:
    delays = [supervisor.RESTARTS.delay(attempt, 0.7) for attempt in range(8)]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("code", "words"), [(-9, "was ended by SIGKILL"), (3, "ended with exit code 3")])
def test_endings_in_words(code: int, words: str) -> None:
    assert supervisor._ending(code) == words
