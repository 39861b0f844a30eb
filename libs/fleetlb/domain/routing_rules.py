"""What is wrong with what a group is to say by BGP: all of it, each as a sentence that names the field and the cure."""

import itertools
from collections.abc import Collection, Iterator

from fleetlb.domain.addresses import Family, IPAddress, family_of, parse_address
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes

_RESERVED = frozenset({0, 23456, 65535})
"""RFC 7607, RFC 6793, RFC 7300; the limits of the field keep out the last one of 32 bits."""


def problems_of(speaking: BgpSpeaking, nodes: Collection[str] = ()) -> list[str]:
    """Everything that is wrong; empty if nothing is. `nodes`: those of the group; empty: not known."""
    found = [*_of_asn("asn", speaking.asn)]
    for peer in speaking.peers:
        found += _of_peer(peer, speaking, nodes)
    found += _of_pairs(speaking.peers)
    return found + problems_of_attributes("attributes", speaking.attributes, speaking)


def problems_of_attributes(field: str, attributes: RouteAttributes, speaking: BgpSpeaking) -> list[str]:
    """What is wrong with the attributes of routes of a group that speaks like this. `field`: where they stand."""
    found = []
    for text in attributes.communities:
        try:
            parse_community(text)
        except ValueError as problem:
            found.append(f"{field}.communities: {problem}")
    known = {peer.name for peer in speaking.peers}
    names = ", ".join(sorted(known))
    unknown = [name for name in attributes.peers if name not in known]
    found += [f"{field}.peers: there is no peer {name!r}; name one of {names}" for name in unknown]
    if attributes.local_preference is not None and all(peer.asn != speaking.asn for peer in speaking.peers):
        found.append(
            f"{field}.localPreference is told to peers of ASN {speaking.asn} alone, and there is none:"
            " leave it out, and have the routers prefer by a community"
        )
    return found


def peers_told(own: RouteAttributes | None, speaking: BgpSpeaking) -> frozenset[str]:
    """Names of the peers that hear of a pool with these attributes; empty: all of the group's do.

    Attributes that name another are not followed: what stands in their place is not known here, and nobody left out.
    """
    wanted = frozenset((own or RouteAttributes()).over(speaking.attributes).peers)
    return wanted if wanted <= {peer.name for peer in speaking.peers} else frozenset()


def parse_community(text: str) -> tuple[int, ...]:
    """The two or three numbers of a community. Raises ValueError with a sentence that names the text."""
    parts = text.split(":")
    limit = {2: 2**16, 3: 2**32}.get(len(parts), 0)
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 and int(part) < limit for part in parts):
        raise ValueError(
            f"{text[:40]!r} is no community; write A:B with numbers to 65535, or a large one, A:B:C with numbers"
            " to 4294967295"
        )
    return tuple(map(int, parts))


def _of_asn(field: str, asn: int) -> Iterator[str]:
    if asn in _RESERVED:
        yield f"{field}: {asn} is reserved and nobody's; give the number that the network's operator assigned"


def _of_peer(peer: BgpPeer, speaking: BgpSpeaking, nodes: Collection[str]) -> list[str]:
    field = f"peers[{peer.name}]"
    found = [*_of_asn(f"{field}.asn", peer.asn), *_of_addresses(field, peer), *_of_families(field, peer)]
    if speaking.graceful_restart_seconds > peer.hold_seconds:
        found.append(
            f"gracefulRestartSeconds: {speaking.graceful_restart_seconds} is longer than {field}.holdSeconds,"
            f" {peer.hold_seconds}: a dead node's routes would outlive its session by that; make it no longer"
        )
    return [*found, *_of_nodes(field, peer, nodes)]


def _of_nodes(field: str, peer: BgpPeer, nodes: Collection[str]) -> Iterator[str]:
    for node in peer.nodes:
        if nodes and node not in nodes:
            yield f"{field}.nodes: {node!r} is no node of the group; name one of {', '.join(sorted(nodes))}"


def _of_addresses(field: str, peer: BgpPeer) -> Iterator[str]:
    try:
        parsed = parse_address(peer.address)
    except ValueError as problem:
        yield f"{field}.address: {problem}; give the router's address on the node's link"
        return
    yield from _of_meaning(f"{field}.address", parsed)
    if not peer.source_address:
        return
    try:
        source = parse_address(peer.source_address)
    except ValueError as problem:
        yield f"{field}.sourceAddress: {problem}; give one of the node, or leave it out"
        return
    yield from _of_meaning(f"{field}.sourceAddress", source)
    if source.version != parsed.version:
        yield f"{field}.sourceAddress: {source} is of another family than {parsed}; give one of the same"
    if len(peer.nodes) != 1:
        yield f"{field}.sourceAddress is an address of one node; name that node in {field}.nodes, or leave it out"


def _of_meaning(field: str, address: IPAddress) -> Iterator[str]:
    if address.is_multicast or address.is_unspecified:
        yield f"{field}: {address} is nobody's address; give the one that the session has at that end"
    elif address.version == 6 and address.is_link_local:
        yield f"{field}: {address} is of one link, and which is not known; give an address that holds everywhere"


def _of_families(field: str, peer: BgpPeer) -> Iterator[str]:
    if len(set(peer.families)) != len(peer.families):
        yield f"{field}.families names one twice; name each once"
    if Family.IPV6 in peer.families and family_of(peer.address) is Family.IPV4:
        yield (
            f"{field}.families: IPv6 routes need a next hop of IPv6, which a session to {peer.address} has not;"
            " add a peer with an IPv6 address of the router for them"
        )


def _of_pairs(peers: Collection[BgpPeer]) -> Iterator[str]:
    for one, other in itertools.combinations(peers, 2):
        if one.name == other.name:
            yield f"peers: two are named {one.name!r}; give each a name of its own"
        elif _spelled(one.address) == _spelled(other.address) and _share_a_node(one, other):
            yield (
                f"peers[{one.name}].address and peers[{other.name}].address are both {one.address}: a router has one"
                " session with a node; remove one, or name different nodes in them"
            )


def _spelled(address: str) -> str:
    try:
        return str(parse_address(address))
    except ValueError:
        return address


def _share_a_node(one: BgpPeer, other: BgpPeer) -> bool:
    return not one.nodes or not other.nodes or not set(one.nodes).isdisjoint(other.nodes)
