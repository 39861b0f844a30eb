"""The claims as last known: by address, by owner, by cluster; and the book of addresses and the usage folded from them.

The claims in the API server are the lock (ADR 3); this is memory of them. An address may be held in the book for an
owner whose claim is not written yet: that is a proposal, which a real claim of somebody else overrides. Pure, O(1).
"""

from collections.abc import Iterable

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.addresses import Protocol, claim_name, parse_address
from fleetlb.domain.allocation import AddressBook, Hold
from fleetlb.domain.services import ServicePort
from fleetlb.domain.tenancy import Usage
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_manager.identities import ClusterKey, ServiceKey, Slot
from fleetlb_manager.newest import Newest
from fleetlb_manager.pool_holdings import PoolHoldings
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
        self.of_pools = PoolHoldings()

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return len(self._newest)

    def at(self, address: str) -> AddressClaim | None:
        """The claim of a canonical address."""
        return self._newest.get(claim_name(address))

    def of(self, owner: ServiceKey) -> tuple[AddressClaim, ...]:
        """The claims of a Service, in every phase."""
        return tuple(self._of_owner.get(owner, {}).values())

    def owners_in(self, cluster: ClusterKey) -> Iterable[ServiceKey]:
        """Services of a cluster that hold claims."""
        return self._owners_of.get(cluster, ())

    def owners(self) -> Iterable[ServiceKey]:
        """Every Service that holds a claim."""
        return self._of_owner

    def bound(self) -> Iterable[AddressClaim]:
        """Claims of addresses in use."""
        return (claim for claim in self._newest.values() if claim.spec.phase is ClaimPhase.BOUND)

    def passing(self) -> Iterable[str]:
        """Addresses whose claim is on its way out."""
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
        self._note(claim)
        return True

    def drop(self, claim: AddressClaim) -> bool:
        """Note that a claim is deleted, and its address free. False if it was not known."""
        known = self._newest.drop(claim.metadata)
        if known is None:
            return False
        self._forget(known)
        if self._book.holder(known.spec.address) == str(owner_of(known)):
            self._book.give_back(known.spec.address)
        return True

    def _note(self, claim: AddressClaim) -> None:
        owner, address = owner_of(claim), claim.spec.address
        self._of_owner.setdefault(owner, {})[address] = claim
        self._owners_of.setdefault(owner.cluster_key, set()).add(owner)
        self.of_pools.put(claim)
        if claim.spec.phase is not ClaimPhase.BOUND:
            self._passing[address] = None
        held = (address, str(owner), _HOLDS[claim.spec.phase], claim.spec.pool)
        if not self._book.take(*held):
            self._book.give_back(address)  # somebody was proposed an address that is really taken
            self._book.take(*held)
        self._count(owner)

    def _forget(self, claim: AddressClaim) -> None:
        owner, address = owner_of(claim), claim.spec.address
        self._passing.pop(address, None)
        self.of_pools.drop(claim)
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
        """Quarantined addresses are nobody's; one that is being let go still is its owner's."""
        mine = [claim for claim in self.of(owner) if claim.spec.phase is not ClaimPhase.QUARANTINED]
        ports = max((len(claim.spec.ports) for claim in mine), default=0)
        self._usage.hold(owner, Usage(load_balancers=min(len(mine), 1), addresses=len(mine), ports=ports))


def owner_of(claim: AddressClaim) -> ServiceKey:
    """Whose claim it is."""
    owner = claim.spec.owner
    return ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid)


def is_well_formed(claim: AddressClaim) -> bool:
    """Whether the claim's name locks the address that it speaks of."""
    try:
        address = str(parse_address(claim.spec.address))
    except ValueError:
        return False
    return address == claim.spec.address and claim_name(address) == claim.metadata.name


def port_texts(ports: Iterable[ServicePort]) -> tuple[str, ...]:
    """Ports as a claim names them: `443/TCP`."""
    return tuple(f"{port.port}/{port.protocol}" for port in ports)


def slots_of(claim: AddressClaim) -> tuple[Slot, ...]:
    """The virtual servers that a claim stands for; what cannot be read is left out."""
    slots = []
    for text in claim.spec.ports:
        port, _, protocol = text.partition("/")
        if port.isdecimal() and protocol in Protocol.__members__:
            key = VirtualServerKey(claim.spec.address, int(port), Protocol(protocol))
            slots.append(Slot(claim.spec.group, key))
    return tuple(slots)


def is_wanted(claim: AddressClaim | None, slot: Slot) -> bool:
    """Whether a virtual server may be served: its address is bound, in its group, with its port."""
    return (
        claim is not None
        and claim.spec.phase is ClaimPhase.BOUND
        and claim.spec.group == slot.group
        and f"{slot.key.port}/{slot.key.protocol}" in claim.spec.ports
    )
