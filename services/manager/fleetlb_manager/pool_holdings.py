"""Who has addresses of each pool, and which of them its ranges do not hold any more.

By the pool that a claim names, not by ranges: those change under a claim, and ranges of two pools may overlap. Pure; a
claim costs O(log of its pool's ranges), other ranges of a pool cost O(its claims), which is an operator's act.
"""

import heapq
from collections import Counter
from collections.abc import Sequence

import msgspec

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.address_pools import Interval, lies_in, number_of
from fleetlb.domain.addresses import parse_address

NAMED = 3
"""Addresses outside a pool's ranges that are named; a reader finds the others by them."""


class PoolUse(msgspec.Struct, frozen=True):
    """How much of a pool is not free."""

    addresses: int = 0
    """In use: bound, or not yet let go of by every node."""
    tenants: int = 0
    resting: int = 0
    """In quarantine."""
    outside: int = 0
    """Of those in use, how many lie in none of the pool's ranges."""
    named: tuple[str, ...] = ()
    """The first of these."""

    @property
    def is_free(self) -> bool:
        """Whether nothing is left that speaks of the pool."""
        return not self.addresses and not self.resting


class _Holding:
    """One pool's claims."""

    def __init__(self) -> None:
        self.ranges: Sequence[Interval] | None = None
        self.tenant_of: dict[str, str] = {}
        self.tenants: Counter[str] = Counter()
        self.resting: set[str] = set()
        self.outside: set[str] = set()

    def lies_outside(self, address: str) -> bool:
        """False while no ranges are known: nothing is said then."""
        if self.ranges is None:
            return False
        return not lies_in(self.ranges, *number_of(parse_address(address)))


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
            addresses=len(held.tenant_of),
            tenants=len(held.tenants),
            resting=len(held.resting),
            outside=len(held.outside),
            named=tuple(heapq.nsmallest(NAMED, held.outside, key=lambda text: number_of(parse_address(text)))),
        )

    def set_ranges(self, pool: str, ranges: Sequence[Interval] | None) -> None:
        """What the pool consists of from now on; None: there is no such pool any more."""
        held = self._pools.setdefault(pool, _Holding())
        if held.ranges != ranges:
            held.ranges = ranges
            held.outside = {address for address in held.tenant_of if held.lies_outside(address)}
        self._tidy(pool)

    def put(self, claim: AddressClaim) -> None:
        """A claim is there that was not."""
        address, held = claim.spec.address, self._pools.setdefault(claim.spec.pool, _Holding())
        if claim.spec.phase is ClaimPhase.QUARANTINED:
            held.resting.add(address)
            return
        held.tenant_of[address] = claim.spec.owner.tenant
        held.tenants[claim.spec.owner.tenant] += 1
        if held.lies_outside(address):
            held.outside.add(address)

    def drop(self, claim: AddressClaim) -> None:
        """A claim that was there is not any more."""
        address, held = claim.spec.address, self._pools[claim.spec.pool]
        held.resting.discard(address)
        held.outside.discard(address)
        tenant = held.tenant_of.pop(address, None)
        if tenant is not None:
            held.tenants[tenant] -= 1
            if not held.tenants[tenant]:
                del held.tenants[tenant]
        self._tidy(claim.spec.pool)

    def _tidy(self, pool: str) -> None:
        held = self._pools[pool]
        if held.ranges is None and not held.tenant_of and not held.resting:
            del self._pools[pool]
