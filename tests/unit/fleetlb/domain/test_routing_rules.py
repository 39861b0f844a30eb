"""Everything that is wrong is told at once, with the field and the cure."""

from typing import Any

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes
from fleetlb.domain.routing_rules import parse_community, problems_of, problems_of_attributes


def peer(**fields: Any) -> BgpPeer:
    return BgpPeer(**{"name": "tor-1", "address": "10.0.0.254", "asn": 65000, **fields})


def speaking(*peers: BgpPeer, **fields: Any) -> BgpSpeaking:
    return BgpSpeaking(**{"asn": 4200000001, "peers": peers or (peer(),), **fields})


@pytest.mark.parametrize(
    "fine",
    [
        speaking(),
        speaking(peer(), peer(name="tor-2", address="10.0.0.253")),
        speaking(peer(nodes=("node-1",)), peer(name="tor-2", nodes=("node-2",))),
        speaking(peer(address="fd00::1", families=(Family.IPV4, Family.IPV6))),
        speaking(peer(source_address="10.0.0.1", nodes=("node-1",))),
        speaking(peer(hold_seconds=9), graceful_restart_seconds=9),
        speaking(peer(address="127.0.0.1")),
        speaking(peer(asn=4200000001), attributes=RouteAttributes(local_preference=1)),
        speaking(attributes=RouteAttributes(communities=("65535:65281", "1:2:3"), peers=("tor-1",))),
    ],
)
def test_what_makes_sense_is_let_be(fine: BgpSpeaking) -> None:
    assert problems_of(fine, ["node-1", "node-2"]) == []


@pytest.mark.parametrize(
    ("wrong", "field", "cure"),
    [
        (speaking(asn=23456), "asn: 23456", "the network's operator assigned"),
        (speaking(asn=65535), "asn: 65535", "the network's operator assigned"),
        (speaking(peer(asn=65535)), "peers[tor-1].asn: 65535", "the network's operator assigned"),
        (speaking(peer(), peer(address="10.0.0.253")), "peers: two are named 'tor-1'", "a name of its own"),
        (speaking(peer(), peer(name="tor-2")), "peers[tor-1].address and peers[tor-2].address", "name different nodes"),
        (
            speaking(peer(address="fd00::1"), peer(name="tor-2", address="fd00:0::1", nodes=("node-1",))),
            "peers[tor-1].address and peers[tor-2].address",
            "name different nodes",
        ),
        (speaking(peer(address="10.0.0")), "peers[tor-1].address: '10.0.0'", "the router's address on the node's link"),
        (speaking(peer(address="0.0.0.0")), "peers[tor-1].address: 0.0.0.0", "the one that the session has"),
        (speaking(peer(address="224.0.0.5")), "peers[tor-1].address: 224.0.0.5", "the one that the session has"),
        (speaking(peer(address="fe80::1")), "peers[tor-1].address: fe80::1", "an address that holds everywhere"),
        (
            speaking(peer(source_address="x", nodes=("node-1",))),
            "peers[tor-1].sourceAddress: 'x'",
            "give one of the node",
        ),
        (
            speaking(peer(source_address="fd00::1", nodes=("node-1",))),
            "peers[tor-1].sourceAddress: fd00::1 is of another family",
            "give one of the same",
        ),
        (
            speaking(peer(source_address="::", address="fd00::1", nodes=("node-1",))),
            "peers[tor-1].sourceAddress: ::",
            "the one that the session has",
        ),
        (speaking(peer(source_address="10.0.0.1")), "peers[tor-1].sourceAddress is", "in peers[tor-1].nodes"),
        (speaking(peer(families=(Family.IPV6,))), "peers[tor-1].families: IPv6", "add a peer with an IPv6 address"),
        (speaking(peer(families=(Family.IPV4,) * 2)), "peers[tor-1].families names one twice", "each once"),
        (
            speaking(peer(hold_seconds=9), graceful_restart_seconds=10),
            "gracefulRestartSeconds: 10 is longer than peers[tor-1].holdSeconds, 9",
            "make it no longer",
        ),
        (speaking(peer(nodes=("node-3",))), "peers[tor-1].nodes: 'node-3'", "name one of node-1, node-2"),
        (
            speaking(attributes=RouteAttributes(communities=("65536:1",))),
            "attributes.communities: '65536:1'",
            "write A:B",
        ),
        (
            speaking(attributes=RouteAttributes(peers=("tor-9",))),
            "attributes.peers: there is no peer 'tor-9'",
            "one of tor-1",
        ),
        (
            speaking(attributes=RouteAttributes(local_preference=0)),
            "attributes.localPreference",
            "leave it out",
        ),
    ],
)
def test_each_problem_names_the_field_and_the_cure(wrong: BgpSpeaking, field: str, cure: str) -> None:
    [problem] = problems_of(wrong, ["node-1", "node-2"])
    assert problem.startswith(field)
    assert cure in problem


def test_all_problems_are_told_together() -> None:
    wrong = speaking(peer(asn=65535, address="x", source_address="y"), peer(address="fe80::1"), asn=23456)
    assert len(problems_of(wrong)) == 5


def test_nodes_that_are_not_known_are_not_judged() -> None:
    assert problems_of(speaking(peer(nodes=("node-3",)))) == []


def test_attributes_of_a_pool_are_named_by_their_own_field() -> None:
    [problem] = problems_of_attributes("spec.bgp", RouteAttributes(communities=("1",)), speaking())
    assert problem.startswith("spec.bgp.communities: '1'")


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:", ":1", "1:2:3:4", "1:x", "65536:0", "0:65536", "1:2:4294967296", "-1:2", "١:2", "1:2 ", "1;2"],
)
def test_what_is_no_community_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is no community; write A:B"):
        parse_community(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0:0", (0, 0)), ("65535:65535", (65535, 65535)), ("4294967295:0:4294967295", (2**32 - 1, 0, 2**32 - 1))],
)
def test_communities_have_two_numbers_of_16_bits_or_three_of_32(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_community(text) == numbers
