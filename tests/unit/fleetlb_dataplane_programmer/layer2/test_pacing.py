"""When VIPs are told of: soon and several times, then in rounds, never more than the link should bear."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.layer2.frames import frames_of
from fleetlb_dataplane_programmer.layer2.pacing import Pace, Pacer, Telling

NO_BRAKE = Pace(rate=1e6, burst=10_000)
A, B, C = b"AAAA", b"BBBB", b"C" * 16


def told(pacer: Pacer, start: float, end: float) -> list[tuple[float, Telling]]:
    """What is told from one time to another by somebody who comes exactly when he should."""
    now, found = start, []
    while now <= end:
        while (telling := pacer.take(now)) is not None:
            found.append((now, telling))
        pause = pacer.wait(now)
        assert pause > 0, "to come at once and get nothing is to turn in circles"
        now += pause + 1e-9
    return found


def times(found: list[tuple[float, Telling]], address: bytes) -> list[float]:
    return [round(now, 3) for now, telling in found if telling.address == address]


def test_who_has_nothing_tells_nothing() -> None:
    pacer = Pacer(NO_BRAKE)
    assert pacer.take(0) is None
    assert pacer.wait(0) == math.inf


def test_a_taken_vip_is_told_at_once_and_thrice_more_and_then_once_in_each_round() -> None:
    pacer = Pacer(NO_BRAKE)
    pacer.own(A)
    found = told(pacer, 100, 1000)
    assert times(found, A) == [100, 101, 102, 104, 404, 704]
    assert [telling.is_repeat for _, telling in found] == [False] * 4 + [True] * 2


def test_a_round_is_spread_evenly_over_all() -> None:
    pacer = Pacer(NO_BRAKE)
    addresses = [bytes((10, 0, 0, number)) for number in range(100)]
    for address in addresses:
        pacer.own(address)
    told(pacer, 0, 4.5)
    found = told(pacer, 4.5, 904.5)
    assert len(found) == pytest.approx(300, abs=1)
    gaps = [later - before for (before, _), (later, _) in itertools.pairwise(found)]
    assert max(gaps) == pytest.approx(3, abs=0.001)
    for address in addresses:
        assert len(times(found, address)) >= 2


def test_more_than_the_rate_is_never_told_and_everybody_is_told_once_before_anybody_twice() -> None:
    pacer = Pacer(Pace(rate=10, burst=4))
    addresses = [bytes((10, 0, 0, number)) for number in range(50)]
    for address in addresses:
        pacer.own(address)
    found = told(pacer, 0, 100)
    assert [telling.address for _, telling in found[:50]] == addresses
    assert [round(now, 3) for now, _ in found[:5]] == [0, 0, 0.2, 0.4, 0.6]
    for turn in range(4):
        assert {telling.address for _, telling in found[50 * turn : 50 * turn + 50]} == set(addresses)


def test_new_ones_go_before_a_round_that_is_due() -> None:
    pacer = Pacer(Pace(rate=1, burst=2, repeat_seconds=2))
    pacer.own(A)
    told(pacer, 0, 30)
    pacer.own(B)
    found = told(pacer, 30.5, 60)
    fresh = [number for number, (_, telling) in enumerate(found) if telling.address == B and not telling.is_repeat]
    assert fresh[0] == 0
    assert len(fresh) == 4


def test_new_ones_go_before_those_that_were_told() -> None:
    pacer = Pacer(Pace(rate=2, burst=2))
    pacer.own(A)
    assert pacer.take(0) == Telling(A, is_repeat=False)
    pacer.own(B)  # by 1 s, the bucket is full again and both are due
    assert pacer.take(1) == Telling(B, is_repeat=False)


def test_who_was_told_less_often_goes_before_who_waits_longer() -> None:
    pacer = Pacer(Pace(rate=1e6, burst=1000, pauses=(1.0, 1.0), repeat_seconds=1))
    pacer.own(A)
    assert [telling.address for _, telling in told(pacer, 0, 1.2)] == [A, A]  # due again at 2
    pacer.own(B)
    assert pacer.take(1.5) == Telling(B, is_repeat=False)  # due again at 2.5
    assert [pacer.take(3) for _ in range(2)] == [Telling(B, is_repeat=False), Telling(A, is_repeat=False)]


def test_what_is_given_up_is_not_told() -> None:
    pacer = Pacer(NO_BRAKE)
    for address in (A, B):
        pacer.own(address)
    told(pacer, 0, 1.5)
    pacer.own(C)
    pacer.disown(A)
    pacer.disown(C)
    assert {telling.address for _, telling in told(pacer, 1.5, 700)} == {B}
    pacer.disown(B)
    assert told(pacer, 700, 2000) == []


def test_what_is_taken_again_is_told_from_the_beginning() -> None:
    pacer = Pacer(NO_BRAKE)
    pacer.own(A)
    told(pacer, 0, 10)
    pacer.disown(A)
    pacer.own(A)
    assert times(told(pacer, 10, 20), A) == [10, 11, 12, 14]


def test_after_a_change_of_the_mac_everything_is_told_anew() -> None:
    pacer = Pacer(NO_BRAKE)
    pacer.own(A)
    told(pacer, 0, 20)
    pacer.own(B)
    told(pacer, 20, 21.5)
    pacer.own(C)
    pacer.own_all_again()
    found = told(pacer, 22, 30)
    assert {address: times(found, address) for address in (A, B, C)} == {each: [22, 23, 24, 26] for each in (A, B, C)}


def test_what_a_long_stop_left_undone_is_not_made_up_for() -> None:
    pacer = Pacer(Pace(rate=1e6, burst=10_000, repeat_seconds=10))
    for number in range(100):
        pacer.own(bytes((10, 0, 0, number)))
    told(pacer, 0, 20)
    after = told(pacer, 5000, 5000)
    assert 1 <= len(after) <= 12  # ten a second


def test_the_first_of_a_round_is_not_told_right_after_the_last_that_it_was_fresh() -> None:
    pacer = Pacer(NO_BRAKE)
    pacer.own(A)
    told(pacer, 0, 5)
    pacer.disown(A)
    pacer.own(B)
    assert times(told(pacer, 5000, 5400), B) == [5000, 5001, 5002, 5004, 5304]


@pytest.mark.parametrize(
    "pace", [{"rate": 0}, {"burst": 1}, {"repeat_seconds": 0}, {"pauses": (1.0, -1.0)}, {"rate": math.nan}]
)
def test_a_pace_that_would_never_tell_or_never_rest_is_refused(pace: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(**pace)  # type: ignore[arg-type]


ADDRESSES = [bytes((10, 0, 0, number)) for number in range(6)] + [bytes((number,)) * 16 for number in range(6)]
steps = st.lists(
    st.tuples(
        st.sampled_from(("own", "disown", "again", "tell")),
        st.sampled_from(ADDRESSES),
        st.floats(0, 20, allow_nan=False),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(steps, st.floats(0.5, 50), st.integers(2, 20))
def test_whatever_happens_the_rate_is_kept_only_owned_ones_are_told_and_all_of_them(
    history: list[tuple[str, bytes, float]], rate: float, burst: int
) -> None:
    pacer = Pacer(Pace(rate=rate, burst=burst))
    owned: set[bytes] = set()
    sent: list[tuple[float, int]] = []
    now = 0.0
    for action, address, seconds in history:
        if action == "own" and address not in owned:
            owned.add(address)
            pacer.own(address)
        elif action == "disown":
            owned.discard(address)
            pacer.disown(address)
        elif action == "again":
            pacer.own_all_again()
        else:
            found = told(pacer, now, now + seconds)
            assert {telling.address for _, telling in found} <= owned
            sent += [(at, frames_of(telling.address)) for at, telling in found]
            now += seconds + 1e-6
    found = told(pacer, now, now + 400 + 100 / rate)
    assert {telling.address for _, telling in found} == owned
    sent += [(at, frames_of(telling.address)) for at, telling in found]
    for first in range(0, len(sent), 7):
        total = 0
        for at, count in sent[first:]:
            total += count
            assert total <= burst + (at - sent[first][0]) * rate + 1e-3
