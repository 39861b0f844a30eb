import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.runtime.backoff import Backoff


@pytest.mark.parametrize(("attempt", "expected"), [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (10_000, 60)])
def test_delays_double_up_to_the_cap(attempt: int, expected: float) -> None:
    assert Backoff(initial=1, cap=60, jitter=0).delay(attempt, 0.99) == expected


def test_jitter_only_takes_away() -> None:
    backoff = Backoff(initial=1, cap=60, jitter=0.5)
    assert backoff.delay(1, 0) == 2
    assert backoff.delay(1, 0.5) == 1.5


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_every_delay_lies_between_its_bounds(attempt: int, random01: float) -> None:
    backoff = Backoff(initial=0.1, cap=30, factor=3, jitter=0.4)
    assert 0.1 * 0.6 <= backoff.delay(attempt, random01) <= 30


@pytest.mark.parametrize(
    ("initial", "cap", "factor", "jitter"), [(0, 1, 2, 0), (2, 1, 2, 0), (1, 2, 0.5, 0), (1, 2, 2, 1.1)]
)
def test_a_senseless_schedule_is_refused(initial: float, cap: float, factor: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="no sensible schedule"):
        Backoff(initial=initial, cap=cap, factor=factor, jitter=jitter)


def test_a_constant_schedule_stays_constant() -> None:
    assert Backoff(initial=5, cap=5, jitter=0).delay(9, 0) == 5
