"""A5, first come, first served: read out of the objects and out of when addresses became free, without the lines."""

from collections.abc import Iterable, Iterator

from fleetlb.contracts.objects import AddressClaim, AddressPool, LoadBalancer
from fleetlb.domain.addresses import claim_name
from fleetlb.domain.conditions import Reason
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.load_balancers import key_of
from tests.random.keeping import Everything
from tests.random.process import Process
from tests.random.ranges import addresses_of, family_of


class Overtaking:
    """Since when Services wait, and since when addresses are free; both by how much was written before."""

    def __init__(self, kept: Everything) -> None:
        self._kept = kept
        self._waiting_since: dict[ServiceKey, int] = {}
        self._free_since: dict[str, int] = {}

    def pool_changed(self, before: AddressPool | None, now: AddressPool | None) -> None:
        """A pool has more to give, or less."""
        had = {*addresses_of(before)} if before is not None else set()
        gives = {*addresses_of(now)} if now is not None else set()
        self._free_since.update(dict.fromkeys(gives - had, len(self._kept.effects)))

    def claim_ended(self, claim: AddressClaim) -> None:
        """An address is free."""
        self._free_since[claim.spec.address] = len(self._kept.effects)

    def load_balancer_changed(self, before: LoadBalancer | None, now: LoadBalancer | None) -> None:
        """A wish is answered, or is none any more."""
        if now is not None and _waits(now):
            self._waiting_since.setdefault(key_of(now), len(self._kept.effects))
        elif (item := now or before) is not None:
            self._waiting_since.pop(key_of(item), None)

    def left_out(self, process: Process, claim: AddressClaim, owner: ServiceKey) -> list[LoadBalancer]:
        """Who waited longer than the one that makes a claim, and could have had any of what was free.

        Empty if there was more free than that: an address that was free before somebody began to wait, or before this
        manager knew of it, may be kept for a younger one already.
        """
        mine = self._kept.load_balancers.get((f"tenant-{owner.tenant}", owner.uid))
        older = [item for item in self._waiting(process, claim) if _is_older(process, item, owner, mine)]
        known_since = sorted(max(process.looked[k], self._waiting_since[k]) for k in map(key_of, older))
        free_since = sorted(self._free(claim))
        owed = 0
        for since in free_since:
            owed += owed < len(known_since) and known_since[owed] < since
        return older if owed == len(free_since) else []

    def _free(self, claim: AddressClaim) -> Iterator[int]:
        """Since when addresses are free, of this claim's family, in pools that give any out, and its own."""
        family = family_of(claim.spec.address)
        pools = [pool for pool in self._kept.pools.values() if not pool.metadata.deletion_timestamp]
        for address in {claim.spec.address, *(a for pool in pools for a in addresses_of(pool))}:
            is_free = address == claim.spec.address or claim_name(address) not in self._kept.claims
            if family_of(address) is family and is_free:
                yield self._free_since.get(address, 0)

    def _waiting(self, process: Process, claim: AddressClaim) -> Iterable[LoadBalancer]:
        for item in self._kept.load_balancers.values():
            key = key_of(item)
            said = process.memory.observations.service(key)
            if key not in self._waiting_since or key not in process.looked:
                continue
            if said is None or said.service is None or said.wish != item.spec.wish or process.memory.is_absent(key):
                continue
            service = said.service
            fits = service.ip_families == (family_of(claim.spec.address),) and not service.addresses
            if fits and service.pool in ("", claim.spec.pool):
                yield item


def is_any(process: Process, owner: ServiceKey) -> bool:
    """Whether a Service takes any address of one family: who asks for one, or for two, stands in other lines too."""
    said = process.memory.observations.service(owner)
    wish = said.service if said else None
    return wish is not None and not wish.addresses and len(wish.ip_families) == 1


def _waits(item: LoadBalancer) -> bool:
    refusal = item.spec.refusal
    return refusal is not None and refusal.reason is Reason.POOL_EXHAUSTED and not item.spec.addresses


def _is_older(process: Process, one: LoadBalancer, other: ServiceKey, its: LoadBalancer | None) -> bool:
    """Whether one Service waited before another: by the age of their objects, else by who came first."""
    if its is not None:
        return (one.metadata.creation_timestamp or "") < (its.metadata.creation_timestamp or "")
    return process.looked[key_of(one)] < process.looked.get(other, len(process.kept.effects))
