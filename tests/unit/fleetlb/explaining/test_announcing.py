"""Who is said to announce an address, and why nobody does."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.objects import BalancerGroup, BalancerGroupStatus, BalancerNode
from fleetlb.contracts.v1 import GroupInstructed, NodePresent, VipCarried
from fleetlb.domain.announcing import PASSING_SECONDS, VipReached
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, PoolAttributes, RouteAttributes, RouterSession
from fleetlb.domain.virtual_servers import Announcement, VirtualServer, parse_key
from fleetlb.explaining.explanations import Explanation, explain
from fleetlb.explaining.situation import Carrying, Presence, Said
from fleetlb.explaining.steps import Stage
from fleetlb.kube.holding import SKEW_SECONDS
from fleetlb.testkit.load_balancers import ADDRESS, KEY, a_group, a_load_balancer, a_word
from tests.unit.fleetlb.explaining.test_explanations import NOW, WELL, WISH, a_service, a_situation

WEB = parse_key(KEY)
SIXTH = "2001:db8::5"
SINCE = 1_799_990_000_000_000
SPELLED = "2027-01-15T05:13:20Z"
LONG_AGO = NOW - 3600.0
LEASE = 1.5
BOTH = ("node-1", "node-2")


def wish(announcement: Announcement = Announcement.LAYER2, key: str = KEY, pool: str = "") -> Any:
    server = VirtualServer(key=parse_key(key), announcement=announcement, attributes_pool=pool)
    return msgspec.structs.replace(WISH, key=server.key, server=server)


def carrying(node: str, *, at: float = LONG_AGO, address: str = ADDRESS, run: str = "r1", **word: Any) -> Carrying:
    said: dict[str, Any] = {"carried": True, "announced": False, "announcement": Announcement.LAYER2} | word
    return Carrying(VipCarried(node=node, group="default", address=address, epoch=1, run=run, number=1, **said), at)


def answering(node: str, **more: Any) -> Carrying:
    word: dict[str, Any] = {"announced": True, "to": ("eth1",), "since": SINCE}
    return carrying(node, **(word | more))


def present(node: str, *, ago: float = 0.5, run: str = "r1", **word: Any) -> Presence:
    said = {"epoch": 1, "number": 2, "lease_ms": round(LEASE * 1000)} | word
    return Presence(NodePresent(node=node, group="default", run=run, **said), NOW - ago)


def a_pair(engine: EngineName = EngineName.IPVS, draining: tuple[str, ...] = ()) -> BalancerGroup:
    group = a_group(*BOTH)
    return msgspec.structs.replace(group, spec=msgspec.structs.replace(group.spec, engine=engine, draining=draining))


def explained(*, carried: tuple[Carrying, ...] = (), present: tuple[Presence, ...] = (), **changed: Any) -> Explanation:
    """What is said of a Service that two nodes serve, when they say this of who announces it."""
    words: dict[str, dict[str, Carrying]] = {}
    for each in carried:
        words.setdefault(each.word.node, {})[each.word.address] = each
    keys = changed.get("desired", {WEB: None})
    seen = {
        "group": a_pair(),
        "desired": {WEB: wish()},
        "realized": {node: {key: Said(a_word(str(key), node=node), "", LONG_AGO) for key in keys} for node in BOTH},
        "carried": words,
        "present": {each.word.node: each for each in present},
    }
    return explain(a_situation(**(seen | changed)))


ALIVE = (present("node-1"), present("node-2"))
SILENT = tuple(present(node, ago=LEASE + SKEW_SECONDS + 1) for node in BOTH)
WAITING = (carrying("node-1"), carrying("node-2"))


def test_who_announces_is_said_with_where_and_since_when() -> None:
    found = explained(carried=(carrying("node-1"), answering("node-2")), present=ALIVE)
    assert (found.serving, found.stage) == (True, Stage.SERVING)
    assert found.given[f"announced {ADDRESS}"] == f"node-2 answers for {ADDRESS} on eth1 since {SPELLED}"


def test_the_word_of_an_earlier_life_holds_until_the_node_says_otherwise() -> None:
    found = explained(carried=(answering("node-1", run="r0"), carrying("node-2")), present=ALIVE)
    assert found.given[f"announced {ADDRESS}"].startswith("node-1 answers")


def test_each_address_has_a_line() -> None:
    sixth = f"[{SIXTH}]:443/tcp"
    both = {
        "desired": {WEB: wish(), parse_key(sixth): wish(key=sixth)},
        "balancer": a_load_balancer(
            addresses=(ADDRESS, SIXTH), status=msgspec.structs.replace(WELL, addresses=(ADDRESS, SIXTH))
        ),
        "service": a_service(ADDRESS, SIXTH),
    }
    words = (answering("node-2"), answering("node-1", address=SIXTH, to=("eth1", "bond0"), since=0))
    found = explained(carried=words, present=ALIVE, **both)
    assert {name: text for name, text in found.given.items() if name.startswith("announced")} == {
        f"announced {ADDRESS}": f"node-2 answers for {ADDRESS} on eth1 since {SPELLED}",
        f"announced {SIXTH}": f"node-1 answers for {SIXTH} on eth1, bond0",
    }
    assert found.serving
    half = explained(carried=words[:1], present=ALIVE, **both)
    assert (half.reason, half.given["address"]) == ("NotCarried", SIXTH)
    assert f"announced {ADDRESS}" in half.given


def routed(*nodes: BalancerNode) -> BalancerGroup:
    """A group that has routers, and whose nodes said so."""
    pair = a_pair()
    spec = msgspec.structs.replace(pair.spec, bgp=BgpSpeaking(asn=65001, peers=()))
    return msgspec.structs.replace(pair, spec=spec, status=BalancerGroupStatus(nodes=nodes))


UP, DOWN = RouterSession(peer="tor-1", up=True), RouterSession(peer="tor-2", problem="Connection refused")


def test_by_bgp_it_is_said_which_nodes_tell_which_routers() -> None:
    by_bgp = {WEB: wish(Announcement.BGP)}
    nodes = (BalancerNode(name="node-1", sessions=(UP, DOWN)), BalancerNode(name="node-2", sessions=(UP,)))
    found = explained(desired=by_bgp, group=routed(*nodes))
    assert (found.serving, found.given[f"announced {ADDRESS}"]) == (
        True,
        f"node-1, node-2 tell tor-1 of {ADDRESS} by BGP",
    )
    assert explained(desired=by_bgp, group=routed()).serving, "no manager has said anything of the nodes yet"
    lacking = explained(desired=by_bgp, group=routed(BalancerNode(name="node-2", sessions=(DOWN,))))
    assert (lacking.stage, lacking.reason, lacking.serving) == (Stage.ANNOUNCED, "NoRouterTold", False)
    assert lacking.message == (
        f"no node tells a router where {ADDRESS} is: node-1: it says of no session; node-2: tor-2 (Connection refused)"
    )


def test_by_bgp_it_is_said_which_routers_a_pool_is_for_and_why_no_node_announces_it() -> None:
    wished: dict[str, Any] = {"desired": {WEB: wish(Announcement.BGP, pool="gold")}}
    peers = tuple(BgpPeer(name=name, address=f"10.0.0.{n}", asn=65000) for n, name in enumerate(("tor-1", "tor-2"), 1))
    group = routed(BalancerNode(name="node-1", sessions=(UP, DOWN)))
    spec = msgspec.structs.replace(group.spec, bgp=BgpSpeaking(asn=65001, peers=peers))
    group = msgspec.structs.replace(group, spec=spec)

    def told(**pools: tuple[str, ...]) -> Explanation:
        said = tuple(PoolAttributes(pool=pool, attributes=RouteAttributes(peers=to)) for pool, to in pools.items())
        instructed = GroupInstructed(group="default", generation=1, revision=1, bgp=spec.bgp, pools=said)
        return explained(group=group, instructed=instructed, **wished)

    assert told(gold=("tor-1",)).given[f"announced {ADDRESS}"] == f"node-1 tells tor-1 of {ADDRESS} by BGP"
    lacking = told(gold=("tor-2",))
    assert lacking.reason == "NoRouterTold"
    assert lacking.message.endswith("is: node-1: tor-2 (Connection refused); node-2: it says of no session")
    unknown = told(silver=("tor-1",))
    assert (unknown.stage, unknown.reason, unknown.serving) == (Stage.ANNOUNCED, "AttributesUnknown", False)
    assert "routes of pool gold" in unknown.message
    assert "condition Announced" in unknown.cure
    assert f"announced {ADDRESS}" not in unknown.given
    assert explained(group=group, **wished).serving, "what they were told was not looked at"


def test_a_pool_that_nobody_is_to_announce_is_as_it_was() -> None:
    found = explained(desired={WEB: wish(Announcement.NONE)})
    assert found.serving
    assert found.given == {"addresses": ADDRESS, "ports": "443/TCP", "group": "default"}


GIVING_WAY = (present("node-1", draining=True), present("node-2", draining=True))


@pytest.mark.parametrize(
    ("seen", "reason", "named"),
    [
        ({"desired": {WEB: wish(Announcement.BGP)}}, "BgpNotAnnounced", "has no spec.bgp"),
        ({}, "NotCarried", "no node says that it carries"),
        ({"group": a_pair(EngineName.ENVOY)}, "NotCarried", "engine envoy"),
        ({"carried": (carrying("node-1", carried=False),), "present": ALIVE}, "NotCarried", ADDRESS),
        ({"carried": WAITING, "present": SILENT}, "LeaseNotRenewed", "node-1, node-2, last heard 8 s ago"),
        ({"carried": (answering("node-1"),), "present": SILENT}, "LeaseNotRenewed", "node-1"),
        ({"carried": (answering("node-1"),)}, "LeaseNotRenewed", "nobody has heard"),
        ({"carried": WAITING, "present": GIVING_WAY}, "NodesGiveWay", "gives way"),
        ({"carried": (carrying("node-1"),), "present": (GIVING_WAY[0], ALIVE[1])}, "NodesGiveWay", "gives way"),
        ({"carried": WAITING, "present": ALIVE}, "NotAnnounced", "node-1, node-2"),
        ({"carried": WAITING, "present": (GIVING_WAY[0], ALIVE[1])}, "NotAnnounced", "node-1, node-2"),
        ({"carried": (answering("node-1", carried=False), carrying("node-2")), "present": ALIVE}, "NotAnnounced", ""),
    ],
)
def test_why_nobody_announces_is_named(seen: dict[str, Any], reason: str, named: str) -> None:
    found = explained(**seen)
    assert (found.stage, found.reason, found.serving) == (Stage.ANNOUNCED, reason, False)
    assert named in found.message
    assert found.cure
    assert found.given["address"] == ADDRESS
    assert f"announced {ADDRESS}" not in found.given


@pytest.mark.parametrize(
    ("ago", "reason"), [(PASSING_SECONDS - 1, "TakingOver"), (PASSING_SECONDS + 1, "NotAnnounced")]
)
def test_what_has_just_changed_is_passing(ago: float, reason: str) -> None:
    told = (carrying("node-1", at=NOW - ago), carrying("node-2"))
    assert explained(carried=told, present=ALIVE).reason == reason


@pytest.mark.parametrize(("ago", "reason"), [(PASSING_SECONDS - 1, "TakingOver"), (PASSING_SECONDS + 1, "NotCarried")])
def test_what_was_just_programmed_may_be_carried_in_a_moment(ago: float, reason: str) -> None:
    realized = {node: {WEB: Said(a_word(node=node), "", NOW - ago)} for node in BOTH}
    assert explained(realized=realized).reason == reason


@pytest.mark.parametrize(("late", "is_well"), [(-0.5, True), (0.5, False)])
def test_a_lease_counts_as_ended_only_after_some_slack(late: float, is_well: bool) -> None:
    heard = present("node-1", ago=LEASE + SKEW_SECONDS + late)
    assert explained(carried=(answering("node-1"),), present=(heard,)).serving is is_well


def test_of_a_dead_node_and_the_one_after_it_the_later_word_counts() -> None:
    for dead, next_one in (BOTH, BOTH[::-1]):
        words = (answering(dead, at=NOW - 60), answering(next_one, at=NOW - 2))
        assert f"{next_one} answers" in explained(carried=words, present=ALIVE).given[f"announced {ADDRESS}"]


def test_a_node_that_gives_way_and_answers_all_the_same_is_said_to() -> None:
    found = explained(carried=(answering("node-1"),), present=(present("node-1", draining=True),))
    assert found.serving
    assert found.given[f"announced {ADDRESS}"].endswith("gives way as soon as another node carries it")


def test_what_it_is_decided_from_is_shown() -> None:
    some = explained(carried=(carrying("node-2", carried=False),))
    assert (some.given["say nothing"], some.given["do not carry it"]) == ("node-1", "node-2")
    busy = explained(present=(present("node-1"),))
    assert (busy.given["say nothing"], busy.given["do not carry it"]) == ("node-2", "node-1")
    drained = explained(carried=WAITING, present=GIVING_WAY, group=a_pair(draining=("node-1",)))
    assert (drained.given["node-1"], drained.given["node-2"]) == ("is to be emptied", "has an interface that is down")
    stuck = explained(carried=WAITING, present=(present("node-1", read=7), present("node-2", read=3)))
    assert (stuck.given["have read"], stuck.since) == ("node-1 up to 7, node-2 up to 3", "2027-01-15T07:00:00Z")
    lapsed = explained(carried=WAITING, present=(present("node-1", ago=3600),))
    assert lapsed.since == "2027-01-15T07:00:00Z"


def test_a_word_without_end_is_cut() -> None:
    found = explained(carried=(answering("node-1", to=("e" * 9000,)),), present=ALIVE)
    assert len(found.given[f"announced {ADDRESS}"]) < 400


def finding(**found: Any) -> Carrying:
    """A node that called the first."""
    return carrying("node-2", reached=VipReached(node="node-1", term=SINCE, over="eth1", since=SINCE, **found))


def test_who_reaches_it_from_where_and_how_fast_has_a_line() -> None:
    words = (answering("node-1"), finding(ports=(443,), micros=412))
    found = explained(carried=words, present=ALIVE)
    assert found.serving
    assert (
        found.given[f"called {ADDRESS} from node-2"] == f"reaches port 443 of {ADDRESS} over eth1 in 0.4 ms, at node-1"
    )
    anew = explained(carried=words, present=(ALIVE[0], present("node-2", run="r2")))
    assert f"called {ADDRESS} from node-2" not in anew.given, "an earlier life found it"


def test_what_another_node_does_not_reach_is_why_it_does_not_serve() -> None:
    words = (answering("node-1"), finding(lost=(443,)))
    found = explained(carried=words, present=ALIVE)
    assert (found.serving, found.stage, found.reason) == (False, Stage.ANNOUNCED, "NotReachable")
    assert found.message == f"node-2 does not reach {ADDRESS}:443 over eth1, which node-1 answers for and finds well"
    assert (found.given["called from"], found.since) == ("node-2", SPELLED)
    assert found.given[f"called {ADDRESS} from node-2"] == f"does not reach port 443 of {ADDRESS} over eth1, at node-1"
    assert "firewall" in found.cure


@pytest.mark.parametrize("word", [{"brake": True}, {"real_servers": 3, "healthy": 2}], ids=["brake", "some fail"])
def test_a_call_that_may_have_met_a_failing_backend_is_no_reason(word: dict[str, Any]) -> None:
    realized = {node: {WEB: Said(a_word(KEY, node=node, **word), "", LONG_AGO)} for node in BOTH}
    assert explained(carried=(answering("node-1"), finding(lost=(443,))), present=ALIVE, realized=realized).serving


def test_a_port_of_another_service_on_the_address_is_no_reason() -> None:
    assert explained(carried=(answering("node-1"), finding(lost=(80,))), present=ALIVE).serving
