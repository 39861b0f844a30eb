"""Load balancers as each balancer group carries them, and how many of a tenant's have an address of a pool there.

Pure memory: what a change of a LoadBalancer or of a claim changes about that is found in O(its groups and addresses).
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fleetlb.contracts.objects import LoadBalancerSpec
from fleetlb_manager.identities import ServiceKey


class CarriedPool(NamedTuple):
    """A pool of which a tenant has something on a group."""

    tenant: str
    group: str
    pool: str


class Change(NamedTuple):
    """What is carried otherwise than before."""

    specs: tuple[LoadBalancerSpec, ...] = ()
    """As groups carried it, and as they carry it now; only where that differs."""
    pools: tuple[CarriedPool, ...] = ()
    """Those of which the first load balancer came to a group, or the last one left it."""


class Carried:
    """All load balancers that hold an address."""

    def __init__(self) -> None:
        """None."""
        self._specs: dict[tuple[str, str], tuple[LoadBalancerSpec, ...]] = {}
        self._at: dict[str, dict[tuple[str, str], ServiceKey]] = {}
        self._having: Counter[CarriedPool] = Counter()

    def get(self, key: ServiceKey) -> tuple[LoadBalancerSpec, ...]:
        """A load balancer as each group carries it."""
        return self._specs.get(_object_of(key), ())

    def at(self, address: str) -> tuple[ServiceKey, ...]:
        """Whose load balancers name an address."""
        return tuple(self._at.get(address, {}).values())

    def put(self, key: ServiceKey, specs: Iterable[LoadBalancerSpec]) -> Change:
        """Note how each group carries a load balancer; no `specs`: it is gone."""
        before, after = self.get(key), tuple(spec for spec in specs if spec.addresses)
        if before == after:
            return Change()
        self._index(key, before, after)
        self._specs[_object_of(key)] = after
        if not after:
            del self._specs[_object_of(key)]
        differing = (*(spec for spec in before if spec not in after), *(spec for spec in after if spec not in before))
        return Change(differing, tuple(self._count(_pools(key.tenant, before), _pools(key.tenant, after))))

    def _index(self, key: ServiceKey, before: Iterable[LoadBalancerSpec], after: Iterable[LoadBalancerSpec]) -> None:
        for address in (address for spec in before for address in spec.addresses):
            keys = self._at.get(address, {})
            keys.pop(_object_of(key), None)
            if not keys:
                self._at.pop(address, None)
        for address in (address for spec in after for address in spec.addresses):
            self._at.setdefault(address, {})[_object_of(key)] = key

    def _count(self, before: dict[CarriedPool, None], after: dict[CarriedPool, None]) -> Iterable[CarriedPool]:
        for pool in before.keys() - after.keys():
            self._having[pool] -= 1
            if not self._having[pool]:
                del self._having[pool]
                yield pool
        for pool in after.keys() - before.keys():
            self._having[pool] += 1
            if self._having[pool] == 1:
                yield pool


def _pools(tenant: str, specs: Iterable[LoadBalancerSpec]) -> dict[CarriedPool, None]:
    return dict.fromkeys(CarriedPool(tenant, spec.group, spec.pool) for spec in specs)


def _object_of(key: ServiceKey) -> tuple[str, str]:
    """One object, whatever cluster it speaks of."""
    return key.tenant, key.uid
