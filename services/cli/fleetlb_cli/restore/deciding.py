"""What has to change in a management cluster that was put back, so that nobody loses an address: the decision alone.

What balancer nodes serve is the truth, for that is what clients reach. Each address that is served is claimed for whom
it is served; a claim that says otherwise is of the past, and so is a LoadBalancer with other addresses than those that
its Service is served at. Whatever nobody serves stays: the manager lets go of it in order, once its owner is known to
be gone. Nothing is changed while anything is not known. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from fleetlb.contracts.objects import AddressClaim, LoadBalancer
from fleetlb.contracts.v1 import Owner
from fleetlb.domain.address_pools import number_of, parse_intervals
from fleetlb.domain.addresses import parse_address
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.audit.picture import Picture, claimant, claimants, is_bound, owner_of, serving_places, shares_of


class Names(NamedTuple):
    """What a watcher says of a Service."""

    namespace: str = ""
    name: str = ""
    sharing_key: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a fleet whose store went back."""

    picture: Picture
    names: Mapping[Owner, Names] = {}
    """Of Services that watchers speak of; of others, the objects of the store may know."""
    unheard: tuple[str, ...] = ()
    """Balancer nodes that have not said all that they serve."""


class Served(msgspec.Struct, frozen=True):
    """Ports of an address, and for whom they are served."""

    owner: Owner
    ports: tuple[str, ...]


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is served, for whom, and by which wish."""

    address: str
    group: str
    """Whose nodes serve it by the newest wish."""
    beside: str = ""
    """Another group whose nodes serve it: it was on its way from one to the other."""
    shares: tuple[Served, ...]
    """First that of the newest wish; then of those who share the address with it."""
    generation: int
    strangers: tuple[Owner, ...] = ()
    """Served other ports of it, and nobody knows whether they share it."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return self.shares[0].owner


class Reclaim(msgspec.Struct, frozen=True):
    """Claim an address for whom it is served."""

    serving: Serving
    pool: str
    names: Mapping[Owner, Names]
    """Of everybody whom it is served for, as far as they are known."""
    instead_of: AddressClaim | None = None
    """A claim of the past, which goes before."""


class Unmake(msgspec.Struct, frozen=True):
    """Delete a LoadBalancer that speaks of the past; the manager makes it anew."""

    item: LoadBalancer


Step = Reclaim | Unmake


class Course(msgspec.Struct, frozen=True):
    """What is to be done; nothing of it while there is an obstacle."""

    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]
    """In words, with the cure."""


def decide(sight: Sight) -> Course:
    """Everything at once; a fleet in which all is right gives no steps."""
    picture, known = sight.picture, _known(sight)
    served = {serving.address: serving for serving in _served(picture, known)}
    steps: list[Step] = []
    obstacles = [
        f"{node} has not said all that it serves: start it, or take it out of its group" for node in sight.unheard
    ]
    for serving in served.values():
        claim = picture.claims.get(serving.address)
        if serving.strangers:
            obstacles.append(_doubt(serving))
            continue
        if is_bound(claim) and claim is not None and set(claimants(claim)) == _owners(serving):
            continue
        pool = claim.spec.pool if claim is not None else _pool_of(picture, serving)
        if serving.owner.tenant not in picture.tenants:
            obstacles.append(f"{serving.address} is served for tenant {serving.owner.tenant}: apply that Tenant again")
        elif not pool:
            text = f"{serving.address} is served by group {serving.group}, and lies in no AddressPool"
            obstacles.append(f"{text}: apply that pool again")
        else:
            names = {owner: known.get(owner, Names()) for owner in _owners(serving)}
            steps.append(Reclaim(serving, pool, names, claim))
    steps.extend(Unmake(item) for item in picture.load_balancers if _is_past(item, served))
    return Course(tuple(steps), tuple(obstacles))


def _owners(serving: Serving) -> set[Owner]:
    return {share.owner for share in serving.shares}


def _known(sight: Sight) -> Mapping[Owner, Names]:
    """What watchers say of Services, and of those that none speaks of, what the store does, old as it is."""
    names: dict[Owner, Names] = {}
    for claim in sight.picture.claims.values():
        for share in shares_of(claim):
            names[claimant(share)] = Names(share.owner.namespace, share.owner.name, claim.spec.sharing_key)
    for item in sight.picture.load_balancers:
        service = item.spec.service
        names[owner_of(item)] = Names(service.namespace, service.name, service.sharing_key)
    return {**names, **sight.names}


def _served(picture: Picture, known: Mapping[Owner, Names]) -> Iterator[Serving]:
    """Of each address the newest wish that a node serves says whose it is, and who shares it: whoever has its key."""
    newest: dict[str, tuple[tuple[int, int], Owner, str]] = {}
    groups: dict[str, set[str]] = {}
    keys: dict[str, dict[Owner, set[VirtualServerKey]]] = {}
    for place, word in serving_places(picture):
        address, order = place.key.address, (word.generation, word.revision)
        keys.setdefault(address, {}).setdefault(word.owner, set()).add(place.key)
        groups.setdefault(address, set()).add(place.group)
        if address not in newest or order > newest[address][0]:
            newest[address] = (order, word.owner, place.group)
    for address, ((generation, _), owner, group) in sorted(newest.items()):
        of = keys[address]
        others = sorted((each for each in of if each != owner), key=lambda each: each.service_uid)
        owners = [owner, *(each for each in others if _share(known, owner, each))]
        shares = tuple(Served(each, _texts(of[each])) for each in owners)
        # A port that both are served is on its way from one to the other; other ports are shared, or were to be.
        strangers = tuple(each for each in others if of[each] - of[owner] and _may_share(known, owner, each))
        yield Serving(
            address=address,
            group=group,
            beside=min(groups[address] - {group}, default=""),
            shares=shares,
            generation=generation,
            strangers=strangers,
        )


def _share(known: Mapping[Owner, Names], one: Owner, other: Owner) -> bool:
    """Whether two Services share their addresses."""
    key = known.get(one, Names()).sharing_key
    return bool(key) and one.tenant == other.tenant and known.get(other, Names()).sharing_key == key


def _may_share(known: Mapping[Owner, Names], one: Owner, other: Owner) -> bool:
    """Whether nobody knows if they do."""
    return one.tenant == other.tenant and not (one in known and other in known)


def _doubt(serving: Serving) -> str:
    clusters = sorted({serving.owner.cluster_uid, *(each.cluster_uid for each in serving.strangers)})
    return (
        f"{serving.address} is served for several Services of tenant {serving.owner.tenant}, and nobody has said "
        f"whether they share it: start the watcher of cluster {' and '.join(clusters)}"
    )


def _texts(keys: Iterable[VirtualServerKey]) -> tuple[str, ...]:
    return tuple(f"{port}/{protocol}" for port, protocol in sorted((key.port, key.protocol.value) for key in keys))


def _is_past(item: LoadBalancer, served: Mapping[str, Serving]) -> bool:
    """Whether an object has an address that is another's, or its Service is served at others."""
    owner, has = owner_of(item), set(item.spec.addresses)
    mine = {address for address, serving in served.items() if owner in _owners(serving)}
    others = any(address in served and owner not in _owners(served[address]) for address in has)
    return others or bool(mine and has and mine != has)


def _pool_of(picture: Picture, serving: Serving) -> str:
    """The pool that an address lies in, one of the group if there is one: it may name another by now. Empty: none."""
    family, value = number_of(parse_address(serving.address))
    for name, pool in sorted(picture.pools.items(), key=lambda each: (each[1].spec.group != serving.group, each[0])):
        try:
            intervals = parse_intervals(pool.spec.addresses)
        except ValueError:
            continue
        if any(interval.has(family, value) for interval in intervals):
            return name
    return ""
