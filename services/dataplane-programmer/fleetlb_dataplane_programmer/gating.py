"""What this node refuses to serve, whoever asks for it: the last of three gates (watcher, manager, node).

The manager knows which networks a tenant owns; the node does not, so it checks what is never right: addresses with a
meaning of their own, and numbers out of range. Pure; it must not know messages.
"""

from fleetlb.domain.addresses import IPAddress, parse_address, parse_network
from fleetlb.domain.virtual_servers import RealServer, VirtualServer

MAX_REAL_SERVERS = 5000
MAX_WEIGHT = 65_535
# Cloud metadata services that are not link-local.
_METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16"})
# "This network", and IPv6 addresses that carry an IPv4 address which nobody would check: 6to4, Teredo.
_NEVER = tuple(parse_network(text) for text in ("0.0.0.0/8", "2002::/16", "2001::/32"))


def objection_to(server: VirtualServer, *, allow_loopback: bool) -> str:
    """Why this node will not serve it, or "". Every real server must pass: there is no half-served virtual server."""
    key = server.key
    problem = _address_problem(key.address, allow_loopback) or _port_problem(key.port)
    if problem:
        return f"the node refuses the address {key}: {problem}"
    if len(server.real_servers) > MAX_REAL_SERVERS:
        return f"the node takes at most {MAX_REAL_SERVERS} real servers, not {len(server.real_servers)}"
    if server.health_check_port and _port_problem(server.health_check_port):
        return f"the node refuses the health check port {server.health_check_port}: it is not between 1 and 65535"
    for real_server in server.real_servers:
        problem = _real_server_problem(real_server, allow_loopback)
        if problem:
            return f"the node refuses the real server {real_server.address[:64]} port {real_server.port}: {problem}"
    return ""


def _real_server_problem(real_server: RealServer, allow_loopback: bool) -> str:
    if not 0 <= real_server.weight <= MAX_WEIGHT:
        return f"its weight {real_server.weight} is not between 0 and {MAX_WEIGHT}"
    return _address_problem(real_server.address, allow_loopback) or _port_problem(real_server.port)


def _port_problem(port: int) -> str:
    return "" if 1 <= port <= 65_535 else "its port is not between 1 and 65535"


def _address_problem(text: str, allow_loopback: bool) -> str:
    try:
        address = parse_address(text)
    except ValueError as problem:
        return str(problem)
    if str(address) in _METADATA:
        return "it is a cloud's metadata service"
    return _special_meaning(address, allow_loopback)


def _special_meaning(address: IPAddress, allow_loopback: bool) -> str:
    if address.is_unspecified:
        return "it is the unspecified address"
    if address.is_loopback:
        return "" if allow_loopback else "it is a loopback address (FLEETLB_ALLOW_LOOPBACK_BACKENDS is off)"
    if address.is_link_local:
        return "it is a link-local address"
    if address.is_multicast:
        return "it is a multicast address"
    is_never = any(address.version == network.version and address in network for network in _NEVER)
    return "it is a reserved address" if address.is_reserved or is_never else ""
