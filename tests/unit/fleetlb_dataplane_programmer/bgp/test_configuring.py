"""The text for BIRD: complete, always the same, and closed to whatever strings there are."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes
from fleetlb_dataplane_programmer.bgp.configuring import (
    Route,
    check_password,
    host_route,
    line_of,
    parse_routes,
    routes_text,
    session_of,
    sessions_text,
)

NONE = RouteAttributes()


def peer(**fields: Any) -> BgpPeer:
    return BgpPeer(**{"name": "tor-1", "address": "10.0.0.254", "asn": 65000, **fields})


def text_of(*peers: BgpPeer, node: str = "node-1", passwords: dict[str, str] | None = None, **fields: Any) -> str:
    return sessions_text(
        BgpSpeaking(**{"asn": 4200000001, "peers": peers, **fields}), node, "10.0.0.1", passwords or {}
    )


def test_sessions() -> None:
    assert text_of(peer()) == (
        "# Written by fleetlb, which undoes what others change here.\n"
        "ipv4 table fleetlb_ipv4;\n"
        "ipv6 table fleetlb_ipv6;\n"
        "attribute lclist fleetlb_audience;\n"
        'include "fleetlb-routes.inc";\n'
        "filter fleetlb_to_tor_1_out {\n"
        '  if proto != "fleetlb_static_ipv4" && proto != "fleetlb_static_ipv6" then reject;\n'
        "  if defined(fleetlb_audience) then"
        " { if !((778944640, 2063806871, 1661976271) ~ fleetlb_audience) then reject; }\n"
        "  accept;\n"
        "}\n"
        "protocol bgp fleetlb_to_tor_1 {\n"
        "  router id 10.0.0.1;\n"
        "  local as 4200000001;\n"
        "  neighbor 10.0.0.254 port 179 as 65000;\n"
        "  direct;\n"
        "  ttl security off;\n"
        "  hold time 90;\n"
        "  keepalive time 30;\n"
        "  connect delay time 5;\n"
        "  connect retry time 10;\n"
        "  error wait time 10, 60;\n"
        "  graceful restart off;\n"
        "  bfd off;\n"
        "  ipv4 { table fleetlb_ipv4; import none; receive limit 1000 action block;"
        " export filter fleetlb_to_tor_1_out; next hop self; };\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"multihop": 3}, "  multihop 3;"),
        ({"address": "FD00:0::1"}, "  neighbor fd00::1 port 179 as 65000;"),
        ({"ttl_security": True}, "  ttl security on;"),
        ({"source_address": "10.0.0.1"}, "  local 10.0.0.1 as 4200000001;"),
        ({"port": 1179}, "  neighbor 10.0.0.254 port 1179 as 65000;"),
        ({"hold_seconds": 3}, "  keepalive time 1;"),
        ({"connect_retry_seconds": 120}, "  error wait time 120, 120;"),
        ({"bfd": True}, "  bfd on;"),
        ({"bfd": True}, "protocol bfd fleetlb_bfd {"),
        ({"password_file": "key"}, '  password "a b;}#";'),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_a_peer_asks_for_stands_in_its_session(fields: dict[str, Any], line: str) -> None:
    assert line in text_of(peer(**fields), passwords={"tor-1": "a b;}#"}).split("\n")


def test_channels_are_of_the_families_that_are_told() -> None:
    text = text_of(peer(address="fd00::1", families=(Family.IPV6, Family.IPV4), max_routes=7))
    limit = "export limit 7 action block; next hop self;"
    assert re.search(rf"  ipv4 {{ table fleetlb_ipv4; .* {limit} extended next hop on; }};\n", text)
    assert re.search(rf"  ipv6 {{ table fleetlb_ipv6; .* {limit} }};\n", text)


def test_graceful_restart_is_of_all_sessions() -> None:
    assert "  graceful restart on;\n  graceful restart time 9;\n" in text_of(peer(), graceful_restart_seconds=9)


def test_a_peer_without_its_password_is_left_out_and_the_others_are_not() -> None:
    text = text_of(peer(password_file="key", bfd=True), peer(name="tor-2", address="10.0.0.253"))
    assert re.findall("protocol bgp (.*) {", text) == ["fleetlb_to_tor_2"]
    assert "protocol bfd" not in text


def test_a_node_has_its_own_peers_in_one_order() -> None:
    peers = [peer(name=name, address=f"10.0.0.{n}") for n, name in enumerate("cab", start=1)]
    peers.append(peer(name="other", nodes=("node-2",)))
    text = text_of(*peers)
    assert text == text_of(*reversed(peers))
    assert re.findall("protocol bgp (.*) {", text) == ["fleetlb_to_a", "fleetlb_to_b", "fleetlb_to_c"]


def test_a_peer_more_changes_nothing_of_the_others() -> None:
    assert text_of(peer()).split("attribute")[1] in text_of(peer(), peer(name="zz")).split("attribute")[1]


def test_routes() -> None:
    lines = [
        line_of(host_route("fd77::1"), NONE),
        line_of(Route("10.77.0.10/32", RouteAttributes(communities=("1:2:3", "65000:1", "650:9"))), NONE),
        line_of(Route("10.77.0.9/32", RouteAttributes(local_preference=0)), NONE),
        line_of(Route("10.77.0.0/16", RouteAttributes(peers=("tor-1",))), NONE),
    ]
    expected = (
        "# Written by fleetlb, which undoes what others change here.\n"
        "protocol static fleetlb_static_ipv4 {\n"
        "  ipv4 { table fleetlb_ipv4; };\n"
        "  route 10.77.0.0/16 blackhole"
        " { fleetlb_audience = add(---empty---, (778944640, 2063806871, 1661976271)); };\n"
        "  route 10.77.0.9/32 blackhole { bgp_local_pref = 0; };\n"
        "  route 10.77.0.10/32 blackhole { bgp_community.add((650, 9)); bgp_community.add((65000, 1));"
        " bgp_large_community.add((1, 2, 3)); };\n"
        "}\n"
        "protocol static fleetlb_static_ipv6 {\n"
        "  ipv6 { table fleetlb_ipv6; };\n"
        "  route fd77::1/128 blackhole;\n"
        "}\n"
    )
    assert routes_text(lines) == routes_text(reversed(lines)) == expected


def test_a_route_has_what_the_group_says_unless_it_says_it_itself() -> None:
    default = RouteAttributes(communities=("1:1",), local_preference=7)
    text = line_of(Route("10.77.0.1/32", RouteAttributes(communities=("1:2",))), default).text
    assert text == "  route 10.77.0.1/32 blackhole { bgp_community.add((1, 2)); bgp_local_pref = 7; };"


def test_a_node_that_leaves_says_so_of_every_route() -> None:
    text = routes_text([line_of(host_route("10.77.0.1"), NONE)], is_leaving=True)
    rule = "import filter { bgp_community.add((65535, 0)); bgp_local_pref = 0; accept; };"
    assert text.count(rule) == 2
    assert parse_routes(text).is_leaving


texts = st.text(max_size=12) | st.sampled_from(
    ['";', "}", "\n", "a;b", "10.0.0.1;", "fd00::1}", "tor_1", "#", "1:2", "'"]
)
attributes = st.builds(
    RouteAttributes,
    communities=st.lists(texts | st.just("1:2:3"), max_size=2).map(tuple),
    local_preference=st.none() | st.integers(0, 2**32 - 1),
    peers=st.lists(texts | st.just("tor-1"), max_size=2).map(tuple),
)
networks = st.ip_addresses().map(str) | st.just("10.0.0.0/8") | texts

_NUMBER, _ADDRESS, _SYMBOL = r"\d+", r"[0-9a-f:.]+", r"fleetlb_[a-z0-9_]+"
_STATEMENT = (
    r"(bgp_(large_)?community\.add\(\([\d, ]+\)\);|bgp_local_pref = \d+;"
    r"|fleetlb_audience = [-add(), \d]*---empty---[-add(), \d]*;)"
)
ROUTE_LINES = re.compile(
    rf"#.*|protocol static {_SYMBOL} {{|  ipv[46] {{ table {_SYMBOL}; }};|}}"
    rf"|  route {_ADDRESS}/\d+ blackhole( {{ ({_STATEMENT} )+}})?;"
)
SESSION_LINES = re.compile(
    rf"#.*|ipv[46] table {_SYMBOL};|attribute lclist {_SYMBOL};|include \"fleetlb-routes.inc\";|}}|  accept;"
    rf"|filter {_SYMBOL} {{|  if [^#'\n;]*;( }})?|protocol (bgp|bfd) {_SYMBOL} {{|  router id {_ADDRESS};"
    rf"|  local ({_ADDRESS} )?as \d+;|  neighbor {_ADDRESS} port \d+ as \d+;|  (multihop \d+|direct);"
    rf"|  (ttl security|graceful restart|bfd) (on|off);|  password \"[ !#-~]+\";"
    rf"|  (hold|keepalive|connect delay|connect retry|graceful restart) time \d+;|  error wait time \d+, \d+;"
    rf"|  ipv[46] {{ [a-z0-9_ ;]+ }};"
)


@given(st.lists(st.builds(Route, networks, attributes), max_size=4))
def test_no_string_breaks_out_of_a_route_and_all_are_read_back(routes: list[Route]) -> None:
    lines = {}
    for route in routes:
        try:
            line = line_of(route, NONE)
        except ValueError:
            continue
        lines[line.text.split()[1]] = line
    text = routes_text(lines.values())
    assert text.endswith("}\n")
    assert all(ROUTE_LINES.fullmatch(row) for row in text[:-1].split("\n"))
    assert parse_routes(text).lines == lines


@given(
    st.builds(
        BgpPeer,
        name=texts | st.just("tor-1"),
        address=networks,
        asn=st.integers(1, 2**32 - 2),
        password_file=texts,
        source_address=networks | st.just(""),
        bfd=st.booleans(),
    ),
    texts | st.just("10.0.0.1"),
    texts | st.just("secret"),
)
def test_no_string_breaks_out_of_a_session(peer: BgpPeer, router_id: str, password: str) -> None:
    speaking = BgpSpeaking(asn=1, peers=(peer,))
    try:
        text = sessions_text(speaking, "node-1", router_id, {peer.name: password})
    except ValueError:
        return
    assert text.endswith("}\n")
    assert all(SESSION_LINES.fullmatch(row) for row in text[:-1].split("\n")), text


@pytest.mark.parametrize("name", ["", "a_b", "A", "a" * 41, "a;", "a\n", "-a"])
def test_what_is_no_name_of_a_peer_names_no_protocol(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a peer"):
        session_of(name)


def test_names_that_differ_name_protocols_that_differ() -> None:
    assert session_of("tor-1-a") == "fleetlb_to_tor_1_a"
    assert len(session_of("a" * 40) + "_out") <= 64, "BIRD takes no longer ones"


@pytest.mark.parametrize("text", ["", "a" * 81, 'a"b', "a\nb", "ä", "a\x00"])
def test_what_no_configuration_can_hold_is_no_password(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 80 printable ASCII"):
        check_password(text)


@pytest.mark.parametrize(
    "text",
    ["", "route 10.0.0.1/32 blackhole;", "  route 10.0.0.1/32 blackhole; evil;", "  route 10.0.0.1/99 blackhole;"],
)
def test_what_was_not_written_here_is_not_read_back(text: str) -> None:
    assert parse_routes(text).lines == {}
