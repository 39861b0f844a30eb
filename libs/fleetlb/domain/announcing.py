"""Which balancer node announces an address, and why none does, from what the nodes say. Pure.

One truth for `LoadBalancer.status`, the condition Serving and `fleetlb why`. How long a node's word holds is decided by
whoever reads it, by a clock of its own (ADR 15).
"""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from fleetlb.domain.routing import RouterSession

PASSING_SECONDS = 5.0
"""So long who announces an address may be changing, as when a node dies: nothing is concluded from it before."""


_SHOWN = 80
"""Characters of why a session is down."""


MAX_PORTS = 16
"""Of one address that are called."""

Ports = Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=65535)], ...], msgspec.Meta(max_length=MAX_PORTS)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class VipReached(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What a balancer node found that called an address which another announces, as a client on the link does."""

    node: str
    """Who announced it."""
    term: Count = 0
    """Since when that node announces it, by its own word: what was found says nothing of another time."""
    ports: Ports = ()
    """TCP ports that answered."""
    lost: Ports = ()
    """Those that did not, several times in a row, while others did."""
    over: Annotated[str, msgspec.Meta(max_length=15)] = ""
    """The interface."""
    since: Count = 0
    """When it was found, in microseconds since 1970."""
    micros: Count = 0
    """How long the last answer took that it was found by."""


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """What a balancer node last said of one address, and of itself."""

    node: str
    carried: bool
    announced: bool = False
    is_heard: bool = True
    """Whether the lease by which it answers may stand."""
    draining: bool = False
    """It gives way to every other node."""
    to: tuple[str, ...] = ()
    """The interfaces that are told."""
    since: int = 0
    """Microseconds since 1970; 0: not known."""
    at: float = 0.0
    """When it said so, in seconds of the reader's clock."""
    reached: VipReached | None = None
    """What it found that called another node which announces the address."""


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """Which routers a balancer node tells of every VIP that it carries."""

    node: str
    peers: tuple[str, ...] = ()
    """Whose sessions are up."""
    problems: tuple[tuple[str, str], ...] = ()
    """Of the others: whose, and why they are down."""
    draining: bool = False
    """It withdraws what another node tells too."""


class Cause(enum.StrEnum):
    """Why no node announces an address that one should."""

    NOT_CARRIED = "NotCarried"
    LEASE_NOT_RENEWED = "LeaseNotRenewed"
    NODES_GIVE_WAY = "NodesGiveWay"
    NOT_ANNOUNCED = "NotAnnounced"
    BGP_NOT_ANNOUNCED = "BgpNotAnnounced"
    NO_ROUTER_TOLD = "NoRouterTold"


ANNOUNCING_CURES: Mapping[str, str] = {
    Cause.BGP_NOT_ANNOUNCED: "set spec.bgp of the BalancerGroup to its routers, or let the pool be announced otherwise",
    Cause.NO_ROUTER_TOLD: "kubectl describe balancergroup shows each session and why it is down; check the peers'"
    " address, asn and passwordFile, and that the nodes' BIRDs run",
    Cause.NOT_CARRIED: "set FLEETLB_LAYER2_INTERFACES on nodes that say nothing; their logs say what else they lack",
    Cause.LEASE_NOT_RENEWED: "check that these nodes reach NATS and that their dataplane-programmers run",
    Cause.NODES_GIVE_WAY: "fleetlb node undrain; for one that nobody drains, see that its interface is up",
    Cause.NOT_ANNOUNCED: "look at the dataplane-programmers' logs on these nodes; restart the one that has read the"
    " least",
}


def announcer(said: Iterable[Saying]) -> Saying | None:
    """Who announces the address. Of several who said so last: a node that died cannot say that it ends."""
    found = [each for each in said if each.carried and each.announced and each.is_heard]
    return max(found, key=lambda each: (each.at, each.node), default=None)


def telling_of(node: str, sessions: Iterable[RouterSession], *, draining: bool) -> Telling:
    """What a node says of its sessions, in short."""
    known = tuple(sessions)
    return Telling(
        node=node,
        peers=tuple(each.peer for each in known if each.up),
        problems=tuple((each.peer, each.problem[:_SHOWN]) for each in known if not each.up),
        draining=draining,
    )


def among(said: Telling, peers: Collection[str]) -> Telling:
    """What a node tells these routers; without any, all of them."""
    if not peers:
        return said
    return msgspec.structs.replace(
        said,
        peers=tuple(peer for peer in said.peers if peer in peers),
        problems=tuple((peer, why) for peer, why in said.problems if peer in peers),
    )


def telling(said: Iterable[Telling]) -> tuple[Telling, ...]:
    """The nodes that tell a router: those that are to be emptied only where no other does."""
    found = [each for each in said if each.peers]
    return tuple([each for each in found if not each.draining] or found)


def untold(address: str, said: Iterable[Telling]) -> str:
    """In words that no router is told."""
    down = [(each.node, ", ".join(f"{peer} ({why})" for peer, why in each.problems)) for each in said]
    problems = [f"{node}: {text or 'it says of no session'}" for node, text in down]
    return f"no node tells a router where {address} is: {'; '.join(problems[:3]) or 'no node has said anything'}"


def cause(said: Iterable[Saying]) -> Cause:
    """Why nobody announces it on layer 2."""
    carriers = [each for each in said if each.carried]
    heard = [each for each in carriers if each.is_heard]
    if not carriers:
        return Cause.NOT_CARRIED
    if not heard:
        return Cause.LEASE_NOT_RENEWED
    return Cause.NODES_GIVE_WAY if all(each.draining for each in heard) else Cause.NOT_ANNOUNCED


def told(address: str, why: Cause, nodes: Sequence[str], *, engine: str = "ipvs", last_heard: str = "") -> str:
    """A cause in words. `nodes`: that carry it, and are heard if any of them is; `last_heard`: when those were that are
    silent, in words."""
    names = ", ".join(nodes)
    match why:
        case Cause.NOT_CARRIED:
            text = f"no node says that it carries {address}"
            return text if engine == "ipvs" else f"{text}: nodes with engine {engine} announce nothing"
        case Cause.LEASE_NOT_RENEWED:
            ago = f", {last_heard}" if last_heard else ""
            return f"{address} is carried by {names}{ago}: a node that cannot renew its lease does not answer"
        case Cause.NODES_GIVE_WAY:
            return f"every node that carries {address} gives way to others, and no other carries it"
        case Cause.BGP_NOT_ANNOUNCED:
            return f"the group has no spec.bgp: its nodes tell no router where {address} is"
    return f"{address} is carried by {names}, and no node answers for it"
