from typing import Any

import pytest

from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb_manager.eligible_pools import EligiblePools
from fleetlb_manager.registering import grant_of
from tests.unit.fleetlb_manager.manager_world import a_tenant, a_wish

GROUPS = {"default": frozenset({"tcp"})}
ZETA = PoolSelector(tenants=("zeta",))
BANK = PoolSelector(namespaces=("bank",))
GOLD = PoolSelector(service_labels={"fleetlb.dev/tier": "zeta-only"})


def pools(**given: dict[str, Any]) -> EligiblePools:
    """Pools by name, each with a network of its own."""
    book = AddressBook()
    for number, (name, spec) in enumerate(given.items()):
        book.set_pool(AddressRange(name=name, intervals=parse_intervals([f"192.0.{number}.0/24"]), **spec))
    return EligiblePools(book, GROUPS.get)


def grant(*names: str) -> Any:
    return grant_of(a_tenant(pools=names), allow_loopback=False)


def test_the_highest_priority_comes_first_and_equal_ones_by_name() -> None:
    given = pools(b={}, a={}, z={"priority": 2}, y={"priority": -1}, x={"priority": 1, "auto_assign": False})
    assert given.of(a_wish(), grant()) == ["z", "x", "a", "b", "y"]
    assert given.of(a_wish(), grant(), ["y", "a"]) == ["a", "y"]
    assert given.automatic(a_wish(), grant()) == ["z", "a", "b", "y"]
    assert given.automatic(a_wish(pool="x"), grant()) == ["x"]
    assert given.automatic(a_wish(pool="x"), grant("a")) == []


def test_only_a_pool_that_is_granted_open_fitting_and_carried_gives() -> None:
    given = pools(
        ours={"selector": PoolSelector(tenants=("acme",), namespaces=("shop",))},
        closed={"closed": True},
        zeta={"selector": ZETA},
        bank={"selector": BANK},
        gold={"selector": GOLD},
        lost={"group": "nowhere"},
    )
    assert given.of(a_wish(), grant()) == ["ours"]
    assert given.of(a_wish(labels={"fleetlb.dev/tier": "zeta-only"}), grant()) == ["gold", "ours"]
    assert given.of(a_wish(), grant("gold")) == []


@pytest.mark.parametrize(
    ("wish", "granted", "text"),
    [
        ({"pool": "none"}, (), "fleetlb.dev/pool: pool 'none' is not granted to this tenant"),
        ({"pool": "theirs"}, (), "fleetlb.dev/pool: pool 'theirs' is not granted to this tenant"),
        ({"pool": "bank"}, ("gold",), "fleetlb.dev/pool: pool 'bank' is not granted to this tenant"),
        ({"pool": "bank"}, (), "fleetlb.dev/pool: pool 'bank' is not for Services of namespace 'shop': ask for"),
        ({"pool": "gold"}, (), "fleetlb.dev/pool: pool 'gold' is not for Services with the labels of this one: ask"),
        ({"pool": "lost"}, (), "fleetlb.dev/pool: pool 'lost' belongs to a balancer group that is not there: ask for"),
        ({"pool": "closed"}, (), "fleetlb.dev/pool: pool 'closed' is being removed: ask for another one"),
        ({}, ("theirs",), "no address pool is granted to this tenant"),
        (
            {},
            ("bank", "gold", "asked", "theirs"),
            "no address pool gives to this Service by itself: each that is granted to this tenant gives to those alone"
            " who ask for it (fleetlb.dev/pool), or is not for Services of namespace 'shop', or is not for Services"
            " with the labels of this one",
        ),
    ],
)
def test_why_there_is_none(wish: dict[str, Any], granted: tuple[str, ...], text: str) -> None:
    given = pools(
        theirs={"selector": ZETA},
        bank={"selector": BANK},
        gold={"selector": GOLD},
        lost={"group": "nowhere"},
        closed={"closed": True},
        asked={"auto_assign": False},
    )
    refusal = given.why_none(a_wish(**wish), grant(*granted))
    assert refusal.reason == "AddressNotAllowed"
    assert refusal.message.startswith(text)
    assert "zeta" not in refusal.message


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.0.1", "lies in no address pool that this tenant may use"),
        ("192.0.1.1", "lies in pool bank, which is not for Services of namespace 'shop'"),
        ("192.0.2.1", "lies in no address pool that this tenant may use"),
        ("203.0.113.1", "lies in no address pool that this tenant may use"),
    ],
)
def test_why_an_address_is_not_to_be_had(address: str, text: str) -> None:
    given = pools(theirs={"selector": ZETA}, bank={"selector": BANK}, other={"selector": GOLD})
    refusal = given.why_not_there(a_wish(addresses=(address,)), grant("theirs", "bank"), address)
    assert (refusal.reason, refusal.message) == ("AddressNotAllowed", f"fleetlb.dev/addresses: {address} {text}")
