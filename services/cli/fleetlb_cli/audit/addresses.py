"""Whose addresses are whose: A1 to A3 and A6 to A9. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from fleetlb.contracts.objects import AddressClaim, AddressPool, ClaimPhase, PoolCounts
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import Owner
from fleetlb.domain.address_pools import Interval, number_of, parse_intervals
from fleetlb.domain.addresses import Family, family_of, parse_address
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.audit.picture import (
    Finding,
    Picture,
    claimant,
    claimants,
    is_bound,
    keys_of,
    named,
    owner_of,
    serving_places,
    shares_of,
)
from fleetlb_cli.audit.times import age_of

ORPHAN_SECONDS = 120.0
"""So long an address may be claimed before its load balancer names it."""


def one_owner(picture: Picture) -> Iterator[Finding]:
    """A1: no address, port and protocol of two load balancers, nor twice in a claim; and every address that one has,
    it has claimed."""
    owners: defaultdict[VirtualServerKey, list[str]] = defaultdict(list)
    for item in picture.load_balancers:
        for key in keys_of(item):
            owners[key].append(named(item))
        for address in item.spec.addresses:
            claim = picture.claims.get(address)
            if claim is None or not is_bound(claim) or owner_of(item) not in claimants(claim):
                whose = "nobody" if claim is None else f"{claim.spec.owner.tenant} ({claim.spec.phase})"
                yield Finding("A1", named(item), f"has {address}, which is claimed by {whose}")
    for key, names in owners.items():
        if len(names) > 1:
            yield Finding("A1", str(key), f"belongs to {', '.join(sorted(names))}")
    for address, claim in picture.claims.items():
        texts = Counter(text for share in (*shares_of(claim), *claim.spec.leaving) for text in share.ports)
        for text, count in texts.items():
            if count > 1:
                yield Finding("A1", f"{address} {text}", f"stands {count} times in the claim of the address")


def one_tenant(picture: Picture) -> Iterator[Finding]:
    """A2: at most one tenant at an address, whatever speaks of it: claims, objects, wishes to nodes, nodes."""
    tenants: defaultdict[str, set[str]] = defaultdict(set)
    for address, claim in picture.claims.items():
        tenants[address].update(share.owner.tenant for share in (*shares_of(claim), *claim.spec.leaving))
    for item in picture.load_balancers:
        for address in item.spec.addresses:
            tenants[address].add(item.spec.tenant)
    for place, desired in picture.desired.items():
        if desired.server is not None:
            tenants[place.key.address].add(desired.owner.tenant)
    for place, realized in serving_places(picture):
        tenants[place.key.address].add(realized.owner.tenant)
    for address, names in tenants.items():
        if len(names) > 1:
            yield Finding("A2", address, f"is of the tenants {', '.join(sorted(names))}")


def known_names(picture: Picture) -> Iterator[Finding]:
    """A3: an address in use lies in a pool, and is named as its object is.

    Not that its pool still grants it: ranges and grants may be taken back, and nobody loses an address by that.
    """
    intervals = [interval for pool in picture.pools.values() for interval in _intervals(pool)]
    for address, claim in picture.claims.items():
        family, value = number_of(parse_address(address))
        pool = picture.pools.get(claim.spec.pool)
        is_kept = pool is not None and pool.metadata.generation > 1  # its ranges may have held the address before
        if not is_kept and not any(interval.has(family, value) for interval in intervals):
            yield Finding("A3", address, f"is claimed out of pool {claim.spec.pool} and lies in no pool")


def counts_are_true(picture: Picture) -> Iterator[Finding]:
    """A6: what a pool's status counts is what is claimed of it, and used, resting and free are all that there is."""
    for name, pool in picture.pools.items():
        for family, counts in ((Family.IPV4, pool.status.ipv4), (Family.IPV6, pool.status.ipv6)):
            held = Counter(_is_resting(claim) for claim in _claims_of(picture, pool, family))
            if (counts.used, counts.quarantined) != (held[False], held[True]):
                text = f"says used {counts.used}, quarantined {counts.quarantined} of {family};"
                yield Finding("A6", f"pool {name}", f"{text} claims say {held[False]} and {held[True]}")
            elif not _adds_up(counts):
                yield Finding("A6", f"pool {name}", f"its {family} counts do not add up to its total")


def released_first(picture: Picture) -> Iterator[Finding]:
    """A7: nobody has an address, or a port of one that is shared, that some node still serves for somebody else."""
    for place, realized in serving_places(picture):
        claim = picture.claims.get(place.key.address)
        whose = _whose(claim, place.key) if claim is not None and is_bound(claim) else ()
        if whose and realized.owner not in whose:
            names = " and ".join(_spelled(owner) for owner in whose)
            text = f"is {names}'s, and node {place.node} serves it for {_spelled(realized.owner)}"
            yield Finding("A7", str(place.key), text)


def _whose(claim: AddressClaim, key: VirtualServerKey) -> tuple[Owner, ...]:
    """Who may be served there: who has the port; if nobody has it, whoever has part in the address or had until now."""
    text = f"{key.port}/{key.protocol}"
    everybody = (*shares_of(claim), *claim.spec.leaving)
    having = tuple(claimant(share) for share in everybody if text in share.ports)
    return having or tuple(claimant(share) for share in everybody)


def no_leak(picture: Picture) -> Iterator[Finding]:
    """A8: an address in use is in use by a load balancer."""
    named_by = {(owner_of(item), address) for item in picture.load_balancers for address in item.spec.addresses}
    for address, claim in picture.claims.items():
        is_young = age_of(claim.metadata.creation_timestamp, picture.taken_at) < ORPHAN_SECONDS
        for owner in claimants(claim) if is_bound(claim) and not is_young else ():
            if (owner, address) not in named_by:
                yield Finding("A8", address, f"is claimed by {_spelled(owner)}, and no load balancer has it")


def usage_is_true(picture: Picture) -> Iterator[Finding]:
    """A9: what a Tenant's status says that it holds is what it has claimed, for quotas are judged by that."""
    addresses = Counter(claim.spec.owner.tenant for claim in picture.claims.values() if is_bound(claim))
    for name, tenant in picture.tenants.items():
        said = tenant.status.usage.addresses
        if said != addresses[name]:
            yield Finding(
                "A9", f"tenant {name}", f"says that it holds {said} addresses; it has claimed {addresses[name]}"
            )
        yield from _beyond_quota(tenant, name)


def _beyond_quota(tenant: Tenant, name: str) -> Iterator[Finding]:
    """A quota that was lowered ends nobody; so only one that is as old as the Tenant can be exceeded."""
    if tenant.metadata.generation > 1:
        return
    usage, quotas = tenant.status.usage, tenant.spec.quotas
    for field, used, limit in (
        ("loadBalancers", usage.load_balancers, quotas.load_balancers),
        ("addresses", usage.addresses, quotas.addresses),
        ("ports", usage.ports, quotas.ports),
    ):
        if limit is not None and used > limit:
            yield Finding("A9", f"tenant {name}", f"quota {field}: {used} of {limit} used")


def _claims_of(picture: Picture, pool: AddressPool, family: Family) -> Iterator[AddressClaim]:
    """Claims of what a pool may give out, whichever pool they name, and those out of it that it has lost since."""
    intervals = _intervals(pool)
    for address, claim in picture.claims.items():
        is_inside = any(i.has(*number_of(parse_address(address))) for i in intervals)
        if family_of(address) is family and (is_inside or claim.spec.pool == pool.metadata.name):
            yield claim


def _is_resting(claim: AddressClaim) -> bool:
    return claim.spec.phase is ClaimPhase.QUARANTINED


def _adds_up(counts: PoolCounts) -> bool:
    return counts.total >= 2**53 or counts.used + counts.quarantined + counts.free == counts.total


def _intervals(pool: AddressPool) -> tuple[Interval, ...]:
    try:
        return parse_intervals(pool.spec.addresses, pool.spec.exclude)
    except ValueError:
        return ()


def _spelled(owner: Owner) -> str:
    return f"{owner.tenant}/{owner.service_uid}"
