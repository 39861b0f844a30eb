"""Where each address of a Service is on its way to another balancer group, and what is waited for. Pure."""

from collections.abc import Iterator, Mapping

from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, ClaimPhase
from fleetlb.contracts.v1 import Probe, RealizedState, VirtualServerDesired
from fleetlb.domain.routing import peers_up
from fleetlb.domain.routing_rules import peers_told
from fleetlb.domain.virtual_servers import Announcement, VirtualServerKey
from fleetlb.explaining.situation import Said, Situation


def moves(seen: Situation) -> dict[str, str]:
    """A line for each address that another group carries too, or should."""
    return {f"moving {claim.spec.address}": text for claim in seen.claims if (text := _line(seen, claim))}


def _line(seen: Situation, claim: AddressClaim) -> str:
    spec = claim.spec
    if spec.phase is not ClaimPhase.BOUND:
        return ""
    if not spec.is_moving:
        named = seen.pool.spec.group if seen.pool is not None else spec.group
        is_its = seen.pool is not None and seen.pool.metadata.name == spec.pool
        text = f"stays with group {spec.group}, though pool {spec.pool} names {named}: see its condition Moved"
        return text if is_its and named != spec.group else ""
    if spec.withdrawn_from:
        left = ", ".join(_holding(seen, spec.address)) or "each node"
        return f"to group {spec.group}; waits until {left} of {spec.withdrawn_from} lets go of it"
    going = f"from group {spec.group} to {spec.moving_to}"
    if seen.other is not None and seen.other.metadata.name == spec.moving_to and (late := _late(seen, spec.address)):
        return f"{going}, as soon as {', '.join(late)} {'carries' if len(late) == 1 else 'carry'} it"
    if late := _behind(seen, spec):
        has = "has" if len(late) == 1 else "have"
        return f"{going}; {spec.group} lets go of it as soon as {', '.join(late)} {has} acknowledged the last change"
    if _lacks_router(seen, spec.moving_to):
        return f"{going}, as soon as a node of {spec.moving_to} tells a router"
    return f"{going}, whose nodes carry it; those of {spec.group} are about to let go"


def _holding(seen: Situation, address: str) -> list[str]:
    """Nodes of the group that lets go which have not said that they did."""
    return [
        node
        for node, said in _there(seen, address)
        if any(each is None or each.word.state is not RealizedState.REMOVED for each in said)
    ]


def _lacks_router(seen: Situation, group: str) -> bool:
    """Whether no router is told of the pool by the group that it moves to."""
    pool, other = seen.pool, seen.other
    if pool is None or pool.spec.announcement is not Announcement.BGP or other is None or other.metadata.name != group:
        return False
    peers = peers_told(pool.spec.bgp, other.spec.bgp) if other.spec.bgp is not None else frozenset[str]()
    up = frozenset[str]().union(*(peers_up(node.sessions) for node in other.status.nodes))
    return not (up & peers if peers else up)


def _late(seen: Situation, address: str) -> list[str]:
    """Nodes of the group that it moves to which do not carry it as it is wished, or reach no backend."""
    return [
        node
        for node, said in _there(seen, address)
        if any(not _is_carried(seen.desired_there, each) or _is_unanswered(each) for each in said)
    ]


def _behind(seen: Situation, spec: AddressClaimSpec) -> list[str]:
    """Nodes that the group before waits for, once the Service has gone over: those of the new one; on layer 2 its own
    too, for nobody answers from then on until the last has let go."""
    if seen.group is None or seen.group.metadata.name != spec.moving_to:
        return []
    late = [
        node for node, key, said in seen.words() if key.address == spec.address and not _is_carried(seen.desired, said)
    ]
    if seen.pool is not None and seen.pool.spec.announcement is Announcement.LAYER2:
        there = _there(seen, spec.address)
        late += [node for node, said in there if any(not _is_carried(seen.desired_there, each) for each in said)]
    return list(dict.fromkeys(late))


def _is_carried(wishes: Mapping[VirtualServerKey, VirtualServerDesired], said: Said | None) -> bool:
    """Whether it is served as it is wished by now."""
    if said is None or said.word.state is not RealizedState.PROGRAMMED:
        return False
    wish = wishes.get(said.word.key)
    return wish is None or (said.word.generation, said.word.revision) >= (wish.generation, wish.revision)


def _is_unanswered(said: Said | None) -> bool:
    return said is not None and said.word.probe is Probe.UNANSWERED


def _there(seen: Situation, address: str) -> Iterator[tuple[str, list[Said | None]]]:
    """Each node of the other group, and what it said of the address's virtual servers."""
    keys: list[VirtualServerKey] = [key for key in seen.virtual_servers() if key.address == address]
    for node in seen.other.spec.nodes if seen.other is not None else ():
        yield node, [seen.realized_there.get(node, {}).get(key) for key in keys]
