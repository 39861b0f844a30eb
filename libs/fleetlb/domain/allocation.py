"""Which addresses are taken and which is next: the bookkeeping between claims and pools, in memory, without a clock.

Invariants (checked by tests/unit/fleetlb/domain/test_allocation.py, after every operation of random histories):
  * an address has one holder at the most, whatever pool it lies in;
  * used + quarantined + free = total, per pool and family;
  * `choose` returns a free address of the pool if there is one.

`choose`, `take` and `give_back` cost O(1), amortised over the life of a pool: a cursor walks each pool once and never
looks back; addresses given back behind it queue up, the longest free first. The claims in the API server stay the
lock (ADR 3): this book only proposes.
"""

import enum
from collections.abc import Iterable

import msgspec

from fleetlb.domain.address_pools import AddressRange, is_buggy, number_of, size_of, spell
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


class _Cursor:
    """Where the search through one family of a pool stands, and what was given back behind it."""

    def __init__(self, pool: AddressRange, family: Family) -> None:
        self._spans = [i for i in pool.intervals if i.family is family]
        self._span = 0
        self._next = self._spans[0].first if self._spans else 0
        self._returned: dict[int, None] = {}

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
            value = next(iter(self._returned))
            del self._returned[value]
            yield value


class AddressBook:
    """Holders of addresses over all pools."""

    def __init__(self) -> None:
        self.pools: dict[str, AddressRange] = {}
        self._held: dict[tuple[Family, int], tuple[str, Hold]] = {}
        self._cursors: dict[tuple[str, Family], _Cursor] = {}
        self._counts: dict[tuple[str, Family], dict[Hold, int]] = {}
        self._oddities: dict[tuple[str, Family], int] = {}
        """Held addresses that the pool would not give out by itself, so that `size_of` does not count them."""

    def set_pool(self, pool: AddressRange) -> None:
        """Add or change a pool; what is held stays held. O(held) for a changed pool, which is an operator's act."""
        if self.pools.get(pool.name) == pool:
            return
        self.pools[pool.name] = pool
        for family in Family:
            self._cursors[pool.name, family] = _Cursor(pool, family)
            self._counts[pool.name, family] = dict.fromkeys(Hold, 0)
            self._oddities[pool.name, family] = 0
        for key, (_, hold) in self._held.items():
            self._count_in(pool, key, hold, +1)

    def drop_pool(self, name: str) -> None:
        """Forget a pool; what is held stays held."""
        self.pools.pop(name, None)
        for family in Family:
            self._cursors.pop((name, family), None)
            self._counts.pop((name, family), None)
            self._oddities.pop((name, family), None)

    def holder(self, address: str) -> str | None:
        """Who holds an address."""
        held = self._held.get(number_of(parse_address(address)))
        return held[0] if held else None

    def pools_of(self, address: str) -> list[str]:
        """Names of the pools that an address lies in."""
        family, value = number_of(parse_address(address))
        return [name for name, pool in self.pools.items() if _lies_in(pool, family, value)]

    def take(self, address: str, owner: str, hold: Hold = Hold.USED) -> bool:
        """Note that an address is held. False, and no change, if somebody else holds it."""
        key = number_of(parse_address(address))
        held = self._held.get(key)
        if held and held[0] != owner:
            return False
        if held:
            self._count(key, held[1], -1)
        self._held[key] = (owner, hold)
        self._count(key, hold, +1)
        for name in self.pools:
            self._cursors[name, key[0]].forget(key[1])
        return True

    def give_back(self, address: str) -> list[str]:
        """Note that an address is free; returns the pools that have one more to give."""
        key = number_of(parse_address(address))
        held = self._held.pop(key, None)
        if held is None:
            return []
        self._count(key, held[1], -1)
        names = [name for name, pool in self.pools.items() if _lies_in(pool, *key)]
        for name in names:
            self._cursors[name, key[0]].give_back(key[1])
        return names

    def choose(self, pool: str, family: Family) -> str | None:
        """A free address of a pool, or None. The caller takes it, or gives it back with `decline`."""
        cursor, found = self._cursors.get((pool, family)), self.pools.get(pool)
        if cursor is None or found is None:
            return None
        for value in cursor.candidates():
            if (family, value) in self._held or (found.avoid_buggy and is_buggy(family, value)):
                continue
            return spell(family, value)
        return None

    def decline(self, pool: str, address: str) -> None:
        """A chosen address was not taken after all."""
        family, value = number_of(parse_address(address))
        if (family, value) not in self._held and (pool, family) in self._cursors:
            self._cursors[pool, family].give_back(value)

    def counts(self, pool: str, family: Family) -> Counts:
        """How full a pool is."""
        held = self._counts[pool, family]
        total = size_of(self.pools[pool], family) + self._oddities[pool, family]
        return Counts(total, held[Hold.USED], held[Hold.QUARANTINED])

    def _count(self, key: tuple[Family, int], hold: Hold, step: int) -> None:
        for pool in self.pools.values():
            self._count_in(pool, key, hold, step)

    def _count_in(self, pool: AddressRange, key: tuple[Family, int], hold: Hold, step: int) -> None:
        if _lies_in(pool, *key):
            self._counts[pool.name, key[0]][hold] += step
            self._oddities[pool.name, key[0]] += step * (pool.avoid_buggy and is_buggy(*key))


def _lies_in(pool: AddressRange, family: Family, value: int) -> bool:
    return any(interval.has(family, value) for interval in pool.intervals)
