import pytest

from fleetlb.domain.errors import FleetlbError, Poison, Stale, Transient


@pytest.mark.parametrize("kind", [Transient, Stale, Poison])
def test_every_kind_is_a_fleetlb_error_and_keeps_its_sentence(kind: type[FleetlbError]) -> None:
    problem = kind("the sentence")
    assert isinstance(problem, FleetlbError)
    assert str(problem) == "the sentence"


def test_the_kinds_exclude_one_another() -> None:
    kinds = (Transient, Stale, Poison)
    assert [[issubclass(one, other) for other in kinds] for one in kinds] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_a_transient_error_may_say_when_to_try_again() -> None:
    assert Transient("busy", retry_after=2.5).retry_after == 2.5
    assert Transient("busy").retry_after is None
