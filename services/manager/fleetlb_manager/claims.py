"""The claims as last known: by address, by owner, by cluster; and the book of addresses and the usage folded from them.

The claims in the API server are the lock (ADR 3); this is memory of them. An address may be held in the book for an
owner whose claim is not written yet: that is a proposal, which a real claim of somebody else overrides. Pure,
O(owners of the address).
"""

from collections.abc import Iterable

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.addresses import claim_name, parse_address
from fleetlb.domain.allocation import AddressBook, Hold
from fleetlb.domain.tenancy import Usage
from fleetlb_manager.identities import ClusterKey, ServiceKey, Slot
from fleetlb_manager.newest import Newest
from fleetlb_manager.pool_holdings import PoolHoldings
from fleetlb_manager.shares import is_served, owners_of, seen_by, service_of
from fleetlb_manager.usage import UsageLedger

_HOLDS = {
    ClaimPhase.BOUND: Hold.USED,
    ClaimPhase.RELEASING: Hold.USED,
    ClaimPhase.QUARANTINED: Hold.QUARANTINED,
}


class Claims:
    """All claims of the fleet."""

    def __init__(self, book: AddressBook, usage: UsageLedger) -> None:
        """`book` and `usage` are kept equal to the claims."""
        self._book = book
        self._usage = usage
        self._newest: Newest[AddressClaim] = Newest()
        self._of_owner: dict[ServiceKey, dict[str, AddressClaim]] = {}
        self._owners_of: dict[ClusterKey, set[ServiceKey]] = {}
        self._passing: dict[str, None] = {}
        self._under: dict[tuple[str, str], dict[str, None]] = {}
        self._lost: dict[str, frozenset[ServiceKey]] = {}
        """Addresses whose claim vanished while it was in use, and who had them; until somebody claims them."""
        self.of_pools = PoolHoldings()
        self.in_phase = dict.fromkeys(ClaimPhase, 0)
        """How many claims there are of each phase."""
        self.moving = 0
        """How many are on their way from one balancer group to another."""
        self.freed_generation = 0
        """The highest fencing generation of a claim that is gone: its address may come to another partition."""

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return len(self._newest)

    def at(self, address: str) -> AddressClaim | None:
        """The claim of a canonical address."""
        return self._newest.get(claim_name(address))

    def named(self, name: str) -> AddressClaim | None:
        """The claim of a name."""
        return self._newest.get(name)

    def of(self, owner: ServiceKey) -> tuple[AddressClaim, ...]:
        """The claims of a Service, in every phase, each as the Service sees it."""
        return tuple(self._of_owner.get(owner, {}).values())

    def around(self, owner: ServiceKey, sharing_key: str, addresses: Iterable[str]) -> dict[str, AddressClaim]:
        """By address, the claims themselves that a Service has part in, of these addresses, and of those under a key
        of its tenant."""
        wanted = [*self._of_owner.get(owner, ()), *addresses, *self._under.get((owner.tenant, sharing_key), ())]
        return {address: claim for address in wanted if (claim := self._newest.get(_name_of(address))) is not None}

    def owners_in(self, cluster: ClusterKey) -> Iterable[ServiceKey]:
        """Services of a cluster that hold claims."""
        return self._owners_of.get(cluster, ())

    def owners(self) -> Iterable[ServiceKey]:
        """Every Service that holds a claim."""
        return self._of_owner

    def bound(self) -> Iterable[AddressClaim]:
        """Claims of addresses in use."""
        return (claim for claim in self._newest.values() if claim.spec.phase is ClaimPhase.BOUND)

    def is_lost_by(self, owner: ServiceKey, address: str) -> bool:
        """Whether a Service had an address whose claim vanished without having been released."""
        return owner in self._lost.get(address, ())

    def passing(self) -> Iterable[str]:
        """Addresses whose claim, or a part of it, is on its way out."""
        return self._passing

    def put(self, claim: AddressClaim) -> bool:
        """Note a version of a claim. False, and no change, if it is old or is not named after its address."""
        if not is_well_formed(claim):
            return False
        known = self._newest.get(claim.metadata.name)
        if not self._newest.put(claim):
            return False
        if known is not None:
            self._forget(known)
        self._lost.pop(claim.spec.address, None)
        self._note(claim)
        return True

    def drop(self, claim: AddressClaim) -> bool:
        """Note that a claim is deleted, and its address free. False if it was not known."""
        known = self._newest.drop(claim.metadata)
        if known is None:
            return False
        self._forget(known)
        if known.spec.phase is ClaimPhase.BOUND:
            self._lost[known.spec.address] = frozenset(owners_of(known))
        self.freed_generation = max(self.freed_generation, known.spec.generation)
        if self._book.holder(known.spec.address) == str(owner_of(known)):
            self._book.give_back(known.spec.address)
        return True

    def _note(self, claim: AddressClaim) -> None:
        spec, address = claim.spec, claim.spec.address
        self.of_pools.put(claim)
        self.in_phase[spec.phase] += 1
        self.moving += spec.is_moving
        if spec.phase is not ClaimPhase.BOUND or spec.leaving:
            self._passing[address] = None
        if spec.phase is ClaimPhase.BOUND and spec.sharing_key:
            self._under.setdefault((spec.owner.tenant, spec.sharing_key), {})[address] = None
        held = (address, str(owner_of(claim)), _HOLDS[spec.phase], spec.pool)
        if not self._book.take(*held):
            self._book.give_back(address)  # somebody was proposed an address that is really taken, or the owner left
            self._book.take(*held)
        for owner in owners_of(claim):
            self._of_owner.setdefault(owner, {})[address] = seen_by(claim, owner)
            self._owners_of.setdefault(owner.cluster_key, set()).add(owner)
            self._count(owner)

    def _forget(self, claim: AddressClaim) -> None:
        address, under = claim.spec.address, (claim.spec.owner.tenant, claim.spec.sharing_key)
        self._passing.pop(address, None)
        self.of_pools.drop(claim)
        self.in_phase[claim.spec.phase] -= 1
        self.moving -= claim.spec.is_moving
        self._under.get(under, {}).pop(address, None)
        if not self._under.get(under):
            self._under.pop(under, None)
        for owner in owners_of(claim):
            self._forget_of(owner, address)

    def _forget_of(self, owner: ServiceKey, address: str) -> None:
        rest = self._of_owner[owner]
        del rest[address]
        if not rest:
            del self._of_owner[owner]
            neighbours = self._owners_of[owner.cluster_key]
            neighbours.discard(owner)
            if not neighbours:
                del self._owners_of[owner.cluster_key]
        self._count(owner)

    def _count(self, owner: ServiceKey) -> None:
        """Quarantined addresses are nobody's; one that is being let go still is its owner's. One that is shared counts
        once, as its owner's."""
        mine = [claim for claim in self.of(owner) if claim.spec.phase is not ClaimPhase.QUARANTINED]
        ports = max((len(claim.spec.ports) for claim in mine), default=0)
        addresses = sum(1 for claim in mine if owner_of(self._newest.get(claim.metadata.name) or claim) == owner)
        self._usage.hold(owner, Usage(load_balancers=min(len(mine), 1), addresses=addresses, ports=ports))


def owner_of(claim: AddressClaim) -> ServiceKey:
    """Whose claim it is; of several who share the address, the first."""
    return service_of(claim.spec.owner)


def is_well_formed(claim: AddressClaim) -> bool:
    """Whether the claim's name locks the address that it speaks of."""
    try:
        address = str(parse_address(claim.spec.address))
    except ValueError:
        return False
    return address == claim.spec.address and claim_name(address) == claim.metadata.name


def is_wanted(claim: AddressClaim | None, slot: Slot) -> bool:
    """Whether a virtual server may be served: its address is bound, carried by its group, with its port."""
    return (
        claim is not None
        and claim.spec.phase is ClaimPhase.BOUND
        and slot.group in claim.spec.carriers
        and is_served(claim, slot)
    )


def _name_of(address: str) -> str:
    try:
        return claim_name(address)
    except ValueError:
        return ""  # no address at all: the wish is refused by itself
