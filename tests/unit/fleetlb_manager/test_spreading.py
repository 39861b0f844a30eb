import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import PartitionsHeld
from fleetlb_manager.spreading import FORGET_SECONDS, Members, has_too_many


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        (4, [], False),
        (4, [4], False),
        (4, [3], False),
        (4, [2], True),
        (2, [0], True),
        (1, [0], False),
        (3, [5, 1], True),
        (0, [9], False),
    ],
)
def test_who_holds_two_more_than_another_has_too_many(mine: int, others: list[int], expected: bool) -> None:
    assert has_too_many(mine, others) is expected


@pytest.mark.parametrize(("partitions", "managers"), [(1, 3), (4, 2), (7, 3), (64, 5)])
def test_handing_over_ends_evenly(partitions: int, managers: int) -> None:
    held = [partitions] + [0] * (managers - 1)
    for _ in range(partitions):
        for index, mine in enumerate(held):
            if has_too_many(mine, held[:index] + held[index + 1 :]):
                held[index] -= 1
                held[held.index(min(held))] += 1
    assert max(held) - min(held) <= 1


def test_who_says_nothing_any_more_is_not_counted_on() -> None:
    members = Members()
    members.note(PartitionsHeld(identity="m-2", partitions=(1, 2)), 100.0)
    members.note(PartitionsHeld(identity="m-3"), 105.0)
    members.note(PartitionsHeld(identity="m-2", partitions=(1,)), 101.0)
    assert members.living(105.0) == [1, 0]
    assert members.living(101.0 + FORGET_SECONDS) == [0]


def test_what_is_held_is_told_in_one_message() -> None:
    said = PartitionsHeld(identity="m-1", partitions=(0, 3))
    assert codec.decode(PartitionsHeld, codec.encode(said)) == said
    assert subjects.HELD == "fleetlb.v1.held"
