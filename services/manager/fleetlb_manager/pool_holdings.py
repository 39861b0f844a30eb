"""Who has addresses of each pool, which of them it would not give out any more, and which its group does not carry.

By the pool that a claim names, not by ranges: those change under a claim, and ranges of two pools may overlap. Pure; a
claim costs O(log of its pool's ranges), other ranges of a pool cost O(its claims), which is an operator's act.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from fleetlb.contracts.objects import AddressClaim, ClaimOwner, ClaimPhase
from fleetlb.domain.address_pools import Interval, lies_in, number_of
from fleetlb.domain.addresses import Family, parse_address

NAMED = 5
"""Load balancers outside a pool's ranges that are named; a reader finds the others by their claims."""


class PoolUse(msgspec.Struct, frozen=True):
    """How much of a pool is not free."""

    addresses: int = 0
    """In use: bound, or not yet let go of by every node."""
    tenants: int = 0
    resting: int = 0
    """In quarantine."""
    outside: int = 0
    """Of those in use, how many the pool would not give out any more: its ranges lost or exclude them."""
    named: tuple[str, ...] = ()
    """The first of these, with whose they are: `192.0.2.1 of acme shop/web`."""
    elsewhere: int = 0
    """Of those in use, how many another group than the pool's carries, alone or beside it."""
    elsewhere_named: tuple[tuple[str, str], ...] = ()
    """The first of these: the address, and it with whose it is."""

    @property
    def is_free(self) -> bool:
        """Whether nothing is left that speaks of the pool."""
        return not self.addresses and not self.resting


class _Holding:
    """One pool's claims."""

    def __init__(self) -> None:
        self.ranges: Sequence[Interval] | None = None
        self.owner_of: dict[str, ClaimOwner] = {}
        self.sharers_of: dict[str, int] = {}
        """How many share an address with its owner; those that are not shared are not in it."""
        self.tenants: Counter[str] = Counter()
        self.resting: set[str] = set()
        self.outside: set[str] = set()
        self.group: str | None = None
        """That the pool names; None: not known."""
        self.elsewhere: set[str] = set()

    def is_elsewhere(self, claim: AddressClaim) -> bool:
        """Whether another group than the pool's may serve an address."""
        is_named = self.group in (None, claim.spec.group)
        return claim.spec.phase is ClaimPhase.BOUND and (claim.spec.is_moving or not is_named)

    def lies_outside(self, address: str) -> bool:
        """False while no ranges are known: nothing is said then."""
        if self.ranges is None:
            return False
        return not lies_in(self.ranges, *_in_order(address))

    def said_of(self, address: str) -> str:
        """An address and whose it is, for people."""
        owner, more = self.owner_of[address], self.sharers_of.get(address)
        return f"{address} of {owner.tenant} {owner.namespace}/{owner.name}" + (f" and {more} more" if more else "")


class PoolHoldings:
    """The claims of every pool."""

    def __init__(self) -> None:
        """None known."""
        self._pools: dict[str, _Holding] = {}

    def of(self, pool: str) -> PoolUse:
        """How much of a pool is not free. O(addresses outside)."""
        held = self._pools.get(pool)
        if held is None:
            return PoolUse()
        return PoolUse(
            addresses=len(held.owner_of),
            tenants=len(held.tenants),
            resting=len(held.resting),
            outside=len(held.outside),
            named=tuple(held.said_of(address) for address in heapq.nsmallest(NAMED, held.outside, key=_in_order)),
            elsewhere=len(held.elsewhere),
            elsewhere_named=tuple(
                (address, held.said_of(address)) for address in heapq.nsmallest(NAMED, held.elsewhere, key=_in_order)
            ),
        )

    def elsewhere(self, pool: str = "") -> list[str]:
        """Every address that another group than its pool's carries, alone or beside it, of one pool or of all, in
        order. O(those)."""
        holdings = [self._pools[pool]] if pool in self._pools else [] if pool else self._pools.values()
        return sorted(address for held in holdings for address in held.elsewhere)

    def is_elsewhere(self, claim: AddressClaim) -> bool:
        """Whether it is one of those."""
        held = self._pools.get(claim.spec.pool)
        return held is not None and claim.spec.address in held.elsewhere

    def set_group(self, pool: str, group: str | None, bound: Iterable[AddressClaim]) -> None:
        """The group that is to carry the pool's addresses from now on; None: there is no such pool any more. `bound`:
        the claims of all pools, of which those of this one count."""
        held = self._pools.setdefault(pool, _Holding())
        if held.group != group:
            held.group = group
            mine = (claim for claim in bound if claim.spec.pool == pool)
            held.elsewhere = {claim.spec.address for claim in mine if held.is_elsewhere(claim)}
        self._tidy(pool)

    def set_ranges(self, pool: str, ranges: Sequence[Interval] | None) -> None:
        """What the pool consists of from now on; None: there is no such pool any more."""
        held = self._pools.setdefault(pool, _Holding())
        if held.ranges != ranges:
            held.ranges = ranges
            held.outside = {address for address in held.owner_of if held.lies_outside(address)}
        self._tidy(pool)

    def put(self, claim: AddressClaim) -> None:
        """A claim is there that was not."""
        address, held = claim.spec.address, self._pools.setdefault(claim.spec.pool, _Holding())
        if claim.spec.phase is ClaimPhase.QUARANTINED:
            held.resting.add(address)
            return
        held.owner_of[address] = claim.spec.owner
        if claim.spec.sharers:
            held.sharers_of[address] = len(claim.spec.sharers)
        held.tenants[claim.spec.owner.tenant] += 1
        if held.lies_outside(address):
            held.outside.add(address)
        if held.is_elsewhere(claim):
            held.elsewhere.add(address)

    def drop(self, claim: AddressClaim) -> None:
        """A claim that was there is not any more."""
        address, held = claim.spec.address, self._pools[claim.spec.pool]
        held.resting.discard(address)
        held.outside.discard(address)
        held.elsewhere.discard(address)
        held.sharers_of.pop(address, None)
        owner = held.owner_of.pop(address, None)
        if owner is not None:
            held.tenants[owner.tenant] -= 1
            if not held.tenants[owner.tenant]:
                del held.tenants[owner.tenant]
        self._tidy(claim.spec.pool)

    def _tidy(self, pool: str) -> None:
        held = self._pools[pool]
        if held.ranges is None and held.group is None and not held.owner_of and not held.resting:
            del self._pools[pool]


def _in_order(address: str) -> tuple[Family, int]:
    return number_of(parse_address(address))
