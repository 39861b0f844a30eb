"""What must hold of addresses that several Services share, read out of the claims without the product."""

from collections import Counter
from collections.abc import Iterator

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_manager.identities import ServiceKey

Ports = dict[ServiceKey, tuple[str, ...]]


def living(claim: AddressClaim) -> Ports:
    """Who has the address, and which ports of it."""
    spec = claim.spec
    pairs = [(spec.owner, spec.ports), *((share.owner, share.ports) for share in spec.sharers)]
    return {ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid): ports for owner, ports in pairs}


def leaving(claim: AddressClaim) -> Ports:
    """Who has given up which ports."""
    pairs = ((share.owner, share.ports) for share in claim.spec.leaving)
    return {ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid): ports for owner, ports in pairs}


def everybody(claim: AddressClaim) -> Ports:
    """Both; who has ports counts by these."""
    return {**leaving(claim), **living(claim)}


def may_be_served(claim: AddressClaim, key: VirtualServerKey, whose: ServiceKey) -> bool:
    """Whether a node may still serve this for that Service."""
    text = f"{key.port}/{key.protocol}"
    having = {owner for owner, ports in living(claim).items() if text in ports}
    having = having or {owner for owner, ports in leaving(claim).items() if text in ports}
    return whose in (having or everybody(claim))


def faults_of(claim: AddressClaim) -> Iterator[tuple[str, str]]:
    """What is wrong with one version of a claim."""
    address = claim.spec.address
    counts = Counter(text for ports in (living(claim), leaving(claim)) for of in ports.values() for text in of)
    yield from (("A1", f"{address} {text} stands {count} times") for text, count in counts.items() if count > 1)
    if len({owner.tenant for owner in everybody(claim)}) > 1:
        yield "A2", f"{address} is of {sorted(everybody(claim))}"
    if claim.spec.sharers and not claim.spec.sharing_key:
        yield "A2", f"{address} is shared without a key"


def faults_between(before: AddressClaim, now: AddressClaim) -> Iterator[tuple[str, str]]:
    """What is wrong with a change of one claim."""
    address, had = now.spec.address, living(before)
    if ServiceKey(*_owner(now)) not in had:
        yield "A1", f"{address} changes hands from {_owner(before)} to {_owner(now)}"
    if len(had) > 1 and len(living(now)) > 1 and before.spec.sharing_key != now.spec.sharing_key:
        yield "A4", f"{address} is shared, and its key changes"
    if now.spec.phase is ClaimPhase.BOUND and joined(before, now) and len(had) and not now.spec.sharing_key:
        yield "A2", f"{address} is joined without a key"
    if len(had) > 1 and now.spec.phase is not ClaimPhase.BOUND:
        yield "A4", f"{address} is released while {sorted(had)} share it"
    owned = {text: owner for ports in (leaving(before), had) for owner, of in ports.items() for text in of}
    for owner, ports in living(now).items():
        for text in ports:
            if owned.get(text, owner) != owner:
                yield "A7", f"{address} {text} goes from {owned[text]} to {owner} at once"
    if before.spec.sharing_key and now.spec.sharing_key and now.spec.phase is ClaimPhase.BOUND:
        there = {text for ports in (living(now), leaving(now)) for of in ports.values() for text in of}
        lost = {text for of in had.values() for text in of} - there
        if lost:
            yield "A7", f"{address} forgets {sorted(lost)}"


def joined(before: AddressClaim, now: AddressClaim) -> list[ServiceKey]:
    """Who has the address that did not."""
    return [owner for owner in living(now) if owner not in living(before)]


def gained(before: AddressClaim, now: AddressClaim) -> Iterator[tuple[ServiceKey, str]]:
    """Ports that somebody has who did not."""
    for owner, ports in living(now).items():
        yield from ((owner, text) for text in ports if text not in living(before).get(owner, ()))


def let_go(before: AddressClaim, now: AddressClaim) -> set[str]:
    """Ports that were given up and are nobody's now."""
    still = {text for ports in (living(now), leaving(now)) for of in ports.values() for text in of}
    return {text for of in leaving(before).values() for text in of} - still


def _owner(claim: AddressClaim) -> tuple[str, str, str]:
    owner = claim.spec.owner
    return owner.tenant, owner.cluster_uid, owner.service_uid
