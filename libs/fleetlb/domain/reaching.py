"""Whether another node of the group reaches what a node announces, from what both say. Pure.

Nothing is concluded from silence. That an address is not reached counts only of who announces it at this moment, from a
node whose lease stands, and only where no other node reaches it.
"""

from collections.abc import Iterable, Mapping

from fleetlb.domain.announcing import Saying, VipReached


def callers(said: Iterable[Saying], owner: Saying) -> list[tuple[str, VipReached]]:
    """Nodes that have called the address at who announces it, and what they found."""
    return [
        (each.node, each.reached)
        for each in said
        if each.reached is not None
        and each.is_heard
        and each.node != owner.node
        and (each.reached.node, each.reached.term) == (owner.node, owner.since)
    ]


def reached_from(said: Iterable[Saying], owner: Saying) -> tuple[str, ...]:
    """The nodes that reach the address."""
    return tuple(node for node, found in callers(said, owner) if found.ports)


def lost_ports(said: Iterable[Saying], owner: Saying) -> Mapping[int, tuple[str, VipReached]]:
    """TCP ports that no node reaches, and one that has called them in vain."""
    found = callers(said, owner)
    reached = {port for _, each in found for port in each.ports}
    return {port: (node, each) for node, each in found for port in each.lost if port not in reached}


NOT_REACHABLE_CURE = (
    "look at what lies between the two: a firewall on the node that announces it, its link, a switch that filters;"
    " fleetlb node drain lets another node take over meanwhile"
)


def unreachable(address: str, port: int, owner: str, caller: str, found: VipReached) -> str:
    """In words that a port is not reached."""
    over = f" over {found.over}" if found.over else ""
    return f"{caller} does not reach {address}:{port}{over}, which {owner} answers for and finds well"
