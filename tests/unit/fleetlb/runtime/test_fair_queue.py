import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.runtime.fair_queue import FairQueue


def drain(queue: FairQueue[tuple[str, int]]) -> list[tuple[str, int]]:
    return [queue.pop() for _ in range(len(queue))]


def test_a_flood_in_one_lane_delays_another_lane_by_one_entry() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(lambda entry: entry[0])
    for number in range(1000):
        queue.push(("flood", number))
    queue.push(("quiet", 0))
    queue.push(("quiet", 1))
    assert drain(queue)[:5] == [("flood", 0), ("quiet", 0), ("flood", 1), ("quiet", 1), ("flood", 2)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_everything_comes_out_once_and_in_order_within_its_lane(entries: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(lambda entry: entry[0])
    for entry in entries:
        queue.push(entry)
    out = drain(queue)
    for lane in "abc":
        assert [e for e in out if e[0] == lane] == [e for e in entries if e[0] == lane]
    assert len(queue) == 0


def test_an_empty_queue_has_nothing_to_give() -> None:
    with pytest.raises(IndexError):
        FairQueue[int](lambda _: 0).pop()
