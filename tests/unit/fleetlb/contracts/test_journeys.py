"""Journeys: stations, and what becomes of changes that are overtaken."""

from fleetlb.contracts.journeys import MAX_HOPS, MAX_OVERTAKEN, NOT_TRAVELLED, Journey, latest
from fleetlb.contracts.v1 import Hop

FIRST, SECOND, THIRD = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2, 3))


def test_a_journey_grows_to_a_bound() -> None:
    journey = Journey(FIRST, (Hop("watch", 1),)).then("decide", 2)
    assert journey == Journey(FIRST, (Hop("watch", 1), Hop("decide", 2)))
    full = Journey(FIRST, tuple(Hop("x", number) for number in range(MAX_HOPS)))
    assert full.then("decide", 1) == full


def test_whoever_is_overtaken_is_named() -> None:
    once = Journey(SECOND).overtaking(Journey(FIRST))
    assert once == Journey(SECOND, overtaken=(FIRST,))
    assert Journey(THIRD).overtaking(once).overtaken == (FIRST, SECOND)
    assert once.overtaking(Journey(SECOND)).overtaken == (FIRST,), "it does not overtake itself"
    assert once.overtaking(NOT_TRAVELLED) == once


def test_a_repetition_takes_the_place_of_nothing() -> None:
    change = Journey(FIRST, (Hop("watch", 1),))
    assert Journey("", (Hop("watch", 9),)).overtaking(change) == change


def test_only_so_many_are_named() -> None:
    journey = Journey(FIRST)
    for number in range(4, 40):
        journey = Journey(f"00-{number:032x}-{number:016x}-01").overtaking(journey)
    assert len(journey.overtaken) == MAX_OVERTAKEN
    assert journey.overtaken[-1] == f"00-{38:032x}-{38:016x}-01"


def test_of_two_that_arrive_the_later_one_goes_on() -> None:
    early, late = Journey(FIRST, (Hop("probe", 5),)), Journey(SECOND, (Hop("probe", 9),))
    assert latest(early, late) == latest(late, early) == Journey(SECOND, late.hops, (FIRST,))
    assert latest(early, NOT_TRAVELLED) == early
