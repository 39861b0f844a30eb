"""What a node is among routers: its own end of the sessions, which no two nodes share."""

from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouterSession
from fleetlb_dataplane_programmer.bgp.plane import own_ends, words_on
from fleetlb_dataplane_programmer.bgp.reading import Session


def speaking(*peers: BgpPeer) -> BgpSpeaking:
    return BgpSpeaking(asn=65001, peers=peers)


def a_peer(name: str, address: str, *nodes: str, source: str = "") -> BgpPeer:
    return BgpPeer(name=name, address=address, asn=65000, nodes=nodes, source_address=source)


def test_it_is_the_address_from_which_the_node_reaches_its_peers() -> None:
    assert own_ends(speaking(a_peer("a", "127.0.0.9")), "node-1") == ["127.0.0.1"]


def test_an_end_that_is_given_counts_and_other_nodes_peers_do_not() -> None:
    peers = (a_peer("a", "127.0.0.9", "node-1", source="127.0.0.5"), a_peer("b", "127.0.0.8", "node-2"))
    assert own_ends(speaking(*peers), "node-1") == ["127.0.0.5"]


def test_sessions_of_ipv6_say_nothing() -> None:
    assert own_ends(speaking(a_peer("a", "::1")), "node-1") == []


def test_of_a_session_is_said_what_stands_as_long_as_it_is_down() -> None:
    """Its state changes all the time while it tries."""
    up = Session(protocol="a", state="Established", advertised=3, problem="of yesterday")
    trying = [Session(protocol="b", state=state, advertised=3, problem="x" * 300) for state in ("Active", "Connect")]
    silent = Session(protocol="c", state="OpenSent")
    first, second = (words_on({"b": each, "a": up, "c": silent}) for each in trying)
    assert first == second
    assert first == (
        RouterSession(peer="a", up=True, routes=3),
        RouterSession(peer="b", problem="x" * 256),
        RouterSession(peer="c", problem="it is not established"),
    )
