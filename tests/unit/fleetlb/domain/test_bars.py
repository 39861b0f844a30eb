from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.bars import MAX_BARS, Bar, is_late, raised

numbers = st.integers(0, 6)
steps = st.lists(st.tuples(numbers, numbers), max_size=40)


def test_late_is_what_an_earlier_generation_says_behind_the_place() -> None:
    bars = (Bar(2, 10),)
    assert is_late(bars, 1, 11)
    assert not is_late(bars, 1, 10)
    assert not is_late(bars, 2, 11)
    assert not is_late((), 1, 11)


def test_a_place_that_is_not_known_is_never_late() -> None:
    assert not is_late((Bar(9, 0),), 1, 0)


def test_each_term_keeps_what_earlier_ones_barred() -> None:
    bars = raised(raised((), 2, 10), 4, 20)
    assert bars == (Bar(2, 10), Bar(4, 20))
    assert is_late(bars, 1, 11)
    assert not is_late(bars, 3, 20)
    assert is_late(bars, 3, 21)


def test_a_bar_that_says_nothing_more_is_dropped() -> None:
    assert raised((Bar(2, 10), Bar(3, 20)), 4, 10) == (Bar(4, 10),)
    assert raised((Bar(2, 10),), 2, 10) == (Bar(2, 10),)


@given(steps, numbers, numbers)
def test_what_was_late_stays_late_and_there_are_never_too_many(
    terms: list[tuple[int, int]], generation: int, sequence: int
) -> None:
    bars: tuple[Bar, ...] = ()
    for term in terms:
        after = raised(bars, *term)
        assert is_late(after, generation, sequence) or not is_late(bars, generation, sequence)
        assert is_late(after, generation, sequence) or not Bar(*term).is_before(generation, sequence)
        assert len(after) <= MAX_BARS
        bars = after


def test_too_many_become_stricter_at_their_oldest() -> None:
    bars: tuple[Bar, ...] = ()
    for term in range(1, MAX_BARS + 2):
        bars = raised(bars, term, 10 * term)
    assert len(bars) == MAX_BARS
    assert bars[:2] == (Bar(2, 10), Bar(3, 30))
    assert is_late(bars, 1, 11)
