import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.virtual_servers import RealServer, parse_key
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.health import (
    FALL,
    HEALTHY,
    RISE,
    SILENT_PORTS,
    UNPROVEN,
    Doubt,
    Pulse,
    Target,
    beat,
    doubt_after,
    down_of,
    effective,
    members_of,
    silenced,
    takers,
    target_of,
    targets_of,
)


def _after(pulse: Pulse, checks: str) -> Pulse:
    """`+` for a connection taken, `-` for none."""
    for check in checks:
        pulse = beat(pulse, check == "+")
    return pulse


@pytest.mark.parametrize(
    ("checks", "is_healthy"),
    [
        ("", True),
        ("--", True),
        ("---", False),
        ("--+--+--", True),
        ("---+", False),
        ("---++", True),
        ("---+-+", False),
        ("---+-++", True),
        ("---++--", True),
    ],
)
def test_three_failures_in_a_row_fell_and_two_successes_raise(checks: str, is_healthy: bool) -> None:
    assert _after(HEALTHY, checks).is_healthy is is_healthy


@pytest.mark.parametrize(("checks", "is_healthy"), [("", True), ("-", False), ("+--", True), ("+---", False)])
def test_at_the_start_one_failure_is_enough_until_something_speaks_for_it(checks: str, is_healthy: bool) -> None:
    assert _after(UNPROVEN, checks).is_healthy is is_healthy


@given(st.text("+-"), st.sampled_from([HEALTHY, UNPROVEN]))
def test_no_state_turns_without_its_row(checks: str, pulse: Pulse) -> None:
    was, row = pulse, "-" * pulse.failures
    for check in checks:
        row = row + check if row[-1:] == check else check
        now = beat(was, check == "+")
        if was.is_healthy and not now.is_healthy:
            assert len(row) >= FALL
        if now.is_healthy and not was.is_healthy:
            assert len(row) >= RISE
        assert now.is_healthy or now.is_settled is (check == "-")
        was = now


def test_a_silenced_target_must_rise_like_any_other() -> None:
    dead = silenced(HEALTHY)
    assert not dead.is_healthy
    assert [_after(dead, checks).is_healthy for checks in ("+", "++")] == [False, True]
    assert silenced(_after(HEALTHY, "-" * 9)).failures == 9


def _doubted(*checks: tuple[int, float, bool], was: Pulse = HEALTHY) -> Doubt | None:
    """After checks of (port, began, heard) that took a second each."""
    doubt: Doubt | None = None
    for port, began, was_heard in checks:
        doubt = doubt_after(doubt, port, was, was_heard=was_heard, began=began, now=began + 1.0)
    return doubt


def _is_dead(*checks: tuple[int, float, bool], was: Pulse = HEALTHY) -> bool:
    doubt = _doubted(*checks, was=was)
    return doubt is not None and doubt.is_certain


def test_a_host_is_dead_when_others_keep_silent_that_were_asked_because_of_one() -> None:
    assert SILENT_PORTS == 3
    first = (1, 0.0, False)
    assert not _is_dead(first, (2, 1.0, False), (3, 1.0, False))
    assert _is_dead(first, (2, 1.0, False), (3, 1.0, False), (4, 1.0, False))


def test_ports_that_were_silent_together_by_chance_do_not_kill_their_host() -> None:
    assert not _is_dead(*((port, 0.0, False) for port in range(10)))


def test_one_port_alone_does_not_speak_for_its_host() -> None:
    assert not _is_dead(*((1, float(number), False) for number in range(10)))


@pytest.mark.parametrize("was", [beat(HEALTHY, False), silenced(HEALTHY)], ids=["failing", "unhealthy"])
def test_a_silence_that_surprises_nobody_begins_no_doubt(was: Pulse) -> None:
    assert _doubted(*((port, float(port), False) for port in range(10)), was=was) is None


def test_those_known_to_be_silent_prove_nothing() -> None:
    doubt = _doubted((1, 0.0, False))
    for port in range(2, 9):
        doubt = doubt_after(doubt, port, silenced(HEALTHY), was_heard=False, began=5.0, now=6.0)
    assert doubt == Doubt(1.0)


def test_any_sign_of_life_ends_the_doubt() -> None:
    silent = [(port, float(port), False) for port in (1, 2, 3)]
    assert not _is_dead(*silent, (9, 0.5, True), (4, 4.0, False))
    assert _doubted(*silent, (4, 4.0, False), (9, 5.0, True)) is None


def test_a_host_of_which_nothing_was_heard_at_the_start_is_doubted_from_the_beginning() -> None:
    doubt: Doubt | None = Doubt(0.0)
    for port in (1, 2, 3):
        doubt = doubt_after(doubt, port, UNPROVEN, was_heard=False, began=0.0, now=1.0)
    assert doubt is not None
    assert doubt.is_certain


SERVER = msgspec.structs.replace(
    a_virtual_server(),
    real_servers=(
        RealServer("10.0.0.1", 443, 5, check_port=31000),
        RealServer("10.0.0.2", 31000, 1),
        RealServer("10.0.0.3", 31000, 0),
    ),
)


def test_a_target_is_where_it_can_be_seen_that_a_real_server_lives() -> None:
    assert [target_of(real_server) for real_server in SERVER.real_servers] == [
        Target("10.0.0.1", 31000),
        Target("10.0.0.2", 31000),
        Target("10.0.0.3", 31000),
    ]


def test_those_that_drain_are_not_checked() -> None:
    assert targets_of(SERVER) == {Target("10.0.0.1", 31000), Target("10.0.0.2", 31000)}


DIALLED = {Target("10.0.0.1", 31000), Target("10.0.0.2", 31000)}
ASKED = {Target("10.0.0.1", 32000, is_asked=True), Target("10.0.0.2", 32000, is_asked=True)}


@pytest.mark.parametrize(("protocol", "dialled"), [("tcp", DIALLED), ("udp", set()), ("sctp", set())])
def test_ETP_4_nodes_with_a_health_check_port_are_asked_whatever_the_protocol(
    protocol: str, dialled: set[Target]
) -> None:
    key = parse_key(f"192.0.2.1:443/{protocol}")
    server = msgspec.structs.replace(SERVER, key=key, health_check_port=32000)
    assert targets_of(server) == dialled | ASKED
    assert members_of(server) == DIALLED
    assert targets_of(msgspec.structs.replace(server, health_check_port=0)) == dialled


def test_a_member_is_down_since_the_first_bad_opinion_of_it() -> None:
    server = msgspec.structs.replace(SERVER, health_check_port=32000)
    one, two = sorted(DIALLED)
    says_one, says_two = sorted(ASKED)
    assert down_of(server, {one: 5.0, says_one: 3.0, says_two: 7.0}, {}) == {one: 3.0, two: 7.0}
    assert down_of(server, {one: 5.0}, {one: 1.0, two: 1.0}) == {one: 1.0}
    assert down_of(server, {}, {one: 1.0}) == {}
    assert down_of(SERVER, {one: 5.0}, {}) == {one: 5.0}


@pytest.mark.parametrize("protocol", ["udp", "sctp"])
def test_an_unknown_protocol_has_no_check(protocol: str) -> None:
    assert targets_of(a_virtual_server(f"192.0.2.1:53/{protocol}")) == frozenset()


def test_who_is_out_has_weight_0_and_nothing_else_changes() -> None:
    serving = effective(SERVER, frozenset({Target("10.0.0.1", 31000)}))
    assert [real_server.weight for real_server in serving.real_servers] == [0, 1, 0]
    weights = [real_server.weight for real_server in SERVER.real_servers]
    again = (msgspec.structs.replace(one, weight=w) for one, w in zip(serving.real_servers, weights, strict=True))
    assert msgspec.structs.replace(serving, real_servers=tuple(again)) == SERVER
    assert (takers(SERVER), takers(serving)) == (2, 1)


def test_with_nobody_out_it_is_the_very_same() -> None:
    assert effective(SERVER, frozenset()) is SERVER
