"""How two series measured in turns are compared."""

import pytest

from tests.bench.tracing import quotient

OFF = [0.030 + 0.0001 * number for number in range(100)]


def test_the_same_costs_nothing() -> None:
    times, least, most = quotient(OFF, OFF)
    assert times == 1
    assert least <= 1 <= most


def test_a_tenth_more_is_seen_with_certainty() -> None:
    times, least, most = quotient(OFF, [sample * 1.1 for sample in OFF])
    assert times == pytest.approx(1.1)
    assert 1.05 < least <= times <= most < 1.15


def test_a_few_slow_ones_do_not_count() -> None:
    times, _, most = quotient(OFF, [*OFF[:-3], 9.0, 9.0, 9.0])
    assert times == 1
    assert most < 1.1
