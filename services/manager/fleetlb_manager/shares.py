"""Who has which ports of one address: how a claim is shared, joined and left. Pure decisions over one claim's spec.

Invariants of every spec that these functions return, given one that keeps them (held by tests over random histories):
  * no port and protocol stands twice in it, so no virtual server of the address has two owners (A1);
  * all who stand in it are of one tenant (A2);
  * a port given up stays in `leaving` until every balancer node has let go of it; nobody else may have it before (A7).

Two writers are kept apart by the version of the object: what is decided here on an old one is never written. Every
function costs O(ports of that address).
"""

from collections.abc import Container, Iterable, Iterator

from msgspec.structs import replace

from fleetlb.contracts.objects import MAX_SHARERS, AddressClaim, AddressClaimSpec, ClaimOwner, ClaimPhase, ClaimShare
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_manager.identities import ServiceKey, Slot


def service_of(owner: ClaimOwner) -> ServiceKey:
    """Whose a share is."""
    return ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid)


def port_texts(ports: Iterable[ServicePort]) -> tuple[str, ...]:
    """Ports as a claim names them: `443/TCP`."""
    return tuple(f"{port.port}/{port.protocol}" for port in ports)


def share_of(key: ServiceKey, service: TenantService) -> ClaimShare:
    """What a Service wants of each of its addresses."""
    owner = ClaimOwner(
        tenant=key.tenant,
        cluster_uid=key.cluster,
        service_uid=key.uid,
        namespace=service.namespace,
        name=service.name,
    )
    return ClaimShare(owner=owner, ports=port_texts(service.ports))


def live_shares(spec: AddressClaimSpec) -> tuple[ClaimShare, ...]:
    """Who has the address, the owner first."""
    return (ClaimShare(owner=spec.owner, ports=spec.ports), *spec.sharers)


def owners_of(claim: AddressClaim) -> tuple[ServiceKey, ...]:
    """Everybody who has a port of the address or has not been let go of, each once, the owner first."""
    spec = claim.spec
    if not spec.sharers and not spec.leaving:
        return (service_of(spec.owner),)
    return tuple(dict.fromkeys(service_of(share.owner) for share in (*live_shares(spec), *spec.leaving)))


def seen_by(claim: AddressClaim, key: ServiceKey) -> AddressClaim:
    """A claim as one of its owners sees it: a claim of its own, Releasing once it has given up all its ports.

    For reading alone: whoever writes must look at the claim itself.
    """
    spec = claim.spec
    if not spec.sharers and not spec.leaving:
        return claim
    mine = _of(live_shares(spec), key)
    phase = spec.phase
    if mine is None:
        mine = _of(spec.leaving, key)
        phase = ClaimPhase.RELEASING if phase is ClaimPhase.BOUND else phase
    if mine is None:
        raise ValueError(f"{key} has nothing of {spec.address}")
    own = replace(spec, owner=mine.owner, ports=mine.ports, phase=phase, sharers=(), leaving=())
    return replace(claim, spec=own)


def is_shareable(claim: AddressClaim) -> bool:
    """Whether others may join."""
    return claim.spec.phase is ClaimPhase.BOUND and bool(claim.spec.sharing_key)


def owner_at(claim: AddressClaim, slot: Slot) -> ServiceKey | None:
    """Who has a virtual server of the address; who had it last while it is let go; None: nobody that is known."""
    text = _text_of(slot.key)
    shares = (*live_shares(claim.spec), *claim.spec.leaving)
    return next((service_of(share.owner) for share in shares if text in share.ports), None)


def is_served(claim: AddressClaim, slot: Slot) -> bool:
    """Whether somebody has the port."""
    text = _text_of(slot.key)
    return text in claim.spec.ports or any(text in share.ports for share in claim.spec.sharers)


def slots_of(claim: AddressClaim) -> tuple[Slot, ...]:
    """The virtual servers that a claim stands for; what cannot be read is left out."""
    return tuple(slot for share in (*live_shares(claim.spec), *claim.spec.leaving) for slot in slots_in(claim, share))


def leaving_slots(claim: AddressClaim) -> frozenset[Slot]:
    """The virtual servers that their owners have given up."""
    return frozenset(slot for share in claim.spec.leaving for slot in slots_in(claim, share))


def slots_in(claim: AddressClaim, share: ClaimShare) -> Iterator[Slot]:
    """The virtual servers of one share, in each group that may serve it; what cannot be read is left out."""
    for text in share.ports:
        port, _, protocol = text.partition("/")
        if port.isdecimal() and protocol in Protocol.__members__:
            key = VirtualServerKey(claim.spec.address, int(port), Protocol(protocol))
            for group in claim.spec.groups:
                yield Slot(group, key)


def judge_share(spec: AddressClaimSpec, wanted: ClaimShare, sharing_key: str) -> Refusal | None:
    """Whether a Service may have these ports of a claimed address, alone or beside others, under this key.

    A refusal names nothing of another tenant. Traffic policies are no matter here: each port has backends of its own.
    """
    key = service_of(wanted.owner)
    mine = _of(live_shares(spec), key)
    is_going = spec.phase is not ClaimPhase.BOUND or (mine is None and _of(spec.leaving, key) is not None)
    if spec.owner.tenant != key.tenant or is_going:
        text = f"fleetlb.dev/addresses: {spec.address} is in use, or rests after its last use"
        return Refusal(Reason.ADDRESS_IN_USE, text)
    others = [share for share in live_shares(spec) if service_of(share.owner) != key]
    if others and (not sharing_key or sharing_key != spec.sharing_key):
        return _other_key(spec, others[0], sharing_key, is_in=mine is not None)
    if mine is None and len(spec.sharers) >= MAX_SHARERS:
        text = f"{spec.address} has {MAX_SHARERS + 1} Services already; write another key"
        return Refusal(Reason.SHARING_CONFLICT, f"fleetlb.dev/sharing-key: {text}")
    return _collision(spec, others, wanted, key)


def with_share(
    spec: AddressClaimSpec, wanted: ClaimShare, sharing_key: str, lingering: Iterable[str] = ()
) -> AddressClaimSpec:
    """A claim with a Service on it, with these ports and no others; `judge_share` has agreed.

    What the Service gives up of a shared address is remembered. `lingering`: ports that some node may still serve of
    the time before the address could be shared.
    """
    key, before = service_of(wanted.owner), _of(live_shares(spec), service_of(wanted.owner))
    had = _of(spec.leaving, key)
    given_up = [*(had.ports if had else ()), *lingering]
    if before is not None and (sharing_key or spec.sharing_key):
        given_up += before.ports
    if key == service_of(spec.owner):
        changed = replace(spec, ports=wanted.ports)
    elif before is not None:
        mine = replace(before, ports=wanted.ports)
        sharers = tuple(mine if service_of(share.owner) == key else share for share in spec.sharers)
        changed = replace(spec, sharers=sharers)
    else:
        changed = replace(spec, sharers=(*spec.sharers, wanted))
    owner = (before or wanted).owner  # its names stay, whatever a watcher calls it later
    return replace(changed, sharing_key=sharing_key, leaving=_with_leaving(changed, owner, given_up))


def widened(spec: AddressClaimSpec, wanted: ClaimShare, sharing_key: str) -> ClaimShare:
    """What a Service wants, and what it has beside, where others may come: until its object says otherwise."""
    mine = _of(live_shares(spec), service_of(wanted.owner))
    if mine is None or not (sharing_key or spec.sharing_key):
        return wanted
    return replace(wanted, ports=(*wanted.ports, *(text for text in mine.ports if text not in wanted.ports)))


def narrowed(spec: AddressClaimSpec, key: ServiceKey, ports: Container[str]) -> AddressClaimSpec:
    """A claim of which a Service has given up all but these ports; as it is if it has none of them."""
    mine = _of(live_shares(spec), key)
    kept = tuple(text for text in mine.ports if text in ports) if mine else ()
    if mine is None or not kept:
        return spec
    return with_share(spec, replace(mine, ports=kept), spec.sharing_key, lingering=mine.ports)


def left_by(spec: AddressClaimSpec, key: ServiceKey) -> AddressClaimSpec:
    """A claim that a Service has left: Releasing if nobody else is there, otherwise the others keep the address."""
    shares = live_shares(spec)
    mine = _of(shares, key)
    if mine is None:
        return spec
    first, *rest = [share for share in shares if share is not mine] or [mine]
    if first is mine:
        return replace(spec, phase=ClaimPhase.RELEASING)
    changed = replace(spec, owner=first.owner, ports=first.ports, sharers=tuple(rest))
    had = _of(spec.leaving, key)
    return replace(changed, leaving=_with_leaving(changed, mine.owner, [*(had.ports if had else ()), *mine.ports]))


def let_go_of(claim: AddressClaim, slots: Container[Slot]) -> AddressClaimSpec:
    """A claim without those who left and of whose virtual servers every node has let go; `slots`: of which it has."""
    waiting = [share for share in claim.spec.leaving if any(slot not in slots for slot in slots_in(claim, share))]
    return replace(claim.spec, leaving=tuple(waiting))


def _with_leaving(spec: AddressClaimSpec, owner: ClaimOwner, ports: Iterable[str]) -> tuple[ClaimShare, ...]:
    """`leaving`, with these ports of one owner, but those that somebody has or others leave."""
    others = tuple(share for share in spec.leaving if service_of(share.owner) != service_of(owner))
    taken = {text for share in (*live_shares(spec), *others) for text in share.ports}
    left = tuple(dict.fromkeys(text for text in ports if text not in taken))
    had = _of(spec.leaving, service_of(owner))
    if had is not None and had.ports == left:
        return spec.leaving
    return (*others, ClaimShare(owner=owner, ports=left)) if left else others


def _other_key(spec: AddressClaimSpec, other: ClaimShare, sharing_key: str, *, is_in: bool) -> Refusal:
    named = _named(other, spec.owner.cluster_uid)
    under = f"under the key {spec.sharing_key!r}" if spec.sharing_key else "without a sharing key"
    if is_in:
        cure = "write that key again, or make the Service anew for an address of its own"
        text = f"fleetlb.dev/sharing-key: {spec.address} is shared with {named} {under}; {cure}"
        return Refusal(Reason.SHARING_CONFLICT, text)
    cure = "ask for another address, or have both Services write one fleetlb.dev/sharing-key"
    if spec.sharing_key:
        cure = "write that fleetlb.dev/sharing-key, or ask for another address"
    return Refusal(Reason.ADDRESS_IN_USE, f"fleetlb.dev/addresses: {spec.address} is of {named} {under}; {cure}")


def _collision(
    spec: AddressClaimSpec, others: Iterable[ClaimShare], wanted: ClaimShare, key: ServiceKey
) -> Refusal | None:
    """The first port that somebody else has, or has given up and not every node has let go of."""
    for text in wanted.ports:
        for share in others:
            if text in share.ports:
                what = f"port {text} of {spec.address} is {_named(share, key.cluster)}'s, which has the same key"
                what += "; use another port, or another key"
                return Refusal(Reason.SHARING_CONFLICT, f"fleetlb.dev/sharing-key: {what}")
        for share in spec.leaving:
            if text in share.ports and service_of(share.owner) != key:
                what = f"port {text} of {spec.address} was {_named(share, key.cluster)}'s, and not every balancer node"
                what += " has let go of it yet; nothing is to be done"
                return Refusal(Reason.SHARING_CONFLICT, f"fleetlb.dev/sharing-key: {what}")
    return None


def _named(share: ClaimShare, cluster: str) -> str:
    """A Service as its tenant knows it."""
    owner = share.owner
    where = f" of cluster {owner.cluster_uid}" if owner.cluster_uid != cluster else ""
    return f"{owner.namespace}/{owner.name}{where}"


def _of(shares: Iterable[ClaimShare], key: ServiceKey) -> ClaimShare | None:
    return next((share for share in shares if service_of(share.owner) == key), None)


def _text_of(key: VirtualServerKey) -> str:
    return f"{key.port}/{key.protocol}"
