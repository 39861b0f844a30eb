"""For how long two answered while one took over."""

from tests.stage.asking import overlapping

ONE, OTHER = b"1", b"2"


def test_one_after_the_other_do_not_overlap() -> None:
    assert overlapping([]) == 0.0
    assert overlapping([(1.0, ONE), (2.0, ONE)]) == 0.0
    assert overlapping([(1.0, ONE), (2.0, ONE), (3.0, OTHER)]) == 0.0


def test_from_the_first_of_the_later_to_the_last_of_the_earlier() -> None:
    assert overlapping([(5.0, ONE), (1.0, ONE), (3.0, OTHER), (6.0, OTHER), (7.5, OTHER)]) == 2.0
