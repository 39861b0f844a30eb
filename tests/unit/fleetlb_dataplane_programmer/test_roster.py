from collections.abc import Iterable

import pytest

from fleetlb.domain.virtual_servers import parse_key
from fleetlb_dataplane_programmer.health import HEALTHY, Doubt, Pulse, Target, beat, silenced
from fleetlb_dataplane_programmer.roster import LOOKED_AT, SUSPECTS, Roster, Watched

KEY, OTHER = parse_key("192.0.2.1:443/tcp"), parse_key("192.0.2.2:443/tcp")


def _roster(*targets: Target) -> Roster:
    roster = Roster()
    for target in targets:
        roster.add(target, KEY, HEALTHY, None)
        _found(roster, target).is_new = False
    return roster


def _found(roster: Roster, target: Target) -> Watched:
    watched = roster.find(target)
    assert watched is not None
    return watched


def _host(ports: int, address: str = "10.0.0.1") -> list[Target]:
    return [Target(address, port) for port in range(1, ports + 1)]


def _suspects(roster: Roster, fellows: Iterable[Target] = (), *, are_healthy: bool = True) -> list[Target]:
    return list(roster.suspects("10.0.0.1", fellows, are_healthy))


def test_a_target_stays_as_long_as_somebody_wants_it() -> None:
    (target,) = _host(1)
    roster = Roster()
    assert roster.add(target, KEY, HEALTHY, Doubt(1.0)) is True
    assert roster.add(target, OTHER, silenced(HEALTHY), None) is False
    assert (len(roster), _found(roster, target).users) == (1, (KEY, OTHER))
    assert roster.hosts["10.0.0.1"].doubt == Doubt(1.0)
    assert roster.remove(target, KEY) is None
    watched = roster.remove(target, OTHER)
    assert watched is not None
    assert watched.pulse == HEALTHY
    assert (len(roster), roster.find(target), roster.hosts) == (0, None, {})


def test_a_few_of_a_host_are_suspected_and_nobody_twice() -> None:
    roster = _roster(*_host(20), Target("10.0.0.2", 1))
    rounds = [_suspects(roster) for _ in range(4)]
    assert [len(suspects) for suspects in rounds] == [SUSPECTS, SUSPECTS, 4, 0]
    assert sorted(target for suspects in rounds for target in suspects) == _host(20)


def test_all_have_their_turn_however_many_they_are() -> None:
    targets = _host(10 * LOOKED_AT)
    roster = _roster(*targets)
    for target in targets[: 5 * LOOKED_AT]:
        _found(roster, target).pulse = silenced(HEALTHY)
    found: list[Target] = []
    for _ in range(100):
        found += _suspects(roster)
    assert sorted(found) == targets[5 * LOOKED_AT :]


@pytest.mark.parametrize(
    ("pulse", "are_healthy", "is_suspect"),
    [
        (HEALTHY, True, True),
        (HEALTHY, False, False),
        (beat(HEALTHY, False), True, False),
        (silenced(HEALTHY), True, False),
        (silenced(HEALTHY), False, True),
        (beat(silenced(HEALTHY), True), False, False),
    ],
)
def test_only_those_are_suspected_of_which_the_same_was_held(pulse: Pulse, are_healthy: bool, is_suspect: bool) -> None:
    (target,) = _host(1)
    roster = _roster(target)
    _found(roster, target).pulse = pulse
    assert _suspects(roster, are_healthy=are_healthy) == ([target] if is_suspect else [])


def test_a_new_one_is_about_to_be_checked_anyway() -> None:
    (target,) = _host(1)
    roster = _roster(target)
    _found(roster, target).is_new = True
    assert _suspects(roster) == []


def test_fellows_are_suspected_too_and_those_that_went_are_not() -> None:
    fellows = [Target(f"10.0.0.{number}", 1) for number in range(2, 20)]
    roster = _roster(Target("10.0.0.1", 1), *fellows)
    assert _suspects(roster, [Target("10.9.9.9", 1), *fellows]) == [Target("10.0.0.1", 1), *fellows[:SUSPECTS]]


def test_what_is_asked_and_what_is_dialled_at_one_port_are_two() -> None:
    dialled, asked = Target("10.0.0.1", 31000), Target("10.0.0.1", 31000, is_asked=True)
    roster = _roster(dialled, asked)
    assert len(roster) == 2
    assert roster.remove(asked, KEY) is not None
    assert (roster.find(asked), _found(roster, dialled).users) == (None, (KEY,))
