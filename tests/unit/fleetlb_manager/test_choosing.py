from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.domain.services import ServicePort
from fleetlb_manager.choices import Choice, Denial, Wish
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.registering import grant_of
from fleetlb_manager.waiting_lines import WaitingLines, address_resource, pool_resource
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_tenant, a_wish

CAPABILITIES = {"default": frozenset({"tcp", "udp"}), "other": frozenset({"tcp", "udp", "affinity"})}
BOTH = (Family.IPV4, Family.IPV6)


class Choosing:
    """A chooser with what it looks into."""

    def __init__(self, *pools: AddressRange) -> None:
        self.book = AddressBook()
        for pool in pools or (a_range("default", "192.0.2.0/30"),):
            self.book.set_pool(pool)
        self.lines = WaitingLines()
        self.freed: list[str] = []
        self.freed_from: list[str] = []
        self.chooser = Chooser(self.book, self.lines, CAPABILITIES.get, self._free)

    def _free(self, address: str, pool: str) -> None:
        self.freed.append(address)
        self.freed_from.append(pool)

    def choose(
        self, uid: str = "u1", claims: tuple[Any, ...] = (), preferred: tuple[str, ...] = (), **wish: Any
    ) -> str:
        """The outcome as a text: addresses and group, or reason and what is waited for."""
        outcome = self.outcome(uid, claims, preferred, **wish)
        if isinstance(outcome, Choice):
            return " ".join([*(holding.address for holding in outcome.holdings), f"in {outcome.group}"])
        return " ".join([outcome.refusal.reason, *outcome.waits_for])

    def outcome(
        self, uid: str = "u1", claims: tuple[Any, ...] = (), preferred: tuple[str, ...] = (), **wish: Any
    ) -> Choice | Denial:
        """The outcome itself."""
        grant = grant_of(a_tenant(**wish.pop("tenant", {})), allow_loopback=False)
        lost = frozenset(wish.pop("lost", ()))
        service = a_wish(**wish)
        return self.chooser.choose(
            Wish(key=a_key(uid), service=service, grant=grant, claims=claims, preferred=preferred, lost=lost)
        )


def a_range(name: str, *ranges: str, **more: Any) -> AddressRange:
    return AddressRange(name=name, intervals=parse_intervals(ranges), **more)


def test_addresses_are_given_in_order_until_there_are_none() -> None:
    asked = Choosing()
    seen = [asked.choose(f"u{number}") for number in range(5)]
    assert seen == [f"192.0.2.{number} in default" for number in range(4)] + [
        f"PoolExhausted {pool_resource('default', Family.IPV4)}"
    ]


def test_an_exhausted_pool_is_told_with_its_size() -> None:
    asked = Choosing(a_range("gold", "192.0.2.7"), a_range("silver", "192.0.2.8-192.0.2.9"))
    for number in range(3):
        asked.choose(f"u{number}")
    denial = asked.outcome("late")
    assert isinstance(denial, Denial)
    assert denial.refusal.message == "no free IPv4 address in pool gold, pool silver: 3 of 3 taken"


def test_a_closed_pool_gives_nothing_and_keeps_what_is_held() -> None:
    asked = Choosing(a_range("gold", "192.0.2.0/30", closed=True), a_range("iron", "198.51.100.0/30"))
    assert asked.choose("any") == "198.51.100.0 in default"
    assert asked.choose("named", addresses=("192.0.2.1",)).startswith("AddressNotAllowed")
    assert asked.choose("had", preferred=("192.0.2.1",)) == "198.51.100.1 in default"
    held = a_claim("192.0.2.1")
    held = replace(held, spec=replace(held.spec, pool="gold"))
    assert asked.choose("holder", claims=(held,)) == "192.0.2.1 in default"


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"pool": "gold"}, "fleetlb.dev/pool: pool 'gold' is being removed: ask for another one"),
        (
            {},
            "no address pool gives to this Service by itself: each that is granted to this tenant is being removed",
        ),
        (
            {"pool": "gold", "tenant": {"pools": ("iron",)}},
            "fleetlb.dev/pool: pool 'gold' is not granted to this tenant",
        ),
        ({"tenant": {"pools": ("iron",)}}, "no address pool is granted to this tenant"),
    ],
)
def test_who_asks_for_a_pool_that_is_being_removed_is_told(wish: dict[str, Any], text: str) -> None:
    denial = Choosing(a_range("gold", "192.0.2.0/30", closed=True)).outcome(**wish)
    assert isinstance(denial, Denial)
    assert (denial.refusal.reason, denial.refusal.message) == ("AddressNotAllowed", text)


def test_it_is_known_which_pools_are_about_to_be_claimed_from() -> None:
    asked = Choosing()
    assert not asked.chooser.is_proposing("default")
    asked.choose()
    assert asked.chooser.is_proposing("default")
    assert not asked.chooser.is_proposing("other")
    asked.chooser.settle(a_key(), "192.0.2.0")
    assert not asked.chooser.is_proposing("default")


def test_the_pool_of_the_highest_priority_that_has_one_gives_whatever_its_group() -> None:
    asked = Choosing(
        a_range("a", "192.0.2.0/32"),
        a_range("b", "192.0.2.1/32", priority=5, group="other"),
        a_range("c", "192.0.2.2/32", priority=10),
        a_range("d", "192.0.2.3/32", priority=-1),
        a_range("e", "192.0.2.4/32", priority=5, group="other"),
        a_range("f", "198.51.100.0/24", priority=99, auto_assign=False),
    )
    given = [asked.choose(f"u{number}") for number in range(6)]
    assert given[:5] == [
        "192.0.2.2 in default",
        "192.0.2.1 in other",
        "192.0.2.4 in other",
        "192.0.2.0 in default",
        "192.0.2.3 in default",
    ]
    assert given[5].startswith("PoolExhausted")


def test_both_families_come_from_one_group_that_of_the_preferred_pool_of_the_first() -> None:
    asked = Choosing(
        a_range("four", "192.0.2.0/30"),
        a_range("six", "2001:db8::/64", priority=99),
        a_range("other-four", "198.51.100.0/30", priority=1, group="other"),
        a_range("other-six", "2001:db8:1::/64", group="other"),
    )
    assert asked.choose("u1", ip_families=BOTH) == "198.51.100.0 2001:db8:1:: in other"
    assert asked.choose("u2", ip_families=BOTH[::-1]) == "2001:db8:: 192.0.2.0 in default"


def test_an_address_that_it_had_is_preferred_to_a_better_pool_of_another_group() -> None:
    asked = Choosing(
        a_range("best", "192.0.2.0/30", priority=9), a_range("had", "198.51.100.0/30", group="other", priority=-9)
    )
    assert asked.choose(preferred=("198.51.100.3",)) == "198.51.100.3 in other"
    assert asked.choose("u2", preferred=("198.51.100.3",)) == "192.0.2.0 in default"


SELECTED = PoolSelector(
    tenants=("acme", "zeta"), namespaces=("shop", "bank"), service_labels={"fleetlb.dev/tier": "gold"}
)
GOLD = {"fleetlb.dev/tier": "gold", "fleetlb.dev/other": "x"}


@pytest.mark.parametrize(
    ("wish", "outcome"),
    [
        ({"labels": GOLD}, "192.0.2.0 in default"),
        ({"labels": GOLD, "pool": "gold"}, "192.0.2.0 in default"),
        ({"labels": GOLD, "addresses": ("192.0.2.3",)}, "192.0.2.3 in default"),
        ({"labels": GOLD, "preferred": ("192.0.2.3",)}, "192.0.2.3 in default"),
        ({"labels": GOLD, "tenant": {"pools": ("rest",)}}, "198.51.100.0 in default"),
        ({}, "198.51.100.0 in default"),
        ({"labels": {"fleetlb.dev/tier": "golden"}}, "198.51.100.0 in default"),
        ({"labels": {"fleetlb.dev/other": "gold"}, "preferred": ("192.0.2.3",)}, "198.51.100.0 in default"),
        ({"pool": "gold"}, "AddressNotAllowed"),
        ({"addresses": ("192.0.2.3",)}, "AddressNotAllowed"),
    ],
    ids=str,
)
def test_a_pool_gives_to_those_whom_it_is_for(wish: dict[str, Any], outcome: str) -> None:
    asked = Choosing(a_range("gold", "192.0.2.0/30", priority=1, selector=SELECTED), a_range("rest", "198.51.100.0/30"))
    assert asked.choose(**wish) == outcome


@pytest.mark.parametrize(
    ("selector", "wish"),
    [
        (PoolSelector(tenants=("zeta",)), {}),
        (PoolSelector(namespaces=("bank",)), {}),
        (PoolSelector(service_labels={"fleetlb.dev/tier": "gold"}), {}),
    ],
    ids=["tenant", "namespace", "label"],
)
def test_a_selector_never_takes_an_address_away(selector: PoolSelector, wish: dict[str, Any]) -> None:
    asked = Choosing(a_range("default", "192.0.2.0/30", selector=selector), a_range("z", "198.51.100.0/30", priority=9))
    claim = a_claim("192.0.2.1")
    asked.book.take("192.0.2.1", str(a_key()), pool="default")
    assert asked.choose(claims=(claim,)) == "192.0.2.1 in default"
    assert asked.choose(claims=(claim,), pool="default") == "192.0.2.1 in default"
    assert asked.choose(claims=(claim,), addresses=("192.0.2.1",)) == "192.0.2.1 in default"
    assert asked.choose("u2") == "198.51.100.0 in default"


def test_a_second_family_is_a_new_address() -> None:
    nobody = PoolSelector(tenants=("nobody",))
    asked = Choosing(a_range("default", "192.0.2.0/30"), a_range("six", "2001:db8::/64", selector=nobody))
    asked.book.take("192.0.2.1", str(a_key()), pool="default")
    held = (a_claim("192.0.2.1"),)
    assert asked.choose(claims=held, ip_families=BOTH) == "Unsupported"
    assert asked.choose(claims=held, ip_families=BOTH, prefers_dual_stack=True) == "192.0.2.1 in default"


def test_to_ask_again_is_to_be_proposed_the_same() -> None:
    asked = Choosing()
    assert asked.choose() == asked.choose() == "192.0.2.0 in default"
    assert asked.book.counts("default", Family.IPV4).used == 1


def test_a_proposal_that_does_not_fit_any_more_is_given_back() -> None:
    asked = Choosing()
    asked.choose()
    assert asked.choose(addresses=("192.0.2.3",)) == "192.0.2.3 in default"
    assert asked.freed == ["192.0.2.0"]
    asked.chooser.abandon(a_key(), ())
    asked.chooser.abandon(a_key(), ())
    assert asked.freed == ["192.0.2.0", "192.0.2.3"]
    assert asked.book.counts("default", Family.IPV4).used == 0


def test_a_proposal_that_somebody_else_claimed_is_not_given_back() -> None:
    asked = Choosing()
    asked.choose()
    asked.book.give_back("192.0.2.0")
    asked.book.take("192.0.2.0", "somebody")
    assert asked.choose() == "192.0.2.1 in default"
    assert asked.book.holder("192.0.2.0") == "somebody"
    assert asked.freed == []


def test_a_settled_proposal_is_kept() -> None:
    asked = Choosing()
    asked.choose()
    asked.chooser.settle(a_key(), "192.0.2.0")
    asked.chooser.abandon(a_key(), ())
    assert asked.book.holder("192.0.2.0") == str(a_key())


def test_what_is_held_stays_and_is_kept_out_of_quarantine_only_if_bound() -> None:
    asked = Choosing()
    bound, going = a_claim("192.0.2.2"), a_claim("192.0.2.1", phase=ClaimPhase.RELEASING)
    for claim in (bound, going):
        asked.book.take(claim.spec.address, str(a_key()))
    assert asked.choose(claims=(going, bound)) == "192.0.2.2 in default"
    assert asked.choose("u1", claims=(going,), preferred=("192.0.2.1",)) == "192.0.2.0 in default"


def test_an_address_that_it_had_is_preferred_if_nobody_has_it() -> None:
    asked = Choosing()
    assert asked.choose(preferred=("192.0.2.3",)) == "192.0.2.3 in default"
    assert asked.choose("u2", preferred=("192.0.2.3",)) == "192.0.2.0 in default"


@pytest.mark.parametrize(
    ("wish", "outcome"),
    [
        ({"addresses": ("192.0.2.3",)}, "192.0.2.3 in default"),
        ({"addresses": ("192.0.2.2",)}, f"AddressInUse {address_resource('192.0.2.2')}"),
        ({"addresses": ("198.51.100.1",)}, "AddressNotAllowed"),
        ({"addresses": ("203.0.113.0",)}, "AddressNotAllowed"),
        ({"addresses": ("203.0.113.1",)}, "203.0.113.1 in other"),
        ({"addresses": ("203.0.113.1",), "pool": "default"}, "AddressNotAllowed"),
        ({"addresses": ("203.0.113.1",), "tenant": {"pools": ("default",)}}, "AddressNotAllowed"),
        ({"addresses": ("203.0.113.1",), "tenant": {"groups": ("default",)}}, "AddressNotAllowed"),
        ({"addresses": ("192.0.2.3", "2001:db8::1"), "ip_families": BOTH}, "AddressNotAllowed"),
        ({"addresses": ("203.0.113.1", "2001:db8::1"), "ip_families": BOTH}, "203.0.113.1 2001:db8::1 in other"),
        ({"pool": "other"}, "203.0.113.1 in other"),
        ({"pool": "nowhere"}, "AddressNotAllowed"),
        ({"tenant": {"pools": ("nowhere",)}}, "AddressNotAllowed"),
        ({"tenant": {"groups": ("other",)}}, "AddressNotAllowed"),
        ({"ip_families": (Family.IPV6,)}, "Unsupported"),
        ({"ip_families": BOTH}, "Unsupported"),
        ({"ip_families": BOTH, "pool": "other"}, "203.0.113.1 2001:db8:: in other"),
        ({"affinity_seconds": 60}, "Unsupported"),
        ({"affinity_seconds": 60, "pool": "other"}, "203.0.113.1 in other"),
        ({"pool": "lost"}, "AddressNotAllowed"),
    ],
    ids=str,
)
def test_what_is_asked_for_is_given_or_refused(wish: dict[str, Any], outcome: str) -> None:
    asked = Choosing(
        a_range("default", "192.0.2.0/30"),
        a_range("other", "203.0.113.0/30", "2001:db8::/64", group="other", auto_assign=False, avoid_buggy=True),
        a_range("lost", "198.51.100.0/24", group="nowhere"),
    )
    asked.book.take("192.0.2.2", "somebody")
    before = asked.book.counts("default", Family.IPV4).used
    assert asked.choose(**wish) == outcome
    if " in " not in outcome:
        assert asked.book.counts("default", Family.IPV4).used == before
        assert asked.book.counts("other", Family.IPV4).used == 0


def test_sctp_is_refused_by_a_group_that_cannot() -> None:
    asked = Choosing()
    grant = grant_of(a_tenant(), allow_loopback=False)
    wish = a_wish()
    sctp = type(wish)(
        namespace="shop", name="web", ports=(ServicePort(port=1, node_port=31000, protocol=Protocol.SCTP),)
    )
    outcome = asked.chooser.choose(Wish(key=a_key(), service=sctp, grant=grant))
    assert isinstance(outcome, Denial)
    assert "SCTP" in outcome.refusal.message


def test_both_families_or_none() -> None:
    asked = Choosing(a_range("default", "192.0.2.0/30", "2001:db8::/128"))
    assert asked.choose("u1", ip_families=BOTH) == "192.0.2.0 2001:db8:: in default"
    assert asked.choose("u2", ip_families=BOTH) == f"PoolExhausted {pool_resource('default', Family.IPV6)}"
    assert asked.book.counts("default", Family.IPV4).used == 1
    assert asked.choose("u3", ip_families=(Family.IPV6, Family.IPV4)).startswith("PoolExhausted")
    assert asked.choose("u3").endswith(" in default")


def test_a_second_family_keeps_the_first_address() -> None:
    asked = Choosing(a_range("default", "192.0.2.0/30", "2001:db8::/64"))
    claim = a_claim("192.0.2.3")
    asked.book.take("192.0.2.3", str(a_key()))
    assert asked.choose(claims=(claim,), ip_families=BOTH) == "192.0.2.3 2001:db8:: in default"


def test_the_next_pool_or_group_helps_out() -> None:
    asked = Choosing(
        a_range("a", "192.0.2.0/32"), a_range("b", "192.0.2.1/32"), a_range("c", "192.0.2.2/32", group="other")
    )
    seen = [asked.choose(f"u{number}") for number in range(4)]
    assert seen[:3] == ["192.0.2.0 in default", "192.0.2.1 in default", "192.0.2.2 in other"]
    assert seen[3] == " ".join(["PoolExhausted", *(pool_resource(name, Family.IPV4) for name in "abc")])


def test_a_unit_kept_for_who_waited_is_not_given_to_a_newcomer() -> None:
    asked = Choosing(a_range("default", "192.0.2.0/31"))
    resource = pool_resource("default", Family.IPV4)
    asked.choose("u1")
    asked.lines.wait(a_key("u2"), (resource,), "t")
    asked.lines.call(resource)
    assert asked.choose("new").startswith("PoolExhausted")
    assert asked.choose("u2") == "192.0.2.1 in default"


def test_a_pool_asked_for_later_moves_the_address() -> None:
    asked = Choosing(a_range("default", "192.0.2.0/30"), a_range("second", "198.51.100.0/30"))
    asked.book.take("192.0.2.1", str(a_key()))
    claims = (a_claim("192.0.2.1"),)
    assert asked.choose(claims=claims, pool="second") == "198.51.100.0 in default"
    assert asked.choose(claims=claims, pool="default") == "192.0.2.1 in default"


def test_no_address_is_proposed_twice() -> None:
    asked = Choosing(a_range("default", "192.0.2.0/24", avoid_buggy=True))
    seen = [asked.choose(f"u{number}").split()[0] for number in range(254)]
    assert len(set(seen)) == 254
    assert not {"192.0.2.0", "192.0.2.255"} & set(seen)


BOTH = (Family.IPV4, Family.IPV6)


def test_who_prefers_two_families_takes_one_and_waits_for_the_other() -> None:
    asked = Choosing(a_range("four", "192.0.2.0/31"), a_range("six", "2001:db8::/128"))
    assert asked.choose("u1", ip_families=BOTH, prefers_dual_stack=True) == "192.0.2.0 2001:db8:: in default"
    assert asked.choose("u2", ip_families=BOTH) == f"PoolExhausted {pool_resource('six', Family.IPV6)}"
    grant = grant_of(a_tenant(), allow_loopback=False)
    wish = Wish(key=a_key("u3"), service=a_wish(ip_families=BOTH, prefers_dual_stack=True), grant=grant)
    outcome = asked.chooser.choose(wish)
    assert isinstance(outcome, Choice)
    assert [holding.address for holding in outcome.holdings] == ["192.0.2.1"]
    assert outcome.short is not None
    assert outcome.short.waits_for == (pool_resource("six", Family.IPV6),)
    assert asked.book.counts("four", Family.IPV4).used == 2


def test_who_prefers_two_families_keeps_the_one_it_holds() -> None:
    asked = Choosing(a_range("six", "2001:db8::/128"))
    held = a_claim("2001:db8::")
    held = replace(held, spec=replace(held.spec, pool="six"))
    asked.book.take("2001:db8::", str(a_key()))
    assert asked.choose(claims=(held,), ip_families=BOTH, prefers_dual_stack=True) == "2001:db8:: in default"


def test_an_address_asked_for_is_given_or_nothing_is() -> None:
    asked = Choosing(a_range("four", "192.0.2.0/31"))
    answer = asked.choose(ip_families=BOTH, prefers_dual_stack=True, addresses=("2001:db8::1",))
    assert answer == "AddressNotAllowed"


def test_what_is_dropped_is_told_of_with_its_pool_also_when_that_has_lost_it() -> None:
    asked = Choosing()
    asked.choose()
    asked.book.set_pool(a_range("default", "198.51.100.0/30"))
    asked.chooser.abandon(a_key("u1"), ())
    assert (asked.freed, asked.freed_from) == (["192.0.2.0"], ["default"])


@pytest.mark.parametrize("resource", [pool_resource("default", Family.IPV4), address_resource("192.0.2.7")])
def test_what_it_gave_up_is_not_its_own_while_it_is_kept_for_who_waited_longer(resource: str) -> None:
    asked = Choosing(a_range("default", "192.0.2.7/32"))
    asked.lines.wait(a_key("older"), (resource,), "t")
    assert asked.lines.call(resource) == a_key("older")
    assert asked.choose("had", preferred=("192.0.2.7",)).startswith("PoolExhausted")
    assert asked.choose("had", preferred=("192.0.2.7",), lost=("192.0.2.7",)) == "192.0.2.7 in default", (
        "it never gave it up"
    )


def test_a_proposal_whose_claim_was_made_without_an_answer_is_not_given_back() -> None:
    asked = Choosing()
    asked.choose()
    asked.chooser.abandon(a_key(), (a_claim("192.0.2.0"),))
    assert asked.book.holder("192.0.2.0") == str(a_key())
    assert asked.freed == []


def test_the_last_free_addresses_are_not_had_by_their_names_by_a_newcomer_while_they_are_owed() -> None:
    """It waits for its name, and is called when those who waited longer have taken others."""
    choosing = Choosing(a_range("default", "192.0.2.0/31"))
    pool = pool_resource("default", Family.IPV4)
    choosing.lines.wait(a_key("older"), (pool,), "t")
    assert choosing.lines.call(pool) == a_key("older")
    assert choosing.choose("first", addresses=("192.0.2.1",)) == "192.0.2.1 in default", "there are two"
    assert choosing.choose("named", addresses=("192.0.2.0",)) == "AddressInUse address/192.0.2.0"
    outcome = choosing.outcome("named", addresses=("192.0.2.0",))
    assert isinstance(outcome, Denial)
    assert outcome.is_passing
    assert choosing.choose("older") == "192.0.2.0 in default"
