"""What a group says by BGP, as values: read strictly, and spelled in one way."""

import msgspec
import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.routing import (
    BgpPeer,
    BgpSpeaking,
    RouteAttributes,
    RouterIdPolicy,
    router_id_of,
)

PEER = {"name": "tor-1", "address": "10.0.0.254", "asn": 65000}


def read(peer: dict[str, object], **fields: object) -> BgpSpeaking:
    return msgspec.convert({"asn": 4200000001, "peers": [{**PEER, **peer}], **fields}, BgpSpeaking)


def test_what_is_left_out_has_a_default_and_is_left_out_when_written() -> None:
    speaking = read({})
    assert speaking.peers[0].hold_seconds == 90
    assert msgspec.json.decode(msgspec.json.encode(speaking)) == {"asn": 4200000001, "peers": [PEER]}


def test_names_are_as_in_the_api() -> None:
    speaking = read(
        {"holdSeconds": 9, "connectRetrySeconds": 1, "passwordFile": "tor-1.key", "maxRoutes": 5, "ttlSecurity": True},
        gracefulRestartSeconds=9,
        routerId="NodeName",
        aggregate="Pool",
        attributes={"localPreference": 0, "communities": ["65000:1"]},
    )
    assert speaking.peers[0].password_file == "tor-1.key"
    assert speaking.attributes.local_preference == 0
    assert msgspec.convert(msgspec.to_builtins(speaking), BgpSpeaking) == speaking


@pytest.mark.parametrize(
    "peer",
    [
        {"name": "Tor"},
        {"name": "a_b"},
        {"name": "-a"},
        {"name": "a" * 41},
        {"name": 'a"b'},
        {"asn": 0},
        {"asn": 2**32 - 1},
        {"port": 0},
        {"holdSeconds": 2},
        {"passwordFile": "../shadow"},
        {"passwordFile": "a/b"},
        {"passwordFile": ".hidden"},
        {"multihop": 256},
        {"families": ["ipv4"]},
        {"address": "1" * 46},
    ],
    ids=str,
)
def test_what_no_peer_can_be_is_not_read(peer: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(peer)


@pytest.mark.parametrize("asn", [1, 65535, 65536, 2**32 - 2])
def test_an_asn_has_up_to_32_bits(asn: int) -> None:
    assert read({"asn": asn}, asn=asn).asn == asn


def test_without_a_peer_nothing_is_said() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"asn": 1, "peers": []}, BgpSpeaking)


def test_a_node_has_the_peers_that_name_it_or_nobody() -> None:
    peers = (
        BgpPeer(name="z", address="10.0.0.1", asn=1),
        BgpPeer(name="b", address="10.0.0.2", asn=1, nodes=("node-2",)),
        BgpPeer(name="a", address="10.0.0.3", asn=1, nodes=("node-1", "node-2")),
    )
    speaking = BgpSpeaking(asn=1, peers=peers)
    assert [peer.name for peer in speaking.peers_of("node-1")] == ["a", "z"]
    assert [peer.name for peer in speaking.peers_of("node-2")] == ["a", "b", "z"]
    assert [peer.name for peer in speaking.peers_of("node-3")] == ["z"]


@pytest.mark.parametrize(
    ("address", "families", "told"),
    [
        ("10.0.0.1", (), (Family.IPV4,)),
        ("fd00::1", (), (Family.IPV6,)),
        ("fd00::1", (Family.IPV6, Family.IPV4), (Family.IPV4, Family.IPV6)),
    ],
)
def test_families_are_those_of_the_session_unless_named(
    address: str, families: tuple[Family, ...], told: tuple[Family, ...]
) -> None:
    assert BgpPeer(name="a", address=address, asn=1, families=families).told_families == told


def test_attributes_leave_open_what_the_default_says() -> None:
    default = RouteAttributes(communities=("1:1",), local_preference=5, peers=("a",))
    assert RouteAttributes().over(default) == default
    assert RouteAttributes(local_preference=0).over(default).local_preference == 0
    own = RouteAttributes(communities=("1:2",), local_preference=6, peers=("b",))
    assert own.over(default) == own


def test_a_router_id_is_the_first_address_of_v4_that_means_one_node() -> None:
    addresses = ["fd00::1", "127.0.0.1", "0.0.0.0", "10.0.0.7", "10.0.0.8"]
    assert router_id_of(RouterIdPolicy.NODE_ADDRESS, "node-1", addresses) == "10.0.0.7"


def test_without_one_it_is_made_of_the_name_and_stays() -> None:
    made = router_id_of(RouterIdPolicy.NODE_ADDRESS, "node-1", ["fd00::1"])
    assert made == router_id_of(RouterIdPolicy.NODE_NAME, "node-1", ["10.0.0.7"]) == "53.151.27.230"
    assert made != router_id_of(RouterIdPolicy.NODE_NAME, "node-2", [])
