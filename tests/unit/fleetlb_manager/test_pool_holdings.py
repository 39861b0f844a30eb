from fleetlb.contracts.objects import ClaimPhase, ClaimShare
from fleetlb.domain.address_pools import parse_intervals
from fleetlb_manager.pool_holdings import PoolHoldings, PoolUse
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key

RANGES = parse_intervals(["192.0.2.0/29", "2001:db8::/120"])


def test_in_use_is_what_is_bound_or_being_let_go_and_the_rest_rests() -> None:
    holdings = PoolHoldings()
    bound, going = a_claim("192.0.2.1"), a_claim("192.0.2.2", a_key("g", "globex"), phase=ClaimPhase.RELEASING)
    resting = a_claim("192.0.2.3", phase=ClaimPhase.QUARANTINED)
    for claim in (bound, going, resting):
        holdings.put(claim)
    assert holdings.of("default") == PoolUse(addresses=2, tenants=2, resting=1)
    holdings.drop(going)
    holdings.drop(bound)
    assert holdings.of("default") == PoolUse(resting=1)
    assert not holdings.of("default").is_free
    holdings.drop(resting)
    assert holdings.of("default").is_free
    assert holdings.of("unknown") == PoolUse()


def test_addresses_that_the_ranges_lost_are_counted_and_the_first_are_named() -> None:
    holdings = PoolHoldings()
    holdings.set_ranges("default", RANGES)
    texts = ("192.0.2.10", "192.0.2.9", "2001:db9::1", "192.0.2.1", "198.51.100.1")
    for number, address in enumerate(texts):
        holdings.put(a_claim(address, a_key(f"u{number}")))
    assert holdings.of("default") == PoolUse(
        addresses=5,
        tenants=1,
        outside=4,
        named=tuple(f"{each} of acme shop/web" for each in ("192.0.2.9", "192.0.2.10", "198.51.100.1", "2001:db9::1")),
    )
    holdings.set_ranges("default", parse_intervals(["192.0.2.8/29"]))
    assert (holdings.of("default").outside, holdings.of("default").named[0]) == (3, "192.0.2.1 of acme shop/web")
    holdings.drop(a_claim("192.0.2.1", a_key("u3")))
    assert holdings.of("default").outside == 2


def test_one_that_rests_is_not_in_use_outside_and_without_ranges_nothing_is_said() -> None:
    holdings = PoolHoldings()
    holdings.put(a_claim("203.0.113.1", phase=ClaimPhase.QUARANTINED))
    holdings.put(a_claim("203.0.113.2"))
    assert holdings.of("default").outside == 0
    holdings.set_ranges("default", RANGES)
    assert holdings.of("default").named == ("203.0.113.2 of acme shop/web",)
    holdings.set_ranges("default", None)
    assert holdings.of("default") == PoolUse(addresses=1, tenants=1, resting=1)


def test_only_the_first_few_are_named() -> None:
    holdings = PoolHoldings()
    holdings.set_ranges("default", parse_intervals(["192.0.2.0/24"], ["192.0.2.0/28"]))
    for number in range(20):
        holdings.put(a_claim(f"192.0.2.{number}", a_key(f"u{number}")))
    use = holdings.of("default")
    assert (use.outside, len(use.named), use.named[-1]) == (16, 5, "192.0.2.4 of acme shop/web")


def test_those_who_share_an_address_are_told_by_their_number() -> None:
    holdings = PoolHoldings()
    holdings.set_ranges("default", RANGES)
    share = ClaimShare(owner=a_claim(owner=a_key("u2")).spec.owner, ports=("80/TCP",))
    shared = a_claim("203.0.113.2", sharing_key="k", sharers=(share, share))
    holdings.put(shared)
    assert holdings.of("default").named == ("203.0.113.2 of acme shop/web and 2 more",)
    holdings.drop(shared)
    holdings.put(a_claim("203.0.113.2"))
    assert holdings.of("default").named == ("203.0.113.2 of acme shop/web",)
