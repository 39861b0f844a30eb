"""What single pools say by BGP is followed pool by pool: one that is wrong stays as it was, and harms no other."""

from typing import Any

import pytest

from fleetlb.contracts.objects import AddressPool
from fleetlb.domain.routing import MAX_POOLS, BgpPeer, BgpSpeaking, PoolAttributes, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.pool_attributes import attribute_problems, decide_attributes
from tests.unit.fleetlb_manager.manager_world import a_pool

SPEAKING = BgpSpeaking(
    asn=65001,
    peers=(BgpPeer(name="tor-1", address="10.0.0.1", asn=65000), BgpPeer(name="tor-2", address="10.0.0.2", asn=65000)),
)
TO_ONE = RouteAttributes(communities=("65000:7",), peers=("tor-2",))


def routed(name: str = "gold", bgp: RouteAttributes | None = TO_ONE, **spec: Any) -> AddressPool:
    return a_pool(name=name, **({"announcement": Announcement.BGP, "bgp": bgp} | spec))


@pytest.mark.parametrize(
    ("pool", "speaking", "field", "cure"),
    [
        (
            routed(bgp=RouteAttributes(peers=("tor-9",))),
            SPEAKING,
            "spec.bgp.peers: there is no peer 'tor-9'",
            "name one of tor-1, tor-2",
        ),
        (
            routed(bgp=RouteAttributes(communities=("65000",))),
            SPEAKING,
            "spec.bgp.communities: '65000' is no community",
            "write A:B",
        ),
        (
            routed(bgp=RouteAttributes(local_preference=5)),
            SPEAKING,
            "spec.bgp.localPreference",
            "leave it out",
        ),
        (routed(announcement=Announcement.NONE), SPEAKING, "^spec.bgp", "set spec.announcement to bgp"),
        (routed(announcement=Announcement.LAYER2), SPEAKING, "^spec.bgp", "set spec.announcement to bgp"),
        (routed(), None, "^spec.bgp: group default", "set spec.bgp of the BalancerGroup default"),
    ],
)
def test_what_is_wrong_names_the_field_and_the_cure(
    pool: AddressPool, speaking: BgpSpeaking | None, field: str, cure: str
) -> None:
    (problem,) = attribute_problems(pool, speaking, [pool])
    with pytest.raises(ValueError, match=field):
        raise ValueError(problem)
    assert cure in problem


@pytest.mark.parametrize("pool", [routed(), routed(bgp=None), a_pool()], ids=["right", "none", "quiet"])
def test_nothing_is_wrong_with_a_pool_that_is_right_or_says_nothing(pool: AddressPool) -> None:
    assert attribute_problems(pool, SPEAKING, [pool]) == []


def test_more_pools_than_one_message_holds_are_not_followed_until_some_are_mended() -> None:
    pools = [routed(f"p{number}") for number in range(MAX_POOLS)]
    elsewhere, common = routed("elsewhere", group="edge"), routed("common", bgp=None)
    assert attribute_problems(pools[0], SPEAKING, [*pools, elsewhere, common]) == []
    (problem,) = attribute_problems(pools[0], SPEAKING, [*pools, routed("more")])
    assert f"{MAX_POOLS + 1} pools of group default" in problem
    known = decide_attributes(pools, "default", SPEAKING, ())
    assert len(known) == MAX_POOLS
    assert set(decide_attributes([*pools, routed("more")], "default", SPEAKING, known)) == set(known)


def test_nodes_are_told_of_the_pools_of_their_group_by_name() -> None:
    silver = routed("silver", bgp=RouteAttributes())
    pools = [
        silver,
        routed(),
        routed("other", group="edge"),
        routed("plain", bgp=None),
        routed("quiet", announcement="none"),
    ]
    assert decide_attributes(pools, "default", SPEAKING, ()) == (
        PoolAttributes(pool="gold", attributes=TO_ONE),
        PoolAttributes(pool="silver"),
    )
    assert decide_attributes(pools, "default", None, ()) == ()


def test_a_pool_that_is_wrong_stays_as_it_was_and_a_new_one_is_not_told_of() -> None:
    wrong = RouteAttributes(peers=("tor-9",))
    pools = [routed(bgp=wrong), routed("new", bgp=wrong), routed("silver")]
    before = PoolAttributes(pool="gold", attributes=RouteAttributes(communities=("65000:1",)))
    told = decide_attributes(pools, "default", SPEAKING, (before, PoolAttributes(pool="gone")))
    assert told == (before, PoolAttributes(pool="silver", attributes=TO_ONE))


def test_a_group_that_a_pool_moves_away_from_goes_on_with_what_it_knows_until_the_last_address_is_gone() -> None:
    before, moved = PoolAttributes(pool="gold", attributes=TO_ONE), routed(group="other", bgp=RouteAttributes())
    assert decide_attributes([moved], "default", SPEAKING, (before,), {"gold"}) == (before,)
    assert decide_attributes([moved], "default", SPEAKING, (before,)) == ()
    assert decide_attributes([moved], "default", SPEAKING, (), {"gold"}) == ()
