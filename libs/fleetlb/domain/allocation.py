"""Which addresses are taken and which is next: the bookkeeping between claims and pools, in memory, without a clock.

Invariants (checked by tests/unit/fleetlb/domain/test_allocation.py, after every operation of random histories):
  * an address has one holder at the most, whatever pool it lies in;
  * an address that is held counts in every pool whose ranges hold it, and in the pool that it was given out of, also
    where that has lost or excluded it since;
  * used + quarantined + free = total, per pool and family: `total` is what a pool may give out, and beside that what is
    held of it although it would not be given out any more;
  * `choose` returns a free address of the pool if there is one.

`choose`, `take` and `give_back` do not depend on how full a pool is, amortised over its life: a cursor walks each pool
once and never looks back; addresses given back behind it queue up, the longest free first. The claims in the API
server stay the lock (ADR 3): this book only proposes.
"""

import enum
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from fleetlb.domain.address_pools import AddressRange, is_buggy, lies_in, number_of, size_of, spell
from fleetlb.domain.addresses import Family, parse_address


class Hold(enum.Enum):
    """Why an address is not free."""

    USED = "used"
    QUARANTINED = "quarantined"


class Counts(msgspec.Struct, frozen=True):
    """Addresses of one pool and family."""

    total: int
    used: int
    quarantined: int

    @property
    def free(self) -> int:
        """Addresses that `choose` can still find."""
        return self.total - self.used - self.quarantined


class _Held(NamedTuple):
    """Who holds an address, how, and out of which pool it was given."""

    owner: str
    hold: Hold
    pool: str


class _Shelf:
    """One family of a pool: how much of it is held, where the search stands, and what was given back behind it."""

    def __init__(self, pool: AddressRange, family: Family) -> None:
        self.size = size_of(pool, family)
        self.held = dict.fromkeys(Hold, 0)
        self.extra = 0
        """Held addresses that the pool would not give out by itself, so that `size` does not count them."""
        self._spans = [i for i in pool.intervals if i.family is family]
        self._span = 0
        self._next = self._spans[0].first if self._spans else 0
        # A plain dict would pass all that was taken from its front before, each time that its first is asked for.
        self._returned: OrderedDict[int, None] = OrderedDict()

    def passed(self, value: int) -> bool:
        """Whether the search will not come by this address again."""
        if self._span >= len(self._spans):
            return True
        return value < self._next

    def give_back(self, value: int) -> None:
        """Queue an address that became free behind the cursor."""
        if self.passed(value):
            self._returned[value] = None

    def forget(self, value: int) -> None:
        """Somebody took the address by name."""
        self._returned.pop(value, None)

    def candidates(self) -> Iterable[int]:
        """Addresses never looked at, in order, then those given back, the longest free first."""
        while self._span < len(self._spans):
            span = self._spans[self._span]
            while self._next <= span.last:
                value, self._next = self._next, self._next + 1
                yield value
            self._span += 1
            if self._span < len(self._spans):
                self._next = self._spans[self._span].first
        while self._returned:
            yield self._returned.popitem(last=False)[0]


class AddressBook:
    """Holders of addresses over all pools."""

    def __init__(self) -> None:
        self.pools: dict[str, AddressRange] = {}
        self._held: dict[tuple[Family, int], _Held] = {}
        self._shelves: dict[tuple[str, Family], _Shelf] = {}

    def set_pool(self, pool: AddressRange) -> None:
        """Add or change a pool; what is held stays held. O(held) for a changed pool, which is an operator's act."""
        if self.pools.get(pool.name) == pool:
            return
        self.pools[pool.name] = pool
        for family in Family:
            self._shelves[pool.name, family] = _Shelf(pool, family)
        for key, held in self._held.items():
            self._count_in(pool, key, held, +1)

    def drop_pool(self, name: str) -> None:
        """Forget a pool; what is held stays held."""
        self.pools.pop(name, None)
        for family in Family:
            self._shelves.pop((name, family), None)

    def holder(self, address: str) -> str | None:
        """Who holds an address."""
        held = self._held.get(number_of(parse_address(address)))
        return held.owner if held else None

    def given_from(self, address: str) -> str:
        """The pool that a held address was given out of, which may have lost it since; empty: it is not held."""
        held = self._held.get(number_of(parse_address(address)))
        return held.pool if held else ""

    def pools_of(self, address: str) -> list[str]:
        """Names of the pools that an address lies in."""
        return self._pools_around(*number_of(parse_address(address)))

    def is_virtual(self, address: str) -> bool:
        """Whether an address lies in a pool, or is held although none has it any more."""
        key = number_of(parse_address(address))
        return key in self._held or bool(self._pools_around(*key))

    def take(self, address: str, owner: str, hold: Hold = Hold.USED, pool: str = "") -> bool:
        """Note that an address is held, given out of this pool. False, and no change, if somebody else holds it."""
        key = number_of(parse_address(address))
        held = self._held.get(key)
        if held and held.owner != owner:
            return False
        if held:
            self._count(key, held, -1)
        self._held[key] = _Held(owner, hold, pool)
        self._count(key, self._held[key], +1)
        for name in self.pools:
            self._shelves[name, key[0]].forget(key[1])
        return True

    def give_back(self, address: str) -> list[str]:
        """Note that an address is free; returns the pools that have one more to give."""
        key = number_of(parse_address(address))
        held = self._held.pop(key, None)
        if held is None:
            return []
        names = self._count(key, held, -1)
        for name in names:
            self._shelves[name, key[0]].give_back(key[1])
        return names

    def choose(self, pool: str, family: Family) -> str | None:
        """A free address of a pool, or None. The caller takes it, or gives it back with `decline`."""
        shelf, found = self._shelves.get((pool, family)), self.pools.get(pool)
        if shelf is None or found is None:
            return None
        for value in shelf.candidates():
            if (family, value) in self._held or (found.avoid_buggy and is_buggy(family, value)):
                continue
            return spell(family, value)
        return None

    def decline(self, pool: str, address: str) -> None:
        """A chosen address was not taken after all."""
        family, value = number_of(parse_address(address))
        if (family, value) not in self._held and (pool, family) in self._shelves:
            self._shelves[pool, family].give_back(value)

    def size(self, pool: str, family: Family) -> int:
        """How many addresses of a family a pool may give out."""
        return self._shelves[pool, family].size

    def counts(self, pool: str, family: Family) -> Counts:
        """How full a pool is."""
        shelf = self._shelves[pool, family]
        return Counts(shelf.size + shelf.extra, shelf.held[Hold.USED], shelf.held[Hold.QUARANTINED])

    def _pools_around(self, family: Family, value: int) -> list[str]:
        return [name for name, pool in self.pools.items() if lies_in(pool.intervals, family, value)]

    def _count(self, key: tuple[Family, int], held: _Held, step: int) -> list[str]:
        """Count an address in every pool that it counts in; returns those that it lies in."""
        return [name for name, pool in self.pools.items() if self._count_in(pool, key, held, step)]

    def _count_in(self, pool: AddressRange, key: tuple[Family, int], held: _Held, step: int) -> bool:
        is_inside = lies_in(pool.intervals, *key)
        if is_inside or held.pool == pool.name:
            shelf = self._shelves[pool.name, key[0]]
            shelf.held[held.hold] += step
            if not is_inside or (pool.avoid_buggy and is_buggy(*key)):
                shelf.extra += step
        return is_inside
