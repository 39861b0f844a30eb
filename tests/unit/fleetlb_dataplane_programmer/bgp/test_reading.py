"""Answers of a real BIRD 2.0.12, shortened, read back."""

import pytest

from fleetlb_dataplane_programmer.bgp.control import parse_reply
from fleetlb_dataplane_programmer.bgp.reading import Session, parse_count, parse_networks, parse_sessions

PROTOCOLS = """\
2002-Name       Proto      Table      State  Since         Info
1002-fleetlb_static_ipv4 Static     fleetlb_ipv4 up     03:10:21.468
1006-  Channel ipv4
     Routes:         2 imported, 0 exported, 2 preferred

1002-fleetlb_to_tor_1 BGP        ---        up     03:24:01.495  Established
1006-  Router ID:      10.10.1.1
   BGP state:          Established
     Neighbor address: 10.10.1.254
   Channel ipv4
     State:          UP
     Export limit:   3
       Action:       block
     Routes:         0 imported, 3 exported, 0 preferred
   Channel ipv6
     State:          UP
     Routes:         0 imported, 1 exported, 0 preferred

1002-fleetlb_to_tor_2 BGP        ---        start  2026-11-30 03:10:21  Idle          BGP Error: Bad peer AS
1006-  Router ID:      10.0.0.7
   BGP state:          Idle
     Error wait:       0.5/1
     Last error:       BGP Error: Bad peer AS
1002-fleetlb_to_tor_3 BGP        ---        start  03:10:21.468  Active        Socket: No route to host
1006-  BGP state:          Active
1002-fleetlb_to_tor_4 BGP        ---        down   03:10:21.468
1006-
1002-fleetlb_to_tor_5 BGP        ---        start  03:10:21.468  Connect
1006-  BGP state:          Connect
     Last error:       Socket: Connection closed
0000
"""


def reply(text: str) -> list[Session]:
    return parse_sessions(parse_reply(row for row in text.splitlines() if row))


def test_sessions() -> None:
    assert reply(PROTOCOLS) == [
        Session(protocol="fleetlb_to_tor_1", state="Established", since="03:24:01.495", advertised=4, is_limited=True),
        Session(
            protocol="fleetlb_to_tor_2",
            state="Idle",
            since="2026-11-30 03:10:21",
            problem="BGP Error: Bad peer AS",
        ),
        Session(protocol="fleetlb_to_tor_3", state="Active", since="03:10:21.468", problem="Socket: No route to host"),
        Session(protocol="fleetlb_to_tor_4", state="Down", since="03:10:21.468"),
        Session(
            protocol="fleetlb_to_tor_5", state="Connect", since="03:10:21.468", problem="Socket: Connection closed"
        ),
    ]


def test_only_what_stands_is_up() -> None:
    assert [session.is_up for session in reply(PROTOCOLS)] == [True, False, False, False, False]


def test_a_problem_of_the_past_is_none() -> None:
    text = PROTOCOLS.replace("Neighbor address: 10.10.1.254", "Last error: Socket: Connection closed")
    assert reply(text)[0].problem == ""


@pytest.mark.parametrize(("limit", "is_limited"), [("3 [HIT]", True), ("4", False), ("x", False)])
def test_a_limit_that_is_reached(limit: str, is_limited: bool) -> None:
    assert reply(PROTOCOLS.replace("limit:   3", f"limit:   {limit}"))[0].is_limited is is_limited


def test_of_a_line_that_was_cut_nothing_is_made_up() -> None:
    assert reply("1002-a BGP --- start\n0000 \n") == [Session(protocol="a")]
    assert reply("1002-a BGP\n0000 \n") == []


@pytest.mark.parametrize("code", ["1007", "0014"])
def test_counts(code: str) -> None:
    end = "\n0000 " if code == "1007" else ""
    dash = "-" if end else " "
    text = f"{code}{dash}2 of 3 routes for 4 networks in table fleetlb_ipv4{end}"
    assert parse_count(parse_reply(text.splitlines())) == 2


def test_what_is_no_count_is_not_read() -> None:
    with pytest.raises(ValueError, match="no count"):
        parse_count(parse_reply(["0000 nothing"]))


def test_networks() -> None:
    rows = [
        "1007-Table fleetlb_ipv4:",
        " 10.77.0.2/32         blackhole [fleetlb_static_ipv4 03:10:21.468] * (200)",
        "1008-\tType: static univ",
        "1007-fd77::1/128          blackhole [fleetlb_static_ipv6 03:10:21.468] * (200)",
        "0000 ",
    ]
    assert parse_networks(parse_reply(rows)) == {"10.77.0.2/32", "fd77::1/128"}
