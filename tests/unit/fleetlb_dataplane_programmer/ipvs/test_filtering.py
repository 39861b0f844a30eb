"""What is written to nftables for guards and pools, that nothing else can be, and what is read back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.ipvs import filter_table
from fleetlb_dataplane_programmer.ipvs.filtering import (
    EXPECTED,
    POOLS,
    Element,
    Guard,
    Listing,
    by_owner,
    differs,
    elements,
    guard_elements,
    guard_of,
    known,
    owner_of,
    pool_elements,
    read_listing,
    render_change,
    render_table,
)

KEY = parse_key("10.77.0.1:443/tcp")
HOSTILE = [
    "0.0.0.0/0 } ; flush ruleset",
    '10.0.0.0/8"}}]}',
    "10.0.0.0/8\nflush ruleset",
    "$(reboot)",
    "@pools4",
    "10.0.0.1-10.0.0.9",
    "10.0.0.0/8, 11.0.0.0/8",
    "fe80::1%eth0",
    "",
    "\0",
    "１０.0.0.0/8",
]


def texts(found: frozenset[Element]) -> dict[str, list[str]]:
    names = sorted({element.set for element in found})
    return {name: sorted(element.text for element in found if element.set == name) for name in names}


def listed(objects: list[dict[str, Any]], **contents: list[Any]) -> str:
    """As nft lists a table: with handles, counts, and these elements in these sets."""
    entries: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]
    for handle, thing in enumerate(objects, start=1):
        ((kind, body),) = thing.items()
        more: dict[str, Any] = {"handle": handle} | ({"packets": 3, "bytes": 180} if kind == "counter" else {})
        if kind == "set" and body["name"] in contents:
            more["elem"] = contents[body["name"]]
        entries.append({kind: body | more})
    return json.dumps({"nftables": entries})


def commands(script: str) -> list[tuple[str, str, list[Any]]]:
    """Verb, set and elements of each command that changes elements."""
    found = []
    for command in json.loads(script)["nftables"]:
        ((verb, thing),) = command.items()
        if "element" in thing:
            assert (thing["element"]["family"], thing["element"]["table"]) == ("inet", "fleetlb")
            found.append((verb, thing["element"]["name"], thing["element"]["elem"]))
    return found


def test_a_guard_admits_its_ranges_to_its_port() -> None:
    assert texts(guard_elements(Guard(KEY, ("192.0.2.0/24", "198.51.100.7/32")))) == {
        "admitted_tcp4": ["10.77.0.1 . 443 . 192.0.2.0/24", "10.77.0.1 . 443 . 198.51.100.7"],
        "guarded4": ["10.77.0.1 . 6 . 443"],
    }
    assert texts(guard_elements(Guard(parse_key("[fd77::1]:53/udp"), ("2001:db8::/32", "0.0.0.0/0")))) == {
        "admitted_udp6": ["fd77::1 . 53 . 2001:db8::/32"],
        "guarded6": ["fd77::1 . 17 . 53"],
    }
    assert texts(guard_elements(Guard(parse_key("[fd77::1]:9/sctp"), ()))) == {"guarded6": ["fd77::1 . 132 . 9"]}


def test_ranges_that_overlap_or_touch_become_one() -> None:
    ranges = ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/25", "192.0.2.128/25", "10.0.0.0/8")
    assert texts(guard_elements(Guard(KEY, ranges)))["admitted_tcp4"] == [
        "10.77.0.1 . 443 . 10.0.0.0/8",
        "10.77.0.1 . 443 . 192.0.2.0/24",
    ]


def test_pools_that_lie_in_others_are_left_out_and_neighbours_stay_apart() -> None:
    prefixes = [
        "10.77.3.0/24",
        "10.77.0.0/16",
        "10.78.0.0/32",
        "10.78.0.1/32",
        "fd77::/64",
        "fd77::1/128",
        "10.77.0.0/16",
    ]
    assert texts(pool_elements(prefixes)) == {
        "pools4": ["10.77.0.0/16", "10.78.0.0", "10.78.0.1"],
        "pools6": ["fd77::/64"],
    }


def test_a_virtual_server_without_ranges_has_no_guard() -> None:
    server = a_virtual_server("10.77.0.1:443/tcp")
    assert guard_of(server) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_but_networks_and_addresses_gets_into_a_script(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CIDR"):
        Guard(KEY, ("192.0.2.0/24", text))
    with pytest.raises(ValueError, match="is not a CIDR"):
        pool_elements([text])
    with pytest.raises(ValueError, match=r"is not an IP address|mapped or zoned"):
        Guard(VirtualServerKey(text, 443, Protocol.TCP), ())


@pytest.mark.parametrize("port", [0, -1, 65536, "80; flush ruleset", None, 80.5])
def test_nothing_but_a_port_gets_into_a_script(port: Any) -> None:
    with pytest.raises(ValueError, match="source ranges need a port"):
        Guard(VirtualServerKey("10.77.0.1", port, Protocol.TCP), ())


@pytest.mark.parametrize("protocol", ["tcp", "ICMP", "TCP }", "", None])
def test_nothing_but_a_known_protocol_gets_into_a_script(protocol: Any) -> None:
    with pytest.raises(ValueError, match="TCP, UDP or SCTP"):
        Guard(VirtualServerKey("10.77.0.1", 80, protocol), ())


@given(st.text(max_size=40))
def test_any_text_is_refused_or_an_address(text: str) -> None:
    try:
        script = render_table(elements([text], [Guard(KEY, (text,))]))
    except ValueError:
        return
    plain = set("0123456789abcdef:.")
    for _, _, members in commands(script):
        for member in members:
            for atom in [member] if isinstance(member, str) else member.get("concat", [member]):
                address = atom["prefix"]["addr"] if isinstance(atom, dict) else str(atom)
                assert set(address) <= plain


def test_a_whole_table_is_one_transaction_on_our_table_alone() -> None:
    wanted = elements(["10.77.0.0/16"], [Guard(KEY, ("192.0.2.0/24",))])
    script = json.loads(render_table(wanted))["nftables"]
    table = {"table": {"family": "inet", "name": "fleetlb"}}
    assert script[:3] == [{"add": table}, {"delete": table}, {"add": table}]
    for command in script[3:]:
        ((verb, thing),) = command.items()
        ((_, body),) = thing.items()
        assert (verb, body["family"], body["table"]) == ("add", "inet", "fleetlb")
    assert commands(render_table(wanted)) == [
        ("add", "admitted_tcp4", [{"concat": ["10.77.0.1", 443, {"prefix": {"addr": "192.0.2.0", "len": 24}}]}]),
        ("add", "guarded4", [{"concat": ["10.77.0.1", 6, 443]}]),
        ("add", "pools4", [{"prefix": {"addr": "10.77.0.0", "len": 16}}]),
    ]


def test_a_change_is_what_changed_with_removals_first() -> None:
    before, after = (
        guard_elements(Guard(KEY, ranges))
        for ranges in (("10.0.0.0/8", "192.0.2.0/24"), ("10.1.0.0/16", "192.0.2.0/24"))
    )
    assert commands(render_change(before, after)) == [
        ("delete", "admitted_tcp4", [{"concat": ["10.77.0.1", 443, {"prefix": {"addr": "10.0.0.0", "len": 8}}]}]),
        ("add", "admitted_tcp4", [{"concat": ["10.77.0.1", 443, {"prefix": {"addr": "10.1.0.0", "len": 16}}]}]),
    ]
    assert render_change(before, before) == ""


def test_the_end_of_a_guard_takes_its_admissions_along() -> None:
    gone = render_change(guard_elements(Guard(KEY, ("10.0.0.0/8",))), frozenset())
    assert [(verb, name) for verb, name, _ in commands(gone)] == [("delete", "admitted_tcp4"), ("delete", "guarded4")]


def test_what_is_written_is_read_back_as_right() -> None:
    wanted = elements(["10.77.0.0/16", "::192.0.2.0/120"], [Guard(KEY, ("192.0.2.0/24", "198.51.100.1/32"))])
    listing = read_listing(
        listed(
            filter_table.shape(),
            pools4=[{"prefix": {"addr": "10.77.0.0", "len": 16}}],
            pools6=[{"prefix": {"addr": "::192.0.2.0", "len": 120}}],
            guarded4=[{"concat": ["10.77.0.1", 6, 443]}],
            admitted_tcp4=[
                {"concat": ["10.77.0.1", 443, "198.51.100.1"]},
                {"concat": ["10.77.0.1", 443, {"prefix": {"addr": "192.0.2.0", "len": 24}}]},
            ],
        )
    )
    assert listing == Listing(EXPECTED, wanted, refused_packets=3)
    assert differs(wanted, listing) is None


@pytest.mark.parametrize(
    "member",
    [
        {"prefix": {"addr": "10.99.0.0", "len": 16}},
        {"range": ["10.99.0.1", "10.99.0.7"]},
        "10.99.0.1",
    ],
)
def test_an_element_too_many_is_removed_as_it_is_listed(member: Any) -> None:
    repair = differs(frozenset(), read_listing(listed(filter_table.shape(), pools4=[member])))
    assert repair is not None
    assert repair.size == 1
    assert commands(repair.script) == [("delete", "pools4", [member])]


def test_a_missing_element_is_all_that_is_written() -> None:
    wanted = elements(["10.77.0.0/16"], [])
    repair = differs(wanted, Listing(EXPECTED))
    assert repair is not None
    assert json.loads(repair.script) == json.loads(render_change(frozenset(), wanted))


@pytest.mark.parametrize(
    "damage",
    [
        lambda objects: objects[:-1],
        lambda objects: [*objects, objects[-1]],
        lambda objects: [*objects[:-2], objects[-1], objects[-2]],
        lambda objects: [filter_table.named("table", name="fleetlb", flags=["dormant"]), *objects[1:]],
        lambda objects: [],
    ],
    ids=["a rule gone", "a rule more", "rules swapped", "table asleep", "no table"],
)
def test_another_shape_has_the_whole_table_replaced(damage: Any) -> None:
    objects = filter_table.shape()
    objects.sort(key=lambda thing: thing.get("rule", {}).get("chain") == "admission")  # the last two are of one chain
    wanted = elements(["10.77.0.0/16"], [])
    assert differs(wanted, read_listing(listed(objects))) is not None
    repair = differs(wanted, read_listing(listed(damage(objects))))
    assert repair is not None
    assert (repair.script, repair.size) == (render_table(wanted), 1)


def test_another_nfts_spelling_of_our_table_can_be_learned() -> None:
    text = listed(filter_table.shape()).replace('"flags": "fully-random"', '"flags": ["fully-random"]')
    listing = read_listing(text)
    assert differs(frozenset(), listing) is not None
    assert differs(frozenset(), listing, listing.shape) is None


@pytest.mark.parametrize(
    "member", ["friends", {"elem": {"val": "10.0.0.1", "comment": "x"}}, {"concat": ["10.77.0.1", "https"]}]
)
def test_an_element_that_cannot_be_ours_has_the_whole_table_replaced(member: Any) -> None:
    listing = read_listing(listed(filter_table.shape(), pools4=[member]))
    assert known(listing.elements) == frozenset()
    repair = differs(frozenset(), listing)
    assert repair is not None
    assert repair.script == render_table(frozenset())


@pytest.mark.parametrize(
    "text", ["", "{}", '{"nftables": [3]}', '{"nftables": [{"set": {"elem": [1]}}]}', "Error: no", "[]"]
)
def test_what_is_no_listing_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="nft's listing cannot be read"):
        read_listing(text)


def test_elements_that_were_read_find_their_owner() -> None:
    guards = [
        Guard(KEY, ("192.0.2.0/24", "198.51.100.0/24")),
        Guard(parse_key("10.77.0.1:443/udp"), ("192.0.2.0/24",)),
        Guard(parse_key("[fd77::1]:443/sctp"), ()),
    ]
    held = elements(["10.77.0.0/16", "fd77::/64"], guards)
    assert by_owner(held) == {
        POOLS: pool_elements(["10.77.0.0/16", "fd77::/64"]),
        **{owner_of(guard.key): guard_elements(guard) for guard in guards},
    }
    strange = Element("admitted_tcp4", "10.0.0.1 . 80")
    assert by_owner([strange]) == {strange: frozenset([strange])}
    assert known([strange, Element("mine", "10.0.0.1")]) == frozenset()
