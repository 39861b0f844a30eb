"""Which node announces each address of a Service, or why none does, from what the nodes say. Pure.

A node answers on layer 2 while its lease stands (ADR 15). Whether it stands is told here from when the hub last had the
node's presence, by the clock of whoever looks; a lease therefore counts as ended only `SKEW_SECONDS` later.
"""

from collections.abc import Mapping, Sequence

import msgspec

from fleetlb.contracts.objects import BalancerNode
from fleetlb.contracts.v1 import VipCarried, VirtualServerDesired
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.announcing import (
    PASSING_SECONDS,
    Cause,
    Saying,
    Telling,
    VipReached,
    among,
    announcer,
    cause,
    telling,
    telling_of,
    told,
    untold,
)
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason
from fleetlb.domain.reaching import callers, lost_ports, unreachable
from fleetlb.domain.routing import RouteAttributes
from fleetlb.domain.routing_rules import peers_told
from fleetlb.domain.virtual_servers import Announcement, VirtualServerKey
from fleetlb.explaining.situation import Situation, spelled
from fleetlb.kube.holding import SKEW_SECONDS

_SHOWN = 256
"""Characters of what a node says it tells."""


class Unannounced(msgspec.Struct, frozen=True):
    """Why nobody announces an address."""

    reason: str
    message: str
    given: dict[str, str]
    since: str = ""


def ways_of(desired: Mapping[VirtualServerKey, VirtualServerDesired]) -> dict[str, Announcement]:
    """How nodes are to announce each address; without those that they are not to announce."""
    servers = [wish.server for _, wish in sorted(desired.items()) if wish.server is not None]
    return {s.key.address: s.announcement for s in servers if s.announcement is not Announcement.NONE}


def pools_of(desired: Mapping[VirtualServerKey, VirtualServerDesired]) -> dict[str, str]:
    """The pool whose own attributes the route of each address carries; without those that carry their group's."""
    servers = [wish.server for _, wish in sorted(desired.items()) if wish.server is not None]
    return {s.key.address: s.attributes_pool for s in servers if s.attributes_pool}


def announced(seen: Situation) -> dict[str, str]:
    """A line for each address that a node announces: who, on which interfaces, since when, or to which routers."""
    lines = {}
    for address, way in ways_of(seen.desired).items():
        if way is Announcement.BGP and _is_known(seen, address) and (tellers := telling(_told(seen, address))):
            lines[f"announced {address}"] = _line_of_routers(address, tellers)
        elif way is Announcement.LAYER2 and (said := announcer(_said(seen, address))):
            lines[f"announced {address}"] = _line(address, said)
            lines |= _lines_of_callers(address, said, _said(seen, address))
    return lines


def unannounced(seen: Situation) -> Unannounced | None:
    """Why nobody announces an address, of the first such one."""
    for address, way in ways_of(seen.desired).items():
        if way is Announcement.BGP:
            if lack := _untold(seen, address):
                return lack
        elif not announcer(_said(seen, address)):
            return _lack(seen, address)
    return None


def unreached(seen: Situation) -> Unannounced | None:
    """The first port that no other node reaches at who announces it. It says nothing where some real servers fail their
    checks: a call may have met one of them."""
    for address, way in ways_of(seen.desired).items():
        owner = announcer(said := _said(seen, address)) if way is Announcement.LAYER2 else None
        for port, (caller, found) in lost_ports(said, owner).items() if owner is not None else ():
            key = VirtualServerKey(address, port, Protocol.TCP)
            if owner is None or key not in seen.virtual_servers() or not _is_well(seen, owner.node, key):
                continue
            given = {"address": address, "announced by": owner.node, "called from": caller}
            text = unreachable(address, port, owner.node, caller, found)
            return Unannounced(Reason.NOT_REACHABLE, text, given, spelled(found.since / 1e6) if found.since else "")
    return None


def _is_well(seen: Situation, node: str, key: VirtualServerKey) -> bool:
    """Whether a node finds all real servers well that a call may meet."""
    said = seen.realized.get(node, {}).get(key)
    return said is not None and not said.word.brake and said.word.healthy in (None, said.word.real_servers)


def _attributes_of(seen: Situation, address: str) -> RouteAttributes | None:
    """What the nodes were told that an address's route carries beside what all of the group do."""
    pool, said = pools_of(seen.desired).get(address, ""), seen.instructed
    return next((each.attributes for each in said.pools if each.pool == pool), None) if said else None


def _is_known(seen: Situation, address: str) -> bool:
    """Whether the nodes were told what an address's route carries. Before that they do not announce it."""
    is_asked = address in pools_of(seen.desired) and seen.instructed is not None
    return not is_asked or _attributes_of(seen, address) is not None


def _told(seen: Situation, address: str) -> list[Telling]:
    """Which routers the nodes of the group tell of an address, as the manager last heard."""
    said = {node.name: node for node in seen.group.status.nodes} if seen.group else {}
    nodes = seen.group.spec.nodes if seen.group else ()
    heard = (said.get(name, BalancerNode(name=name)) for name in nodes)
    speaking = seen.group.spec.bgp if seen.group else None
    peers = peers_told(_attributes_of(seen, address), speaking) if speaking else frozenset[str]()
    return [among(telling_of(node.name, node.sessions, draining=node.draining), peers) for node in heard]


def _untold(seen: Situation, address: str) -> Unannounced | None:
    """Why no router is told of an address."""
    if seen.group is None or seen.group.spec.bgp is None:
        why = Cause.BGP_NOT_ANNOUNCED
        return Unannounced(why, told(address, why, ()), {"address": address})
    if not _is_known(seen, address):
        pool = pools_of(seen.desired)[address]
        text = f"no node announces {address}: they were not told what routes of pool {pool} carry"
        return Unannounced("AttributesUnknown", text, {"address": address, "pool": pool})
    if not seen.group.status.nodes or telling(said := _told(seen, address)):
        return None  # as far as any manager has said
    return Unannounced(Cause.NO_ROUTER_TOLD, untold(address, said), {"address": address})


def _said(seen: Situation, address: str) -> tuple[Saying, ...]:
    """What the nodes of the group have said of an address, those that have."""
    return tuple(
        Saying(
            node=node,
            carried=said.word.carried,
            announced=said.word.announced,
            is_heard=_is_heard(seen, node),
            draining=node in seen.present and seen.present[node].word.draining,
            to=said.word.to,
            since=said.word.since,
            at=said.at,
            reached=said.word.reached if _is_of_this_life(seen, node, said.word) else None,
        )
        for node in (seen.group.spec.nodes if seen.group else ())
        if (said := seen.carried.get(node, {}).get(address)) is not None
    )


def _is_heard(seen: Situation, node: str) -> bool:
    """Whether a node's lease may stand."""
    presence = seen.present.get(node)
    return presence is not None and seen.now - presence.at <= presence.word.lease_ms / 1000 + SKEW_SECONDS


def _is_of_this_life(seen: Situation, node: str, word: VipCarried) -> bool:
    """What an earlier life of a node found, this one may never look at again."""
    presence = seen.present.get(node)
    return presence is not None and presence.word.run == word.run


def _lines_of_callers(address: str, owner: Saying, said: Sequence[Saying]) -> dict[str, str]:
    """A line for each node that has called the address at who announces it."""
    return {f"called {address} from {node}": _line_of_call(address, found) for node, found in callers(said, owner)}


def _line_of_call(address: str, found: VipReached) -> str:
    over = f" over {found.over}" if found.over else ""
    took = f" in {found.micros / 1000:.1f} ms" if found.ports and found.micros else ""
    parts = []
    if found.ports:
        parts.append(f"reaches port {', '.join(map(str, found.ports))} of {address}{over}{took}")
    if found.lost:
        parts.append(f"does not reach port {', '.join(map(str, found.lost))} of {address}{over}")
    return f"{' and '.join(parts)}, at {found.node}"


def _line(address: str, said: Saying) -> str:
    to = ", ".join(said.to)[:_SHOWN]
    where = f" on {to}" if to else ""
    when = f" since {spelled(said.since / 1e6)}" if said.since else ""
    way = ", and gives way as soon as another node carries it" if said.draining else ""
    return f"{said.node} answers for {address}{where}{when}{way}"


def _line_of_routers(address: str, tellers: Sequence[Telling]) -> str:
    peers = sorted({peer for each in tellers for peer in each.peers})
    nodes = ", ".join(each.node for each in tellers)
    return f"{nodes} {'tells' if len(tellers) == 1 else 'tell'} {', '.join(peers)[:_SHOWN]} of {address} by BGP"


def _lack(seen: Situation, address: str) -> Unannounced:
    said = _said(seen, address)
    carriers = [each for each in said if each.carried]
    heard = [each for each in carriers if each.is_heard]
    names, why = [each.node for each in heard], cause(said)
    if why is Cause.LEASE_NOT_RENEWED:
        return _without_lease(seen, address, [each.node for each in carriers])
    if _is_passing(seen, address):
        text = f"who answers for {address} is being settled among the nodes"
        return Unannounced("TakingOver", text, {"address": address, "carried by": ", ".join(names) or "nobody yet"})
    if why is Cause.NOT_CARRIED:
        return _not_carried(seen, address)
    if why is Cause.NODES_GIVE_WAY:
        return _giving_way(seen, address, names)
    read = {node: seen.present[node].word.read for node in seen.present if _is_heard(seen, node)}
    given = {"address": address, "have read": ", ".join(f"{node} up to {at}" for node, at in read.items())}
    return Unannounced(why, told(address, why, names), given, spelled(max(each.at for each in heard)))


def _without_lease(seen: Situation, address: str, carriers: list[str]) -> Unannounced:
    """Every node that carries an address has been silent for longer than its lease."""
    last = [presence.at for node in carriers if (presence := seen.present.get(node)) is not None]
    ago = f"last heard {seen.now - max(last):.0f} s ago" if last else "whose presence nobody has heard"
    why = Cause.LEASE_NOT_RENEWED
    text = told(address, why, carriers, last_heard=ago)
    return Unannounced(why, text, {"address": address}, spelled(max(last)) if last else "")


def _is_passing(seen: Situation, address: str) -> bool:
    """Whether something has just changed: a node programmed it, took it up or let go of it."""
    moments = [said.at for said in _said(seen, address)]
    moments += [said.at for _, key, said in seen.words() if said is not None and key.address == address]
    return seen.now - max(moments, default=0.0) < PASSING_SECONDS


def _not_carried(seen: Situation, address: str) -> Unannounced:
    group, said = seen.group, {each.node for each in _said(seen, address)}
    nodes = group.spec.nodes if group else ()
    silent = [node for node in nodes if node not in said and node not in seen.present]
    names = [node for node in nodes if node not in silent]
    given = {"address": address, "say nothing": ", ".join(silent), "do not carry it": ", ".join(names)}
    why, engine = Cause.NOT_CARRIED, group.spec.engine if group else EngineName.IPVS
    return Unannounced(why, told(address, why, (), engine=engine), {name: text for name, text in given.items() if text})


def _giving_way(seen: Situation, address: str, heard: list[str]) -> Unannounced:
    drained, way = seen.group.spec.draining if seen.group else (), Cause.NODES_GIVE_WAY
    why = {node: "is to be emptied" if node in drained else "has an interface that is down" for node in heard}
    return Unannounced(way, told(address, way, heard), {"address": address, **why})
