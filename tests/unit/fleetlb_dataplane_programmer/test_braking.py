import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb.domain.virtual_servers import FailurePolicy
from fleetlb_dataplane_programmer.braking import WINDOW_SECONDS, Standing, step
from fleetlb_dataplane_programmer.health import Target

CLOSED = FailurePolicy.CLOSED


def _member(number: int) -> Target:
    return Target(f"10.0.0.{number}", 31000)


class Server:
    """A virtual server whose members fall and rise, and what is held of it after each."""

    def __init__(self, members: int, policy: FailurePolicy = FailurePolicy.OPEN) -> None:
        self.members = {_member(number) for number in range(members)}
        self.down: dict[Target, float] = {}
        self.now = 1000.0
        self.standing = Standing()
        self._policy = policy

    @property
    def up(self) -> set[Target]:
        return self.members - self.down.keys()

    @property
    def serving(self) -> set[Target]:
        return self.members - self.standing.out

    @property
    def out(self) -> set[int]:
        return {number for number in range(20) if _member(number) in self.standing.out}

    def fall(self, *numbers: int, since: float | None = None) -> Standing:
        for number in numbers:
            self.down.setdefault(_member(number), self.now if since is None else since)
        return self.step()

    def rise(self, *numbers: int) -> Standing:
        for number in numbers:
            self.down.pop(_member(number), None)
        return self.step()

    def wish(self, *numbers: int) -> Standing:
        self.members = {_member(number) for number in numbers}
        self.down = {target: since for target, since in self.down.items() if target in self.members}
        return self.step()

    def step(self) -> Standing:
        self.standing = step(self.standing, len(self.up), self.down, self.now, self._policy)
        return self.standing


def test_one_of_three_that_falls_is_out_until_it_rises() -> None:
    server = Server(3)
    server.fall(1)
    assert (server.out, server.standing.brake) == ({1}, False)
    assert server.rise(1) == Standing()


def test_half_may_fall_at_once() -> None:
    server = Server(4)
    server.fall(0, 1)
    assert (server.out, server.standing.brake) == ({0, 1}, False)


def test_more_than_half_at_once_are_all_kept_also_those_that_were_out_already() -> None:
    server = Server(4)
    for number in (0, 1, 2):
        server.fall(number)
        server.now += 1.0
    assert server.standing == Standing(brake=True)


def test_what_fell_before_the_window_stays_out_when_the_brake_engages() -> None:
    server = Server(4)
    server.fall(0)
    server.now += WINDOW_SECONDS
    server.fall(1, 2)
    assert (server.out, server.standing.brake) == ({0}, True)


def test_the_only_member_is_kept() -> None:
    server = Server(1)
    assert server.fall(0) == Standing(brake=True)
    assert server.rise(0) == Standing()


def test_of_two_that_fall_one_after_the_other_the_last_is_kept() -> None:
    server = Server(2)
    server.fall(0)
    server.now += WINDOW_SECONDS
    server.fall(1)
    assert (server.out, server.standing.brake) == ({0}, True)
    server.rise(0)
    assert (server.out, server.standing.brake) == ({1}, False)


def test_the_brake_is_released_when_half_of_the_set_that_serves_is_up_again() -> None:
    server = Server(4)
    server.fall(0, 1, 2, 3)
    server.now += 100.0
    server.rise(0)
    assert server.standing == Standing(brake=True)
    server.rise(1)
    assert (server.out, server.standing.brake) == ({2, 3}, False)


def test_those_that_were_out_before_the_brake_do_not_hold_it() -> None:
    server = Server(6)
    for number in (3, 4, 5):
        server.fall(number)
        server.now += WINDOW_SECONDS
    server.fall(0, 1)
    assert server.standing.brake
    server.rise(1)
    assert (server.out, server.standing.brake) == ({0, 3, 4, 5}, False)


def test_time_alone_changes_nothing() -> None:
    server = Server(4)
    braked = server.fall(0, 1, 2)
    server.now += 1000.0
    assert server.step() == braked


def test_what_falls_under_the_brake_is_kept_too() -> None:
    server = Server(4)
    server.fall(0, 1, 2)
    server.now += 1000.0
    assert server.fall(3) == Standing(brake=True)


def test_a_wish_without_the_dead_releases_the_brake() -> None:
    server = Server(4)
    server.fall(0, 1, 2)
    assert server.wish(2, 3) == Standing(frozenset({_member(2)}))
    assert server.wish() == Standing()


def test_when_a_wish_leaves_only_those_that_are_out_they_serve() -> None:
    server = Server(4)
    server.fall(0, 1)
    server.now += 100.0
    assert server.wish(0, 1) == Standing(brake=True)


def test_when_a_wish_takes_away_those_that_were_kept_the_others_serve() -> None:
    server = Server(2)
    server.fall(0)
    server.now += WINDOW_SECONDS
    server.fall(1)
    assert server.wish(0) == Standing(brake=True)


def test_members_found_dead_at_the_start_are_out_however_many_as_long_as_one_is_up() -> None:
    server = Server(4)
    server.fall(0, 1, 2, since=-math.inf)
    assert (server.out, server.standing.brake) == ({0, 1, 2}, False)
    server = Server(4)
    assert server.fall(0, 1, 2, 3, since=-math.inf) == Standing(brake=True)


def test_a_closed_policy_drains_everybody_and_knows_no_brake() -> None:
    server = Server(3, CLOSED)
    server.fall(0, 1, 2)
    assert (server.out, server.standing.brake) == ({0, 1, 2}, False)
    server.rise(1)
    assert server.out == {0, 2}


KINDS = st.sampled_from(["fall", "fall", "rise", "wish"])
EVENTS = st.lists(st.tuples(st.floats(0.0, 2 * WINDOW_SECONDS), KINDS, st.sets(st.integers(0, 7))), max_size=30)


@settings(max_examples=500)
@given(members=st.integers(1, 8), events=EVENTS)
def test_what_holds_whatever_happens(members: int, events: list[tuple[float, str, set[int]]]) -> None:
    server = Server(members)
    for seconds, event, numbers in events:
        server.now += seconds
        served = server.serving
        if event == "wish":
            server.wish(*numbers)
        else:
            getattr(server, event)(*(number for number in numbers if _member(number) in server.members))
        assert server.up <= server.serving, "what is up serves"
        assert server.serving or not server.members, "somebody serves"
        if event != "wish":
            assert len(served - server.serving) <= len(server.up), "no more is drained at once than remains"
        recent = {target for target in server.standing.out if server.now - server.down[target] < WINDOW_SECONDS}
        assert len(recent) <= len(server.up), "also when it comes bit by bit"
        assert server.standing.brake or server.serving == server.up, "without the brake, exactly what is up serves"
        assert not server.standing.brake or len(server.serving - server.up) > len(server.up), "no brake without need"
        assert server.step() == server.standing, "the same once more changes nothing"


@settings(max_examples=300)
@given(
    members=st.integers(1, 8),
    before=st.sets(st.integers(0, 7)),
    changes=st.sets(st.integers(0, 7), min_size=1),
    chance=st.randoms(use_true_random=False),
)
def test_within_the_window_the_order_is_of_no_matter(
    members: int, before: set[int], changes: set[int], chance: random.Random
) -> None:
    """Everybody falls, or rises if it was down before, in some order and time within one window."""
    ends = []
    for _ in range(3):
        server = Server(members)
        for number in before & set(range(members)):
            server.fall(number)
            server.now += WINDOW_SECONDS
        began, was_braked = server.now, server.standing.brake
        order = [number for number in changes if number < members]
        chance.shuffle(order)
        for number, at in zip(order, sorted(chance.random() for _ in order), strict=True):
            server.now = began + at * WINDOW_SECONDS * 0.99
            (server.rise if _member(number) in server.down else server.fall)(number)
        ends.append(server.standing)
        if was_braked:
            return  # it begins in the middle of a failure
    assert len(set(ends)) == 1


@settings(max_examples=200)
@given(members=st.integers(2, 8), chance=st.randoms(use_true_random=False))
def test_gradual_failures_leave_exactly_the_healthy_ones(members: int, chance: random.Random) -> None:
    server = Server(members)
    order = list(range(members))
    chance.shuffle(order)
    for number in order[:-1]:
        server.fall(number)
        assert not server.standing.brake
        assert server.serving == server.up
        server.now += WINDOW_SECONDS


@settings(max_examples=200)
@given(members=st.integers(1, 8), events=EVENTS)
def test_when_it_is_over_all_serve_again(members: int, events: list[tuple[float, str, set[int]]]) -> None:
    server = Server(members)
    for seconds, event, numbers in events:
        server.now += seconds
        getattr(server, event if event != "wish" else "fall")(*(number for number in numbers if number < members))
    assert server.rise(*range(members)) == Standing()


@pytest.mark.parametrize("policy", list(FailurePolicy))
def test_without_members_there_is_nothing_to_brake(policy: FailurePolicy) -> None:
    assert step(Standing(brake=True), 0, {}, 0.0, policy) == Standing()
