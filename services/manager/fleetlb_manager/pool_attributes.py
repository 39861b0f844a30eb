"""What the routes of single pools carry by BGP, and what is wrong with what their specs say of it. Pure."""

from collections.abc import Collection, Iterable, Set
from typing import NamedTuple

from fleetlb.contracts.objects import AddressPool
from fleetlb.domain.routing import MAX_POOLS, BgpSpeaking, PoolAttributes
from fleetlb.domain.routing_rules import problems_of_attributes
from fleetlb.domain.virtual_servers import Announcement


class PoolsTold(NamedTuple):
    """What there is to know of pools beside one that is judged."""

    pools: Collection[AddressPool] = ()
    """All there are."""
    names: frozenset[str] = frozenset()
    """Those with attributes that the nodes of their group were told of."""


OF_NONE = PoolsTold()
"""Nothing is known of any."""


def has_attributes(pool: AddressPool) -> bool:
    """Whether a pool's routes carry attributes of their own, right or wrong."""
    return pool.spec.bgp is not None and pool.spec.announcement is Announcement.BGP


def attribute_problems(pool: AddressPool, speaking: BgpSpeaking | None, pools: Iterable[AddressPool]) -> list[str]:
    """Why a pool's own attributes cannot be followed: sentences that name the field and the cure.

    `speaking`: how its group announces; `pools`: all there are.
    """
    wanted, group = pool.spec.bgp, pool.spec.group
    if wanted is None:
        return []
    if pool.spec.announcement is not Announcement.BGP:
        return ["spec.bgp is for pools with announcement bgp: set spec.announcement to bgp, or remove spec.bgp"]
    if speaking is None:
        return [f"spec.bgp: group {group} has no routers; set spec.bgp of the BalancerGroup {group}"]
    found = problems_of_attributes("spec.bgp", wanted, speaking)
    count = sum(has_attributes(each) for each in pools if each.spec.group == group)
    if count > MAX_POOLS:
        found.append(
            f"spec.bgp: {count} pools of group {group} have attributes of their own, and {MAX_POOLS} can; remove it"
            " from some, and give the group's own in spec.bgp.attributes of the BalancerGroup"
        )
    return found


def decide_attributes(
    pools: Iterable[AddressPool],
    group: str,
    speaking: BgpSpeaking | None,
    known: Iterable[PoolAttributes],
    leaving: Set[str] = frozenset(),
) -> tuple[PoolAttributes, ...]:
    """What a group's nodes are to be told of single pools, by name.

    `known`: what they were told last; `leaving`: pools with addresses that move between groups: the group that they
    come from goes on with what it knows of them until the last one is gone.

    What is wrong is not followed: the pool stays as it was told of, and of a new one nothing is said. Nodes do not
    announce it then, as routers might hear of it that must not.
    """
    if speaking is None:
        return ()
    pools, before = tuple(pools), {each.pool: each for each in known}
    found: list[PoolAttributes] = []
    for pool in sorted(pools, key=lambda each: each.metadata.name):
        name, wanted = pool.metadata.name, pool.spec.bgp
        if wanted is None or not has_attributes(pool):
            continue
        is_ours = pool.spec.group == group
        if is_ours and not attribute_problems(pool, speaking, pools):
            found.append(PoolAttributes(pool=name, attributes=wanted))
        elif name in before and (is_ours or name in leaving):
            found.append(before[name])
    return tuple(found)
