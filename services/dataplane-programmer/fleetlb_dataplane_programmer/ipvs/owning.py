"""Which entries of the kernel's table are ours: those whose VIP lies in a pool that this node serves. Pure.

Others may use IPVS on the same node (kube-proxy does): of their entries nothing but the key is looked at.
"""

import ipaddress
from collections.abc import Container, Iterable

from fleetlb.domain.addresses import IPNetwork
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


def prefix_of(server: VirtualServer) -> IPNetwork:
    """The network that is routed for a virtual server: its pool's, or its address alone."""
    if server.prefix:
        network = ipaddress.ip_network(server.prefix)
        if ipaddress.ip_address(server.key.address) in network:
            return network
    return ipaddress.ip_network(server.key.address)


def strangers_among(
    held: Iterable[VirtualServerKey | None], servers: Iterable[VirtualServer], known: Container[VirtualServerKey]
) -> list[VirtualServerKey]:
    """Of what the kernel holds, what lies in the pools of `servers` and is not `known`."""
    networks = _by_length(prefix_of(server) for server in servers)
    return sorted(key for key in held if key is not None and key not in known and _is_inside(key.address, networks))


def _by_length(networks: Iterable[IPNetwork]) -> dict[tuple[int, int], set[int]]:
    """(version, prefix length) to the numbers of the networks: a look-up costs one step for each length in use."""
    table: dict[tuple[int, int], set[int]] = {}
    for network in networks:
        table.setdefault((network.version, network.prefixlen), set()).add(int(network.network_address))
    return table


def _is_inside(address: str, table: dict[tuple[int, int], set[int]]) -> bool:
    parsed = ipaddress.ip_address(address)
    number = int(parsed)
    for (version, length), numbers in table.items():
        shift = parsed.max_prefixlen - length
        if version == parsed.version and number >> shift << shift in numbers:
            return True
    return False
