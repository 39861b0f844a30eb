"""Who is called for an address that is free: the oldest of all, once."""

from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.addresses import Family
from fleetlb.domain.allocation import AddressBook
from fleetlb_manager.offering import Offering, units_left
from fleetlb_manager.waiting_lines import (
    WaitingLines,
    address_of,
    address_resource,
    for_anybody,
    pool_of,
    pool_resource,
    quota_resource,
    sharing_resource,
)
from tests.unit.fleetlb_manager.manager_world import Marked, a_key

V4 = Family.IPV4
POOL = pool_resource("default", V4)
FIRST, SECOND = "192.0.2.0", "192.0.2.1"


class Offered:
    """A pool of two addresses, both taken, and whoever is called."""

    def __init__(self) -> None:
        self.book, self.lines, self.marks = AddressBook(), WaitingLines(), Marked()
        self.add_pool("default", f"{FIRST}-{SECOND}")
        for address in (FIRST, SECOND):
            self.book.take(address, "somebody", pool="default")
        self.offering = Offering(self.book, self.lines, self.marks)

    def add_pool(self, name: str, *ranges: str) -> None:
        intervals = parse_intervals(ranges, ())
        self.book.set_pool(AddressRange(name=name, intervals=intervals, group="default"))

    def waits(self, uid: str, *resources: str) -> None:
        self.lines.wait(a_key(uid), resources, f"2027-01-01T00:00:0{uid[-1]}Z")

    def frees(self, address: str) -> list[str]:
        self.book.give_back(address)
        self.offering.offer(address)
        return self.called()

    def called(self) -> list[str]:
        uids = [key.uid for key in self.marks.services]
        self.marks.clear()
        return uids

    def takes(self, uid: str, address: str) -> list[str]:
        self.book.take(address, uid, pool="default")
        self.offering.call_next(self.lines.leave(a_key(uid)))
        return self.called()


def test_one_address_is_offered_to_one_the_oldest() -> None:
    offered = Offered()
    offered.waits("any-2", POOL)
    offered.waits("named-1", address_resource(FIRST))
    offered.waits("any-3", POOL)
    assert offered.frees(FIRST) == ["named-1"]
    offered.offering.offer(FIRST)
    assert offered.called() == [], "it is kept"
    assert units_left(offered.book, offered.lines, "default", V4) == 0
    assert offered.takes("named-1", FIRST) == []
    assert offered.frees(SECOND) == ["any-2"]


def test_who_waits_by_name_and_was_passed_over_is_called_when_the_older_one_took_another() -> None:
    offered = Offered()
    offered.waits("any-1", POOL)
    offered.waits("named-2", address_resource(FIRST))
    assert offered.frees(FIRST) == ["any-1"]
    assert offered.frees(SECOND) == []
    assert offered.takes("any-1", SECOND) == ["named-2"]


def test_nobody_is_called_for_what_is_taken() -> None:
    offered = Offered()
    offered.waits("any-1", POOL)
    offered.waits("any-2", POOL)
    assert offered.frees(FIRST) == ["any-1"]
    assert offered.takes("any-1", FIRST) == [], "there is none left for the next one"
    assert offered.frees(SECOND) == ["any-2"]


def test_an_address_of_two_pools_is_one_address() -> None:
    offered = Offered()
    offered.add_pool("other", f"{FIRST}/32")
    offered.waits("other-2", pool_resource("other", V4))
    offered.waits("any-1", POOL)
    assert offered.frees(FIRST) == ["any-1"]


def test_what_was_kept_and_is_not_needed_goes_to_the_next() -> None:
    offered = Offered()
    offered.waits("named-1", address_resource(FIRST))
    offered.waits("any-2", POOL)
    assert offered.frees(FIRST) == ["named-1"]
    offered.offering.call_next(offered.lines.leave(a_key("named-1")))
    assert offered.called() == ["any-2"]


def test_resources_are_read_as_they_are_written() -> None:
    names = (POOL, address_resource(FIRST), quota_resource("acme"), sharing_resource("acme", "pool/x/IPv4"))
    assert [pool_of(name) for name in names] == [("default", V4), None, None, None]
    assert [address_of(name) for name in names] == ["", FIRST, "", ""]
    assert for_anybody(names) == names[:2]


def test_what_is_owed_to_who_was_called_is_offered_to_nobody_else() -> None:
    """Neither when somebody else gives back what was none, nor when the address is offered once more."""
    offered = Offered()
    offered.waits("any-1", POOL)
    offered.waits("named-2", address_resource(FIRST))
    assert offered.frees(FIRST) == ["any-1"]
    offered.offering.call_next([POOL])
    offered.offering.offer(FIRST)
    assert offered.called() == []
    offered.offering.call_next(offered.lines.leave(a_key("any-1")))
    assert offered.called() == ["named-2"], "it did not need it"


def test_an_address_that_is_owed_in_one_of_its_pools_waits_for_that_one() -> None:
    offered = Offered()
    offered.add_pool("other", f"{FIRST}/32")
    other = pool_resource("other", V4)
    offered.waits("other-1", other)
    offered.waits("named-2", address_resource(FIRST))
    assert offered.frees(FIRST) == ["other-1"]
    assert offered.frees(SECOND) == []
    offered.offering.call_next([POOL])
    assert offered.called() == []
    offered.offering.call_next(offered.lines.leave(a_key("other-1")))
    assert offered.called() == ["named-2"]


def test_a_thousand_that_wait_by_name_cost_a_thousand_looks() -> None:
    """However many are called at once, one more costs no look at the others."""
    offered = Offered()
    offered.add_pool("large", "198.51.100.0/22")
    addresses = [f"198.51.{100 + number // 256}.{number % 256}" for number in range(1000)]
    for number, address in enumerate(addresses):
        offered.book.take(address, "somebody", pool="large")
        offered.waits(f"named-{number}", address_resource(address))
    looks, around = 0, offered.book.pools_of

    def counted(address: str) -> list[str]:
        nonlocal looks
        looks += 1
        return around(address)

    offered.book.pools_of = counted  # type: ignore[method-assign]
    for address in addresses:
        offered.frees(address)
        assert units_left(offered.book, offered.lines, "large", V4) == 24
    assert looks == len(addresses)


def test_a_new_pool_is_kept_for_those_who_waited_longest_for_others() -> None:
    """Also from a newcomer that is looked at before they have come."""
    offered = Offered()
    six = pool_resource("default", Family.IPV6)
    offered.waits("any-2", POOL)
    offered.waits("any-1", POOL)
    offered.waits("six-0", six)
    offered.add_pool("extra", "198.51.100.7/32")
    extra = pool_resource("extra", V4)
    offered.offering.open("extra", V4, [a_key(uid) for uid in ("six-0", "any-1", "any-2", "nobody")])
    assert offered.called() == ["any-1"]
    assert units_left(offered.book, offered.lines, "extra", V4) == offered.lines.kept_from(a_key("new-9"), extra) == 1
    assert offered.lines.resources(a_key("six-0")) == (six,)
    offered.offering.call_next(offered.lines.wait(a_key("any-1"), (POOL,), "t"))  # it may have none of that pool
    assert offered.called() == ["any-2"]
    assert offered.takes("any-2", "198.51.100.7") == []


def test_a_pool_that_grows_calls_as_many_as_it_has_for() -> None:
    offered = Offered()
    for uid in ("any-1", "any-2", "any-3"):
        offered.waits(uid, POOL)
    offered.add_pool("default", "192.0.2.0-192.0.2.3")
    offered.offering.open("default", V4, ())
    assert offered.called() == ["any-1", "any-2"]
    offered.offering.open("default", V4, ())
    assert offered.called() == []
