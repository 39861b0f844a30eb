"""Ranges that VIPs come from, as intervals of integers. Never enumerates a pool; knows nothing of who owns what."""

import bisect
import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from fleetlb.domain.addresses import Family, IPAddress, parse_address, parse_network
from fleetlb.domain.pool_selectors import PoolSelector

SHOWN_LIMIT = 2**53
"""Counts beyond this are shown as this: JSON readers hold no larger integer exactly."""


class Interval(msgspec.Struct, frozen=True, order=True):
    """Addresses `first` to `last`, both included, as integers of one family."""

    family: Family
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many addresses it holds; no `__len__`, which could not say 2^64."""
        return self.last - self.first + 1

    def has(self, family: Family, value: int) -> bool:
        """Whether an address lies inside."""
        return self.family is family and self.first <= value <= self.last

    def overlaps(self, other: "Interval") -> bool:
        """Whether both share an address."""
        return self.family is other.family and self.first <= other.last and other.first <= self.last


class AddressRange(msgspec.Struct, frozen=True, kw_only=True):
    """A pool as the allocator sees it."""

    name: str
    intervals: tuple[Interval, ...]
    """What it may give out, as `parse_intervals` makes them: sorted, apart, without what is excluded."""
    priority: int = 0
    """Where several pools would do, the highest is asked first; equal ones by name."""
    selector: PoolSelector = PoolSelector()
    auto_assign: bool = True
    avoid_buggy: bool = False
    quarantine_seconds: int = 60
    group: str = "default"
    closed: bool = False
    """Gives no address any more; those that are held stay."""


def number_of(address: IPAddress) -> tuple[Family, int]:
    """An address as (family, integer)."""
    return (Family.IPV4 if address.version == 4 else Family.IPV6), int(address)


def spell(family: Family, value: int) -> str:
    """The canonical text of an address."""
    return str(ipaddress.IPv4Address(value) if family is Family.IPV4 else ipaddress.IPv6Address(value))


def parse_interval(text: str) -> Interval:
    """Read a CIDR or `first-last`. Raises ValueError with a sentence that names the text."""
    if "-" in text:
        low, _, high = text.partition("-")
        (family, first), (other, last) = number_of(parse_address(low.strip())), number_of(parse_address(high.strip()))
        if family is not other or first > last:
            raise ValueError(f"{text[:64]!r} is no range: write FIRST-LAST, of one family, in ascending order")
        return Interval(family, first, last)
    network = parse_network(text)
    family, first = number_of(network.network_address)
    return Interval(family, first, int(network.broadcast_address))


def parse_intervals(texts: Iterable[str], excluded: Iterable[str] = ()) -> tuple[Interval, ...]:
    """Read a pool's ranges without those that are excluded, merged and sorted, so that every address is in one interval
    at the most. Raises ValueError with a sentence that names the text.
    """
    return without(_merged(texts), _merged(excluded))


def texts_of(intervals: Iterable[Interval]) -> tuple[str, ...]:
    """Intervals as people write them: `first-last`, or the one address."""
    ends = ((spell(i.family, i.first), spell(i.family, i.last)) for i in intervals)
    return tuple(first if first == last else f"{first}-{last}" for first, last in ends)


def _merged(texts: Iterable[str]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for interval in sorted(parse_interval(text) for text in texts):
        previous = merged[-1] if merged else None
        if previous and previous.family is interval.family and interval.first <= previous.last + 1:
            merged[-1] = Interval(previous.family, previous.first, max(previous.last, interval.last))
        else:
            merged.append(interval)
    return tuple(merged)


def without(intervals: Iterable[Interval], holes: Sequence[Interval]) -> tuple[Interval, ...]:
    """What is left of sorted intervals that lie apart, once holes of the same kind are cut out of them."""
    rest = []
    for interval in intervals:
        first = interval.first
        for hole in holes:
            if not hole.overlaps(interval):
                continue
            if first < hole.first:
                rest.append(Interval(interval.family, first, hole.first - 1))
            first = hole.last + 1
        if first <= interval.last:
            rest.append(Interval(interval.family, first, interval.last))
    return tuple(rest)


def lies_in(intervals: Sequence[Interval], family: Family, value: int) -> bool:
    """Whether an address lies in one of these intervals, which are sorted and lie apart. O(log n)."""
    at = bisect.bisect_right(intervals, (family, value), key=_beginning) - 1
    return at >= 0 and intervals[at].has(family, value)


def overlap(some: Iterable[Interval], others: Sequence[Interval]) -> bool:
    """Whether two sets of intervals, each sorted and lying apart, share an address. O(n log m)."""
    return any(_meets(interval, others) for interval in some)


def _meets(interval: Interval, others: Sequence[Interval]) -> bool:
    """Of those that begin before this one ends, the last reaches furthest."""
    at = bisect.bisect_right(others, (interval.family, interval.last), key=_beginning) - 1
    return at >= 0 and others[at].overlaps(interval)


def _beginning(interval: Interval) -> tuple[Family, int]:
    return interval.family, interval.first


def is_buggy(family: Family, value: int) -> bool:
    """Whether an IPv4 address ends in .0 or .255, which some old clients refuse to dial."""
    return family is Family.IPV4 and value & 0xFF in (0, 0xFF)


def size_of(pool: AddressRange, family: Family) -> int:
    """How many addresses of a family the pool can give out."""
    return sum(_usable(i, pool.avoid_buggy) for i in pool.intervals if i.family is family)


def _usable(interval: Interval, avoid_buggy: bool) -> int:
    if not avoid_buggy or interval.family is Family.IPV6:
        return interval.size

    def below(value: int) -> int:
        """Buggy addresses smaller than `value`."""
        return (value >> 8) * 2 + (1 if value & 0xFF else 0)

    return interval.size - (below(interval.last + 1) - below(interval.first))
