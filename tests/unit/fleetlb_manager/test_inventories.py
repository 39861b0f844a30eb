import pytest

from fleetlb_manager.inventories import PROOF_SECONDS, Absences, is_out_of_step


def test_two_inventories_ten_seconds_apart_prove_an_absence_once() -> None:
    absences = Absences()
    assert absences.note({"u1", "u2"}, {"u2"}, 100.0) == set()
    assert absences.note({"u1", "u2"}, {"u2"}, 100.0 + PROOF_SECONDS - 0.1) == set()
    assert not absences.is_proven("u1")
    assert absences.note({"u1", "u2"}, {"u2"}, 100.0 + PROOF_SECONDS) == {"u1"}
    assert absences.is_proven("u1")
    assert absences.note({"u1", "u2"}, {"u2"}, 130.0) == set()
    assert absences.is_proven("u1")
    assert not absences.is_proven("u2")


def test_to_be_named_once_begins_anew() -> None:
    absences = Absences()
    absences.note({"u1"}, set(), 100.0)
    absences.note({"u1"}, {"u1"}, 105.0)
    assert absences.note({"u1"}, set(), 111.0) == set()
    assert absences.note({"u1"}, set(), 121.0) == {"u1"}


def test_a_message_about_it_begins_anew() -> None:
    absences = Absences()
    absences.note({"u1"}, set(), 100.0)
    absences.appeared("u1")
    assert absences.note({"u1"}, set(), 111.0) == set()
    absences.note({"u1"}, set(), 130.0)
    assert absences.is_proven("u1")
    absences.appeared("u1")
    assert not absences.is_proven("u1")


def test_what_is_not_known_any_more_is_not_missing() -> None:
    absences = Absences()
    absences.note({"u1"}, set(), 100.0)
    absences.note({"u1"}, set(), 120.0)
    absences.note(set(), set(), 130.0)
    assert not absences.is_proven("u1")


@pytest.mark.parametrize(
    ("known", "listed", "out_of_step"),
    [
        ({}, {}, False),
        ({"u1": "a"}, {"u1": "a"}, False),
        ({"u1": "a"}, {"u1": "b"}, True),
        ({}, {"u1": "a"}, True),
        ({"u1": "a", "u2": "b"}, {"u1": "a"}, False),
        pytest.param({"u1": "a"}, {"u1": ""}, False, id="held-and-nothing-newer-to-say"),
    ],
)
def test_a_lost_message_shows(known: dict[str, str], listed: dict[str, str], out_of_step: bool) -> None:
    assert is_out_of_step(known, listed) is out_of_step
