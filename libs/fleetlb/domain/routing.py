"""What a balancer group tells routers by BGP (RFC 4271): peers, and what its routes carry. Values of the API as they
are; whether they make sense is `routing_rules`' affair. Must not know which daemon speaks.
"""

import enum
import hashlib
import ipaddress
from collections.abc import Iterable
from typing import Annotated

import msgspec

from fleetlb.domain.addresses import Family, family_of

MAX_PEERS = 32
MAX_COMMUNITIES = 32
MAX_POOLS = 256
"""Of a group, with attributes of their own: its nodes are told of all of them in one message."""
MAX_ASN = 2**32 - 2
"""The last one is reserved (RFC 7300)."""

PeerName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
"""A label of at most 40 characters."""
AddressText = Annotated[str, msgspec.Meta(max_length=45)]
Asn = Annotated[int, msgspec.Meta(ge=1, le=MAX_ASN)]
"""Of 16 or 32 bits (RFC 6793)."""
NodeName = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class BgpPeer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A router that some or all nodes of a group have a session with."""

    name: PeerName
    address: AddressText
    asn: Asn
    """The router's; one other than the group's makes the session an external one."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 179
    password_file: Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$")] = ""
    """Name of a file on each node that holds the password of the session (TCP MD5, RFC 2385); empty: none."""
    hold_seconds: Annotated[int, msgspec.Meta(ge=3, le=65535)] = 90
    """Silence after which a session is given up; a third of it lies between two signs of life."""
    connect_retry_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    """Between two tries to open a session."""
    bfd: bool = False
    """Have BFD (RFC 5880) notice a dead path, within a second."""
    multihop: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    """Hops to a router that is not on a link of the node; 0: it is on one."""
    ttl_security: bool = False
    """Take packets only from a router that is no further away than that (GTSM, RFC 5082); it must do so too."""
    source_address: AddressText = ""
    """The node's end of the session; empty: as the node's routes choose. Only for a peer of one node."""
    families: Annotated[tuple[Family, ...], msgspec.Meta(max_length=2)] = ()
    """Of which routes are told; empty: that of the session. IPv4 over IPv6 needs a router that knows RFC 8950."""
    max_routes: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """No more routes are told than this, so that the router's own limit never ends the session; 0: all are."""
    nodes: Annotated[tuple[NodeName, ...], msgspec.Meta(max_length=64)] = ()
    """Nodes of the group that have this peer; empty: all of them."""

    @property
    def told_families(self) -> tuple[Family, ...]:
        """Families of the routes that are told, in order."""
        return tuple(sorted(set(self.families))) or (family_of(self.address),)


class RouteAttributes(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a route carries besides its destination, and who hears of it."""

    communities: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=MAX_COMMUNITIES)
    ] = ()
    """`65000:100` (RFC 1997) or large ones, `4200000000:1:2` (RFC 8092)."""
    local_preference: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | None = None
    """For peers of the group's own ASN; others are never told."""
    peers: Annotated[tuple[PeerName, ...], msgspec.Meta(max_length=MAX_PEERS)] = ()
    """Names of the peers that are told; empty: all of them."""

    def over(self, default: "RouteAttributes") -> "RouteAttributes":
        """These, and of the default what they leave open."""
        preference = default.local_preference if self.local_preference is None else self.local_preference
        return RouteAttributes(
            communities=self.communities or default.communities,
            local_preference=preference,
            peers=self.peers or default.peers,
        )


class PoolAttributes(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the routes of one pool carry, and who hears of them, before what its group says of all."""

    pool: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    attributes: RouteAttributes = RouteAttributes()


class RouterSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the session of a node with a router is, as its daemon says."""

    peer: PeerName
    up: bool = False
    """Whether it is told anything."""
    routes: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """That it is told."""
    problem: Annotated[str, msgspec.Meta(max_length=256)] = ""
    """Why it is not up, in the daemon's words."""


def peers_up(sessions: Iterable[RouterSession]) -> frozenset[str]:
    """Names of the routers that are told anything."""
    return frozenset(each.peer for each in sessions if each.up)


class RouterIdPolicy(enum.StrEnum):
    """What identifies a node among routers: 32 bits, different on each."""

    NODE_ADDRESS = "NodeAddress"
    """Its IPv4 address, or if it has none the next."""
    NODE_NAME = "NodeName"
    """Digits made of its name."""


class Aggregation(enum.StrEnum):
    """What is announced for a VIP."""

    HOST = "Host"
    """A route of its own."""
    POOL = "Pool"
    """The network of its pool, as long as the node carries any VIP of it: only where all nodes carry all of them."""


class BgpSpeaking(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a group announces its VIPs by BGP."""

    asn: Asn
    """The group's own."""
    peers: Annotated[tuple[BgpPeer, ...], msgspec.Meta(min_length=1, max_length=MAX_PEERS)]
    router_id: RouterIdPolicy = RouterIdPolicy.NODE_ADDRESS
    graceful_restart_seconds: Annotated[int, msgspec.Meta(ge=0, le=4095)] = 0
    """How long routers keep the routes while a node's daemon starts anew (RFC 4724); 0: they withdraw them at once."""
    attributes: RouteAttributes = RouteAttributes()
    """Of routes that have none of their own."""
    aggregate: Aggregation = Aggregation.HOST

    def peers_of(self, node: str) -> tuple[BgpPeer, ...]:
        """The peers that a node has a session with, by name."""
        mine = (peer for peer in self.peers if not peer.nodes or node in peer.nodes)
        return tuple(sorted(mine, key=lambda peer: peer.name))


def router_id_of(policy: RouterIdPolicy, node: str, addresses: Iterable[str]) -> str:
    """A node's router id, spelled as an IPv4 address. `addresses`: the node's own, the most important first."""
    if policy is RouterIdPolicy.NODE_ADDRESS:
        for address in addresses:
            parsed = ipaddress.ip_address(address)
            if parsed.version == 4 and not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast):
                return address
    digest = hashlib.sha256(node.encode()).digest()
    return str(ipaddress.IPv4Address(int.from_bytes(digest[:4], "big") or 1))
