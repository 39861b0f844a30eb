"""The text of BIRD's configuration, which BIRD 2 and 3 read the same: sessions in one file and routes in another, so
that a VIP that comes or goes touches no session. Pure and deterministic.

Routes stand in tables of our own: no other protocol of the node's BIRD sees them, none puts them into the kernel, and
nothing that routers say comes in. Nothing gets into the text that was not parsed before, so no string breaks out of it.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetlb.domain.addresses import Family, family_of, parse_address, parse_network
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes
from fleetlb.domain.routing_rules import parse_community

PREFIX = "fleetlb_"
"""All that is defined here is named like this."""
GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326: prefer any other way, this one is about to end."""
ROUTES_FILE = "fleetlb-routes.inc"
"""Included by the sessions' file, beside which it stands."""
SESSIONS_FILE = "fleetlb.conf"
MAX_RECEIVED = 1000
"""Routes of a router beyond this are not even looked at; none is ever taken."""

_HEAD = "# Written by fleetlb, which undoes what others change here."
_AUDIENCE = f"{PREFIX}audience"
_LEAVING = (
    f"import filter {{ bgp_community.add(({GRACEFUL_SHUTDOWN.replace(':', ', ')})); bgp_local_pref = 0; accept; }};"
)
_CHANNELS = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}
_PEER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_PASSWORD = re.compile(r"[ !#-~]{1,80}")
_MAX_ERROR_WAIT = 60
_ROUTE = re.compile(r"  route ([0-9a-f:.]+/[0-9]+) blackhole(?: \{[ a-z0-9_.,()=;-]*\})?;")


class Route(NamedTuple):
    """What is announced for a VIP."""

    network: str
    """A CIDR."""
    attributes: RouteAttributes = RouteAttributes()
    """What they leave open is as the group's."""


class Line(NamedTuple):
    """A route as it stands in the file, in order of families and addresses."""

    family: Family
    first: int
    length: int
    text: str


class Leftover(NamedTuple):
    """What a file of routes says."""

    lines: dict[str, Line]
    """By network."""
    is_leaving: bool = False


def host_route(address: str) -> Route:
    """A route of a VIP's own. Raises ValueError."""
    return Route(str(ipaddress.ip_network(parse_address(address))))


def static_of(family: Family) -> str:
    """The name of the protocol that holds a family's routes."""
    return f"{PREFIX}static_{_CHANNELS[family]}"


def table_of(family: Family) -> str:
    """The name of the table that holds them."""
    return PREFIX + _CHANNELS[family]


def session_of(peer: str) -> str:
    """The name of a peer's protocol. Raises ValueError."""
    if not _PEER_NAME.fullmatch(peer):
        raise ValueError(f"{peer[:64]!r} is no name of a peer: write at most 40 of a-z, 0-9 and -")
    return f"{PREFIX}to_{peer.replace('-', '_')}"


def sessions_text(speaking: BgpSpeaking, node: str, router_id: str, passwords: Mapping[str, str]) -> str:
    """The file of a node's sessions. A peer with a password that is not among `passwords`, by peer, is left out.

    Raises ValueError for what no configuration can hold.
    """
    peers = [peer for peer in speaking.peers_of(node) if not peer.password_file or peer.name in passwords]
    blocks = [_HEAD, *(f"{_CHANNELS[family]} table {table_of(family)};" for family in Family)]
    blocks += [f"attribute lclist {_AUDIENCE};", f'include "{ROUTES_FILE}";']
    if any(peer.bfd for peer in peers):
        blocks.append(f"protocol bfd {PREFIX}bfd {{\n}}")
    for peer in peers:
        blocks += [_filter(peer), _session(speaking, peer, router_id, passwords)]
    return "\n".join(blocks) + "\n"


def routes_text(lines: Iterable[Line], *, is_leaving: bool = False) -> str:
    """The file of a node's routes. `is_leaving`: routers are asked to prefer other nodes for all of them."""
    ordered, parts = sorted(lines), [_HEAD]
    for family in Family:
        rest = f" {_LEAVING}" if is_leaving else ""
        parts.append(f"protocol static {static_of(family)} {{")
        parts.append(f"  {_CHANNELS[family]} {{ table {table_of(family)};{rest} }};")
        parts += [line.text for line in ordered if line.family is family]
        parts.append("}")
    return "\n".join(parts) + "\n"


def parse_routes(text: str) -> Leftover:
    """Read a file of routes back; what was not written by `routes_text` is left out."""
    lines = {}
    for row in text.split("\n"):
        if match := _ROUTE.fullmatch(row):
            try:
                lines[match[1]] = _line(match[1], row)
            except ValueError:
                continue
    return Leftover(lines, _LEAVING in text)


def line_of(route: Route, default: RouteAttributes) -> Line:
    """A route as it stands in the file. Raises ValueError."""
    network = str(parse_network(route.network))
    attributes = route.attributes.over(default)
    communities = sorted({parse_community(text) for text in attributes.communities}, key=lambda c: (len(c), c))
    statements = [f"{_ATTRIBUTE[len(each)]}.add({_tuple(each)});" for each in communities]
    if attributes.local_preference is not None:
        statements.append(f"bgp_local_pref = {int(attributes.local_preference)};")
    if attributes.peers:
        audience = "---empty---"
        for name in sorted(set(attributes.peers)):
            audience = f"add({audience}, {_tuple(_mark(name))})"
        statements.append(f"{_AUDIENCE} = {audience};")
    rest = f" {{ {' '.join(statements)} }}" if statements else ""
    return _line(network, f"  route {network} blackhole{rest};")


def check_password(text: str) -> str:
    """A password that a configuration can hold. Raises ValueError."""
    if not _PASSWORD.fullmatch(text):
        raise ValueError('a password of a session has 1 to 80 printable ASCII characters, and no "')
    return text


_ATTRIBUTE = {2: "bgp_community", 3: "bgp_large_community"}


def _line(network: str, text: str) -> Line:
    parsed = parse_network(network)
    return Line(family_of(network), int(parsed.network_address), parsed.prefixlen, text)


def _tuple(numbers: Iterable[int]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _mark(peer: str) -> tuple[int, ...]:
    """Stands for a peer in a route; a number by order would change with its neighbours, and with it their filters."""
    digest = hashlib.sha256(session_of(peer).encode()).digest()
    return tuple(int.from_bytes(digest[at : at + 4], "big") for at in (0, 4, 8))


def _filter(peer: BgpPeer) -> str:
    ours = " && ".join(f'proto != "{static_of(family)}"' for family in Family)
    return "\n".join(
        (
            f"filter {session_of(peer.name)}_out {{",
            f"  if {ours} then reject;",
            f"  if defined({_AUDIENCE}) then {{ if !({_tuple(_mark(peer.name))} ~ {_AUDIENCE}) then reject; }}",
            "  accept;",
            "}",
        )
    )


def _session(speaking: BgpSpeaking, peer: BgpPeer, router_id: str, passwords: Mapping[str, str]) -> str:
    retry, source = (
        int(peer.connect_retry_seconds),
        f"{parse_address(peer.source_address)} " if peer.source_address else "",
    )
    grace = int(speaking.graceful_restart_seconds)
    lines = [
        f"protocol bgp {session_of(peer.name)} {{",
        f"  router id {ipaddress.IPv4Address(router_id)};",
        f"  local {source}as {int(speaking.asn)};",
        f"  neighbor {parse_address(peer.address)} port {int(peer.port)} as {int(peer.asn)};",
        f"  multihop {int(peer.multihop)};" if peer.multihop else "  direct;",
        f"  ttl security {_switch(peer.ttl_security)};",
        f"  hold time {int(peer.hold_seconds)};",
        f"  keepalive time {max(1, int(peer.hold_seconds) // 3)};",
        f"  connect delay time {min(retry, 5)};",
        f"  connect retry time {retry};",
        f"  error wait time {retry}, {max(retry, _MAX_ERROR_WAIT)};",
        f"  graceful restart {_switch(grace)};",
        *([f"  graceful restart time {grace};"] if grace else []),
        f"  bfd {_switch(peer.bfd)};",
        *([f'  password "{check_password(passwords[peer.name])}";'] if peer.password_file else []),
        *(_channel(peer, family) for family in peer.told_families),
        "}",
    ]
    return "\n".join(lines)


def _channel(peer: BgpPeer, family: Family) -> str:
    over_another = family is not family_of(str(parse_address(peer.address)))
    options = [
        f"table {table_of(family)};",
        "import none;",
        f"receive limit {MAX_RECEIVED} action block;",
        f"export filter {session_of(peer.name)}_out;",
        *([f"export limit {int(peer.max_routes)} action block;"] if peer.max_routes else []),
        "next hop self;",
        *(["extended next hop on;"] if over_another else []),
    ]
    return f"  {_CHANNELS[family]} {{ {' '.join(options)} }};"


def _switch(is_on: object) -> str:
    return "on" if is_on else "off"
