"""Statuses as they should be, from memory: counts that equal the claims. Pure.

Written out in full, zeros too: a merge patch leaves alone what it does not name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fleetlb.contracts.objects import AddressPool, AddressPoolStatus, BalancerGroup, PoolCounts
from fleetlb.contracts.tenants import TenantUsage
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.address_pools import SHOWN_LIMIT, overlap
from fleetlb.domain.addresses import Family
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.conditions import ADDRESSES_OUTSIDE, ANNOUNCED, MOVED, READY, WITHHELD, Condition, Status
from fleetlb.domain.tenancy import Usage
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.balancer_groups import nodes_as_heard, routing_problems
from fleetlb_manager.pool_attributes import OF_NONE, PoolsTold, attribute_problems
from fleetlb_manager.pool_holdings import PoolUse

Carriers = tuple[BalancerGroup, Mapping[str, NodeRealized]]


def tenant_usage(usage: Usage) -> TenantUsage:
    """What a tenant holds."""
    return TenantUsage(load_balancers=usage.load_balancers, addresses=usage.addresses, ports=usage.ports)


def pool_counts(book: AddressBook, pool: str, family: Family) -> PoolCounts:
    """How full one family of a pool is."""
    counts = book.counts(pool, family)
    return PoolCounts(
        total=min(counts.total, SHOWN_LIMIT),
        used=counts.used,
        quarantined=counts.quarantined,
        free=min(counts.free, SHOWN_LIMIT),
    )


def pool_status(book: AddressBook, pool: str) -> AddressPoolStatus:
    """How full a pool is."""
    return AddressPoolStatus(ipv4=pool_counts(book, pool, Family.IPV4), ipv6=pool_counts(book, pool, Family.IPV6))


def pool_conditions(
    pool: AddressPool,
    book: AddressBook,
    use: PoolUse,
    carriers: Carriers | None = None,
    told: PoolsTold = OF_NONE,
    lacks: Mapping[str, str] = {},
) -> tuple[Condition, ...]:
    """What a pool says of itself: whether addresses are given out of it, whether it is rid of those it lost, whether
    its group carries them, and whether they can be announced. `carriers`: its group and what was heard of its nodes;
    None: there is no such group. `told`: all pools, and of which their nodes were told. `lacks`: of addresses that stay
    with another group, why.
    """
    generation = pool.metadata.generation
    if pool.metadata.deletion_timestamp is not None:
        ready = draining_condition(use, generation)
    else:
        ready = pools_condition(pool.metadata.name, book, generation)
    outside = (outside_condition(use, generation),) if use.outside else ()
    moved = (moved_condition(pool, use, lacks),) if use.elsewhere else ()
    asks = (pool.spec.announcement, pool.spec.bgp) != (Announcement.NONE, None)
    return (ready, *outside, *moved, *((announced_condition(pool, *carriers, told),) if asks and carriers else ()))


def moved_condition(pool: AddressPool, use: PoolUse, lacks: Mapping[str, str]) -> Condition:
    """Addresses that another group carries, and why they stay there if they do. Those that move need nobody's help,
    unless a node is silent."""
    stuck = [(text, lacks[address]) for address, text in use.elsewhere_named if lacks.get(address)]
    count = f"addresses in use that group {pool.spec.group} does not carry alone: {use.elsewhere}"
    if stuck:
        each = "; ".join(f"{text} stays where it is: {lack}" for text, lack in stuck)
        reason, text = "Stays", f"{count}. {each}"
    else:
        named = ", ".join(text for _, text in use.elsewhere_named)
        reason, text = "Moving", f"{count} ({named}). They are on their way: `fleetlb why svc` says what is waited for"
    return Condition(
        type=MOVED, status=Status.FALSE, reason=reason, message=text, observed_generation=pool.metadata.generation
    )


def announced_condition(
    pool: AddressPool, group: BalancerGroup, heard: Mapping[str, NodeRealized], told: PoolsTold = OF_NONE
) -> Condition:
    """Whether every node of the pool's group can announce its addresses as it asks; a node not heard of is not
    doubted."""
    wanted, generation = pool.spec.announcement, pool.metadata.generation
    if problems := attribute_problems(pool, group.spec.bgp, told.pools):
        text, is_withheld = f"{problems[0]}{_count_of_more(problems)}", False
        if wanted is Announcement.BGP:
            is_withheld = pool.metadata.name not in told.names
            follows = "no node announces the pool until it is mended" if is_withheld else "what was before it is"
            text = f"spec.bgp is not followed, {follows}: {text}"
        reason = WITHHELD if is_withheld else "InvalidRouting"
        return Condition(
            type=ANNOUNCED, status=Status.FALSE, reason=reason, message=text, observed_generation=generation
        )
    unable = [name for name in group.spec.nodes if name in heard and wanted.value not in heard[name].capabilities]
    if not unable:
        text = f"every node of group {group.metadata.name} announces what it carries"
        return Condition(
            type=ANNOUNCED, status=Status.TRUE, reason="Complete", message=text, observed_generation=generation
        )
    text = (
        f"spec.announcement: {', '.join(unable)} of group {group.metadata.name} cannot announce by {wanted}:"
        f" {_ANNOUNCED_BY[wanted]}"
    )
    return Condition(
        type=ANNOUNCED, status=Status.FALSE, reason="NodesCannot", message=text, observed_generation=generation
    )


_ANNOUNCED_BY = {
    Announcement.LAYER2: "they need engine ipvs and FLEETLB_LAYER2_INTERFACES",
    Announcement.BGP: "they need engine ipvs, FLEETLB_BIRD_SOCKET and FLEETLB_BIRD_DIRECTORY",
}


def draining_condition(use: PoolUse, generation: int) -> Condition:
    """Why a pool that is deleted is still there, and what ends that."""
    text = (
        f"this pool is being removed; addresses in use: {use.addresses}, of {use.tenants} tenants; at rest:"
        f" {use.resting}. They stay and are served, none is given out any more, and the pool goes when the last is"
        " free: have those Services ask for another pool, or delete them (kubectl get addressclaims names them)"
    )
    return Condition(type=READY, status=Status.FALSE, reason="Draining", message=text, observed_generation=generation)


def outside_condition(use: PoolUse, generation: int) -> Condition:
    """Addresses in use that the pool would not give out any more, and who would have to move."""
    more = ", …" if use.outside > len(use.named) else ""
    text = (
        f"addresses in use that spec.addresses lost or spec.exclude names: {use.outside}"
        f" ({', '.join(use.named)}{more}). They stay and are served, none is given out there: put their range back, or"
        " have those Services ask for other addresses"
    )
    return Condition(
        type=ADDRESSES_OUTSIDE, status=Status.TRUE, reason="InUse", message=text, observed_generation=generation
    )


def pools_condition(pool: str, book: AddressBook, generation: int) -> Condition:
    """Whether a pool can be used at all; that a range lies in another pool too, where counts are shared, is said."""
    mine = book.pools[pool].intervals
    for name in sorted(book.pools):
        if name != pool and overlap(mine, book.pools[name].intervals):
            text = f"a range of this pool lies in pool {name} too; an address is given once all the same"
            return Condition(
                type=READY, status=Status.FALSE, reason="Overlap", message=text, observed_generation=generation
            )
    if not mine:
        text = "spec.exclude leaves nothing of spec.addresses: no address is given out, those in use stay"
        return Condition(type=READY, status=Status.FALSE, reason="Empty", message=text, observed_generation=generation)
    return Condition(
        type=READY,
        status=Status.TRUE,
        reason="Complete",
        message="addresses are given out of this pool",
        observed_generation=generation,
    )


def group_condition(group: BalancerGroup, heard: Mapping[str, NodeRealized]) -> Condition:
    """Whether a group's spec can be followed, and every node was heard of as ready."""
    missing = [node.name for node in nodes_as_heard(group, heard) if not node.ready]
    generation = group.metadata.generation
    if problems := routing_problems(group.spec):
        text = f"spec.bgp is not followed, what was before it is: {problems[0]}{_count_of_more(problems)}"
        return Condition(
            type=READY, status=Status.FALSE, reason="InvalidRouting", message=text, observed_generation=generation
        )
    if missing:
        text = f"not heard of as ready: {', '.join(missing)}"
        return Condition(
            type=READY, status=Status.FALSE, reason="NodesMissing", message=text, observed_generation=generation
        )
    return Condition(
        type=READY,
        status=Status.TRUE,
        reason="Complete",
        message="every node is ready",
        observed_generation=generation,
    )


def _count_of_more(problems: Sequence[str]) -> str:
    return f" ({len(problems) - 1} more)" if problems[1:] else ""


def in_full(value: msgspec.Struct) -> dict[str, Any]:
    """A flat struct as JSON names and values, defaults included."""
    names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    return {encoded: msgspec.to_builtins(getattr(value, name)) for name, encoded in names}
