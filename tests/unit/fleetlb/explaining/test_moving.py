"""What is said of an address that is on its way to another group."""

from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressClaimSpec,
    AddressPool,
    AddressPoolSpec,
    BalancerGroup,
    BalancerGroupStatus,
    BalancerNode,
    ClaimOwner,
    ClaimPhase,
)
from fleetlb.contracts.v1 import Probe, RealizedState
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes, RouterSession
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.situation import Said
from fleetlb.testkit.load_balancers import ADDRESS, CLUSTER, KEY, a_group, a_word
from tests.unit.fleetlb.explaining.test_explanations import NOW, WEB, WISH, a_situation

NAMES = ("node-8", "node-9")
WISHED = replace(WISH, revision=9)


def a_claim(**fields: Any) -> AddressClaim:
    owner = ClaimOwner(tenant="acme", cluster_uid=CLUSTER, service_uid="service-1", namespace="shop", name="web")
    spec = AddressClaimSpec(address=ADDRESS, pool="default", owner=owner, ports=("443/TCP",), **fields)
    return AddressClaim(metadata=ObjectMeta(name=ADDRESS), spec=spec)


def another(name: str) -> BalancerGroup:
    return replace(a_group(*NAMES), metadata=ObjectMeta(name=name))


def said(other: str, words: dict[str, dict[str, Any]], **claim: Any) -> str:
    """The line of a Service that serves, when the nodes of the other group say this of it."""
    there = {node: {WEB: Said(a_word(KEY, node=node, **word), "", NOW)} for node, word in words.items()}
    found = explain(
        a_situation(claims=(a_claim(**claim),), other=another(other), desired_there={WEB: WISHED}, realized_there=there)
    )
    assert found.serving
    return found.given.get(f"moving {ADDRESS}", "")


CARRIED: dict[str, Any] = {"revision": 9, "probe": Probe.ANSWERED}
GONE: dict[str, Any] = {"revision": 9, "state": RealizedState.REMOVED}
TO_B = {"group": "default", "moving_to": "b"}
FROM_A = {"group": "default", "moving_from": "a"}


@pytest.mark.parametrize(
    ("other", "words", "claim", "line"),
    [
        ("b", {}, {}, ""),
        ("b", {"node-8": CARRIED}, TO_B, "from group default to b, as soon as node-9 carries it"),
        ("b", {}, TO_B, "from group default to b, as soon as node-8, node-9 carry it"),
        ("b", {"node-8": CARRIED, "node-9": CARRIED | {"revision": 8}}, TO_B, "as soon as node-9 carries it"),
        ("b", {"node-8": CARRIED, "node-9": CARRIED | {"probe": Probe.UNANSWERED}}, TO_B, "as soon as node-9"),
        ("b", {"node-8": CARRIED, "node-9": CARRIED}, TO_B, "whose nodes carry it; those of default are about to"),
        ("a", {"node-8": GONE, "node-9": CARRIED}, FROM_A, "to group default; waits until node-9 of a lets go of it"),
        (
            "b",
            {"node-8": GONE},
            TO_B | {"moving_back": True},
            "to group default; waits until node-9 of b lets go of it",
        ),
    ],
)
def test_who_is_waited_for_is_named(
    other: str, words: dict[str, dict[str, Any]], claim: dict[str, Any], line: str
) -> None:
    found = said(other, words, **claim)
    assert line in found
    assert bool(line) is bool(found)


@pytest.mark.parametrize(("peer", "line"), [("tor", "whose nodes carry it"), ("spine", "a node of b tells a router")])
def test_by_bgp_it_is_said_that_no_router_is_told_yet(peer: str, line: str) -> None:
    pool = AddressPool(
        metadata=ObjectMeta(name="default"),
        spec=AddressPoolSpec(
            addresses=("192.0.2.0/24",),
            group="b",
            announcement=Announcement.BGP,
            bgp=RouteAttributes(peers=("tor",)),
        ),
    )
    group = another("b")
    routers = tuple(BgpPeer(name=name, address="10.0.0.1", asn=65000) for name in ("tor", "spine"))
    nodes = (BalancerNode(name="node-8", sessions=(RouterSession(peer=peer, up=True),)),)
    group = replace(
        group,
        spec=replace(group.spec, bgp=BgpSpeaking(asn=65001, peers=routers)),
        status=BalancerGroupStatus(nodes=nodes),
    )
    there = {node: {WEB: Said(a_word(KEY, node=node, **CARRIED), "", NOW)} for node in NAMES}
    seen = a_situation(
        claims=(a_claim(**TO_B),), pool=pool, other=group, desired_there={WEB: WISHED}, realized_there=there
    )
    assert line in explain(seen).given[f"moving {ADDRESS}"]


BEHIND = "lets go of it as soon as node-9 has acknowledged the last change"


@pytest.mark.parametrize(
    ("way", "here", "there", "line"),
    [
        (Announcement.NONE, CARRIED, CARRIED, "whose nodes carry it; those of a are about to let go"),
        (Announcement.NONE, CARRIED | {"revision": 8}, CARRIED, BEHIND),
        (Announcement.NONE, CARRIED, CARRIED | {"revision": 8}, "are about to let go"),
        (Announcement.LAYER2, CARRIED, CARRIED | {"revision": 8}, "as soon as node-8 has acknowledged"),
        (Announcement.LAYER2, CARRIED, CARRIED, "are about to let go"),
    ],
)
def test_after_the_service_has_gone_over_it_is_said_whose_word_is_waited_for(
    way: Announcement, here: dict[str, Any], there: dict[str, Any], line: str
) -> None:
    pool = AddressPool(
        metadata=ObjectMeta(name="default"),
        spec=AddressPoolSpec(addresses=("192.0.2.0/24",), group="b", announcement=way),
    )
    over = replace(another("b"), spec=replace(another("b").spec, nodes=("node-9",)))
    before = replace(another("a"), spec=replace(another("a").spec, nodes=("node-8",)))
    seen = a_situation(
        claims=(a_claim(group="a", moving_to="b"),),
        pool=pool,
        group=over,
        other=before,
        desired={WEB: WISHED},
        realized={"node-9": {WEB: Said(a_word(KEY, node="node-9", **here), "", NOW)}},
        desired_there={WEB: WISHED},
        realized_there={"node-8": {WEB: Said(a_word(KEY, node="node-8", **there), "", NOW)}},
    )
    assert line in explain(seen).given[f"moving {ADDRESS}"]


def test_where_an_address_cannot_go_it_is_said_where_the_reason_stands() -> None:
    pool = AddressPool(
        metadata=ObjectMeta(name="default"), spec=AddressPoolSpec(addresses=("192.0.2.0/24",), group="b")
    )
    found = explain(a_situation(claims=(a_claim(),), pool=pool))
    assert found.given[f"moving {ADDRESS}"] == (
        "stays with group default, though pool default names b: see its condition Moved"
    )
    assert not any("moving" in each for each in explain(a_situation(claims=(a_claim(),))).given)


def test_what_is_released_does_not_move() -> None:
    found = explain(a_situation(claims=(a_claim(**TO_B, phase=ClaimPhase.RELEASING),)))
    assert not any("moving" in each for each in found.given)
