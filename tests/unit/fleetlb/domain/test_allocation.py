import collections
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleetlb.domain import allocation
from fleetlb.domain.address_pools import AddressRange, is_buggy, number_of, parse_intervals, spell
from fleetlb.domain.addresses import Family, parse_address
from fleetlb.domain.allocation import AddressBook, Counts, Hold

V4, V6 = Family.IPV4, Family.IPV6


def a_pool(*texts: str, name: str = "p", avoid_buggy: bool = False, excluded: Iterable[str] = ()) -> AddressRange:
    return AddressRange(name=name, intervals=parse_intervals(texts, excluded), avoid_buggy=avoid_buggy)


def a_book(*pools: AddressRange) -> AddressBook:
    book = AddressBook()
    for pool in pools:
        book.set_pool(pool)
    return book


def take_next(book: AddressBook, owner: str, pool: str = "p", family: Family = V4) -> str | None:
    address = book.choose(pool, family)
    if address is not None:
        assert book.take(address, owner)
    return address


def test_addresses_are_given_in_order_and_then_no_more() -> None:
    book = a_book(a_pool("10.0.0.8/31", "10.0.0.1"))
    assert [take_next(book, f"o{n}") for n in range(4)] == ["10.0.0.1", "10.0.0.8", "10.0.0.9", None]


def test_the_longest_free_address_returns_first() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    first, second, *_ = [take_next(book, f"o{n}") for n in range(4)]
    assert first is not None
    assert second is not None
    book.give_back(second)
    book.give_back(first)
    assert [take_next(book, "new"), take_next(book, "new"), take_next(book, "new")] == [second, first, None]


def test_an_address_not_yet_passed_is_not_queued_twice() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    assert book.take("10.0.0.2", "named")
    book.give_back("10.0.0.2")
    assert [take_next(book, f"o{n}") for n in range(5)] == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", None]


@pytest.mark.parametrize("named", ["10.0.0.0", "10.0.0.2"])
def test_an_address_ahead_of_the_search_is_offered_once(named: str) -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    assert book.take(named, "named")
    book.give_back(named)
    assert [book.choose("p", V4) for _ in range(5)] == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", None]


@pytest.mark.parametrize("between", ["taken by name", "declined while held"])
def test_the_wait_of_a_free_address_begins_when_it_was_last_held(between: str) -> None:
    book = a_book(a_pool("10.0.0.0/31"))
    assert [take_next(book, "a"), take_next(book, "b")] == ["10.0.0.0", "10.0.0.1"]
    if between == "taken by name":
        book.give_back("10.0.0.0")
        assert book.take("10.0.0.0", "named")
    else:
        book.decline("p", "10.0.0.0")
    book.give_back("10.0.0.1")
    book.give_back("10.0.0.0")
    assert [book.choose("p", V4), book.choose("p", V4)] == ["10.0.0.1", "10.0.0.0"]


def test_a_declined_address_is_offered_again() -> None:
    book = a_book(a_pool("10.0.0.0/31"))
    first = book.choose("p", V4)
    assert first == "10.0.0.0"
    book.decline("p", first)
    assert [take_next(book, "a"), take_next(book, "b"), take_next(book, "c")] == ["10.0.0.1", "10.0.0.0", None]


def test_declining_what_somebody_else_took_changes_nothing() -> None:
    book = a_book(a_pool("10.0.0.0/32"))
    assert book.choose("p", V4) == "10.0.0.0"
    assert book.take("10.0.0.0", "winner")
    book.decline("p", "10.0.0.0")
    book.decline("gone", "10.0.0.0")
    assert book.choose("p", V4) is None
    assert book.holder("10.0.0.0") == "winner"


def test_a_second_owner_is_refused_and_changes_nothing() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    assert book.take("10.0.0.1", "a")
    assert not book.take("10.0.0.1", "b", Hold.QUARANTINED)
    assert book.holder("10.0.0.1") == "a"
    assert book.counts("p", V4) == Counts(4, 1, 0)


def test_the_owner_may_change_how_it_holds() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    for hold, expected in ((Hold.USED, (1, 0)), (Hold.QUARANTINED, (0, 1)), (Hold.USED, (1, 0))):
        assert book.take("10.0.0.1", "a", hold)
        counts = book.counts("p", V4)
        assert (counts.used, counts.quarantined, counts.free) == (*expected, 3)


def test_quarantined_is_not_free() -> None:
    book = a_book(a_pool("10.0.0.0/32"))
    assert book.take("10.0.0.0", "a", Hold.QUARANTINED)
    assert book.choose("p", V4) is None


def test_giving_back_names_the_pools_that_gain() -> None:
    book = a_book(a_pool("10.0.0.0/30"), a_pool("10.0.0.2/31", name="q"), a_pool("10.9.0.0/30", name="r"))
    assert book.take("10.0.0.2", "a")
    assert book.take("192.0.2.1", "a")
    assert book.give_back("10.0.0.2") == ["p", "q"]
    assert book.give_back("10.0.0.2") == []
    assert book.give_back("192.0.2.1") == []
    assert book.pools_of("10.0.0.2") == ["p", "q"]
    assert book.pools_of("fd00::1") == []


def test_overlapping_pools_never_give_one_address_twice() -> None:
    book = a_book(a_pool("10.0.0.0/30"), a_pool("10.0.0.2-10.0.0.5", name="q"))
    given = [take_next(book, "x", pool) for pool in ("q", "p", "q", "p", "q", "p", "q", "p")]
    assert given == ["10.0.0.2", "10.0.0.0", "10.0.0.3", "10.0.0.1", "10.0.0.4", None, "10.0.0.5", None]


def test_a_pool_that_grows_keeps_its_holders_and_gives_more() -> None:
    book = a_book(a_pool("10.0.0.4/31"))
    assert [take_next(book, "a"), take_next(book, "b"), take_next(book, "c")] == ["10.0.0.4", "10.0.0.5", None]
    book.set_pool(a_pool("10.0.0.0-10.0.0.6"))
    assert book.counts("p", V4) == Counts(7, 2, 0)
    given = [take_next(book, "n") for _ in range(6)]
    assert given == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.6", None]


def test_a_pool_that_shrinks_keeps_what_is_held() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    assert book.take("10.0.0.3", "a")
    book.set_pool(a_pool("10.0.0.0/31"))
    assert book.holder("10.0.0.3") == "a"
    assert book.counts("p", V4) == Counts(2, 0, 0)
    assert book.give_back("10.0.0.3") == []


@pytest.mark.parametrize("lost", ["taken out", "excluded"])
def test_what_a_pool_loses_counts_in_it_until_it_is_given_back_and_is_never_given_again(lost: str) -> None:
    book = a_book(a_pool("10.0.0.0/29", "fd00::/64"))
    assert book.take("10.0.0.6", "a", pool="p")
    assert book.take("10.0.0.7", "b", Hold.QUARANTINED, "p")
    assert book.counts("p", V4) == Counts(8, 1, 1)
    rest = a_pool("10.0.0.0/30", "fd00::/64")
    book.set_pool(rest if lost == "taken out" else a_pool("10.0.0.0/29", "fd00::/64", excluded=["10.0.0.4/30"]))
    assert (book.counts("p", V4), book.counts("p", V4).free) == (Counts(6, 1, 1), 4)
    assert (book.holder("10.0.0.6"), book.pools_of("10.0.0.6"), book.is_virtual("10.0.0.6")) == ("a", [], True)
    assert [take_next(book, f"o{n}") for n in range(5)] == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", None]
    assert book.give_back("10.0.0.6") == []
    assert book.give_back("10.0.0.7") == []
    assert book.choose("p", V4) is None
    assert (book.counts("p", V4), book.is_virtual("10.0.0.6")) == (Counts(4, 4, 0), False)


def test_an_address_that_is_carved_out_for_another_pool_counts_there_alone() -> None:
    book = a_book(a_pool("10.0.0.0/24", excluded=["10.0.0.128/25"]), a_pool("10.0.0.128/25", name="q"))
    assert take_next(book, "a", "q") == "10.0.0.128"
    assert (book.counts("p", V4), book.counts("q", V4)) == (Counts(128, 0, 0), Counts(128, 1, 0))


def test_excluded_addresses_are_never_given() -> None:
    texts = ["10.0.0.0", "10.0.0.3-10.0.0.4", "10.0.0.7/32", "fd00::/65", "192.0.2.1"]
    book = a_book(a_pool("10.0.0.0/29", "fd00::/64", excluded=texts))
    given = [take_next(book, f"o{n}") for n in range(5)]
    assert given == ["10.0.0.1", "10.0.0.2", "10.0.0.5", "10.0.0.6", None]
    assert take_next(book, "six", family=V6) == "fd00::8000:0:0:0"
    assert (book.size("p", V4), book.size("p", V6)) == (4, 2**63)


def test_setting_an_equal_pool_starts_no_new_search() -> None:
    book = a_book(a_pool("10.0.0.0/30"))
    assert book.choose("p", V4) == "10.0.0.0"
    book.set_pool(a_pool("10.0.0.0/30"))
    assert book.choose("p", V4) == "10.0.0.1"


def test_a_dropped_pool_gives_nothing_and_may_come_back() -> None:
    book = a_book(a_pool("10.0.0.0/31"))
    assert take_next(book, "a") == "10.0.0.0"
    book.drop_pool("p")
    book.drop_pool("p")
    assert book.choose("p", V4) is None
    assert book.holder("10.0.0.0") == "a"
    book.set_pool(a_pool("10.0.0.0/31"))
    assert book.counts("p", V4) == Counts(2, 1, 0)
    assert take_next(book, "b") == "10.0.0.1"


def test_a_pool_without_the_family_gives_nothing() -> None:
    book = a_book(a_pool("10.0.0.0/31"), a_pool(name="empty"))
    assert book.choose("p", V6) is None
    assert book.choose("empty", V4) is None
    assert book.choose("unknown", V4) is None
    assert book.counts("p", V6) == Counts(0, 0, 0)


def test_both_families_of_one_pool() -> None:
    book = a_book(a_pool("10.0.0.0/31", "fd00::/127"))
    assert take_next(book, "a", family=V6) == "fd00::"
    assert take_next(book, "a", family=V4) == "10.0.0.0"
    assert take_next(book, "a", family=V6) == "fd00::1"
    assert take_next(book, "a", family=V6) is None
    assert book.counts("p", V6) == Counts(2, 2, 0)


def test_spellings_of_one_address_are_one_address() -> None:
    book = a_book(a_pool("fd00::/126"))
    assert book.take("FD00:0:0::1", "a")
    assert book.holder("fd00::1") == "a"
    assert not book.take("fd00:0000::1", "b")


def test_buggy_addresses_are_given_by_name_only_and_counted_then() -> None:
    book = a_book(a_pool("10.0.0.254-10.0.1.1", avoid_buggy=True))
    assert book.counts("p", V4) == Counts(2, 0, 0)
    assert book.take("10.0.0.255", "named")
    assert book.counts("p", V4) == Counts(3, 1, 0)
    assert book.counts("p", V4).free == 2
    assert [take_next(book, "a"), take_next(book, "b"), take_next(book, "c")] == ["10.0.0.254", "10.0.1.1", None]
    book.give_back("10.0.0.255")
    assert book.counts("p", V4) == Counts(2, 2, 0)
    assert take_next(book, "d") is None


def counted(monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> Callable[[], int]:
    """How often a function of a module or class was called so far."""
    calls = [0]
    original = getattr(target, name)

    def counting(*args: object) -> object:
        calls[0] += 1
        return original(*args)

    monkeypatch.setattr(target, name, counting)
    return lambda: calls[0]


def test_a_huge_pool_is_never_enumerated(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = counted(monkeypatch, allocation, "lies_in")
    book = a_book(a_pool("fd00::/64", "10.0.0.0/8"))
    for n in range(1000):
        assert take_next(book, f"o{n}", family=V6) == spell(V6, int(parse_address("fd00::")) + n)
    assert looked() == 1000
    assert book.counts("p", V6).free == 2**64 - 1000


class CountingSet(dict[object, object]):
    """Counts the look-ups of held addresses: each address that a search passes is one."""

    lookups = 0

    def __contains__(self, key: object) -> bool:
        self.lookups += 1
        return super().__contains__(key)


@pytest.mark.parametrize("excluded", [[], [f"10.0.{n}.1" for n in range(128, 192)]], ids=["whole", "in 65 pieces"])
def test_a_full_pool_costs_one_look_per_choice_once_it_was_walked(excluded: list[str]) -> None:
    book = a_book(a_pool("10.0.0.0/16", excluded=excluded))
    held = CountingSet()
    book._held = held  # type: ignore[assignment]
    total = 2**16 - len(excluded)
    for n in range(total):
        assert take_next(book, f"o{n}") is not None
    assert held.lookups == total
    for n in range(500):
        assert book.choose("p", V4) is None
        address = spell(V4, int(parse_address("10.0.0.0")) + n * 7)
        book.give_back(address)
        assert take_next(book, "again") == address
    assert held.lookups <= total + 2 * 500


class NeverWalked(collections.OrderedDict[int, None]):
    """A queue that may be asked for its first, but not be walked: what was taken before would be passed each time."""

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("the queue is walked")


def test_who_was_given_back_first_is_found_without_passing_those_taken_before() -> None:
    book = a_book(a_pool("10.0.0.0/28"))
    queue = book._shelves["p", V4]._returned = NeverWalked()
    given = [address for n in range(16) if (address := take_next(book, f"o{n}"))]
    for address in given:
        book.give_back(address)
    assert len(queue) == 16
    assert [take_next(book, "again") for _ in given] == given


SMALL = [f"10.0.0.{n}" for n in (0, 1, 2, 3, 254, 255)] + ["10.0.1.0", "10.0.1.1", "fd00::", "fd00::1", "fd00::2"]
RANGES = ["10.0.0.0/30", "10.0.0.2-10.0.0.3", "10.0.0.254-10.0.1.1", "10.0.1.0/31", "fd00::/127", "fd00::1-fd00::2"]
ranges = st.sets(st.sampled_from(RANGES), max_size=4)
names = st.sampled_from(["p", "q", "r"])
owners = st.sampled_from(["a", "b", "c"])
addresses = st.sampled_from(SMALL)
holds = st.sampled_from(Hold)


class AgainstANaiveModel(RuleBasedStateMachine):
    """Random histories over overlapping, growing and shrinking pools, beside a model that looks at everything."""

    def __init__(self) -> None:
        super().__init__()
        self.book = AddressBook()
        self.pools: dict[str, AddressRange] = {}
        self.held: dict[str, tuple[str, Hold, str]] = {}
        self.offered: dict[str, set[str]] = collections.defaultdict(set)

    def of_pool(self, name: str, family: Family) -> list[str]:
        """The addresses of a pool, found the slow way."""
        found = []
        for address in SMALL:
            kind, value = number_of(parse_address(address))
            if kind is family and any(i.has(kind, value) for i in self.pools[name].intervals):
                found.append(address)
        return found

    def may_give(self, name: str, address: str) -> bool:
        return not (self.pools[name].avoid_buggy and is_buggy(*number_of(parse_address(address))))

    @rule(name=names, texts=ranges, excluded=ranges, avoid_buggy=st.booleans())
    def set_pool(self, name: str, texts: set[str], excluded: set[str], avoid_buggy: bool) -> None:
        pool = a_pool(*sorted(texts), name=name, avoid_buggy=avoid_buggy, excluded=excluded)
        if self.pools.get(name) != pool:
            self.offered[name].clear()
        self.pools[name] = pool
        self.book.set_pool(pool)

    @rule(name=names)
    def drop_pool(self, name: str) -> None:
        self.pools.pop(name, None)
        self.offered[name].clear()
        self.book.drop_pool(name)

    @rule(name=names, owner=owners, family=st.sampled_from(Family), taken=st.booleans())
    def choose(self, name: str, owner: str, family: Family, taken: bool) -> None:
        address = self.book.choose(name, family)
        if name not in self.pools:
            assert address is None
            return
        free = {
            a
            for a in self.of_pool(name, family)
            if a not in self.held and self.may_give(name, a) and a not in self.offered[name]
        }
        assert (address is not None) == bool(free)
        if address is None:
            return
        assert address in free
        if taken:
            assert self.book.take(address, owner, pool=name)
            self.held[address] = (owner, Hold.USED, name)
        else:
            self.offered[name].add(address)

    @precondition(lambda self: any(self.offered.values()))
    @rule(data=st.data())
    def decline(self, data: st.DataObject) -> None:
        pairs = sorted((name, address) for name, many in self.offered.items() for address in many)
        name, address = data.draw(st.sampled_from(pairs))
        self.offered[name].discard(address)
        self.book.decline(name, address)

    @rule(address=addresses, owner=owners, hold=holds, pool=names)
    def take(self, address: str, owner: str, hold: Hold, pool: str) -> None:
        expected = address not in self.held or self.held[address][0] == owner
        assert self.book.take(address, owner, hold, pool) is expected
        if expected:
            self.held[address] = (owner, hold, pool)
            for many in self.offered.values():
                many.discard(address)

    @rule(address=addresses)
    def give_back(self, address: str) -> None:
        was_held = self.held.pop(address, None) is not None
        family = number_of(parse_address(address))[0]
        gaining = [name for name in self.book.pools if address in self.of_pool(name, family)]
        assert self.book.give_back(address) == (gaining if was_held else [])
        if was_held:
            for many in self.offered.values():
                many.discard(address)

    @invariant()
    def one_holder_each(self) -> None:
        for address in SMALL:
            owner = self.book.holder(address)
            assert owner == (self.held[address][0] if address in self.held else None)

    @invariant()
    def conserved(self) -> None:
        for name in self.pools:
            for family in Family:
                inside = self.of_pool(name, family)
                of_family = [a for a in self.held if number_of(parse_address(a))[0] is family]
                counting = [self.held[a][1] for a in of_family if a in inside or self.held[a][2] == name]
                used, quarantined = counting.count(Hold.USED), counting.count(Hold.QUARANTINED)
                free = sum(a not in self.held and self.may_give(name, a) for a in inside)
                counts = self.book.counts(name, family)
                assert (counts.used, counts.quarantined, counts.free) == (used, quarantined, free)
                assert counts.total == used + quarantined + free


TestAgainstANaiveModel = AgainstANaiveModel.TestCase
TestAgainstANaiveModel.settings = settings(max_examples=150, stateful_step_count=40)
