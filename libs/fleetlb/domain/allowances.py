"""What one tenant may have on one balancer group, and what in a virtual server goes beyond it. Pure; knows no object.

The manager decides what is served; a balancer node holds whatever it is asked for against this, so that one forged or
mistaken wish leads nobody into somebody else's networks (T2, T3).
"""

import ipaddress
from collections.abc import Iterable
from typing import Annotated

import msgspec

from fleetlb.domain.address_pools import Interval, lies_in, number_of, parse_intervals
from fleetlb.domain.addresses import parse_network
from fleetlb.domain.tenancy import parse_port_range
from fleetlb.domain.virtual_servers import RealServer, VirtualServer

Networks = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=16384)]


class Allowance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One tenant's share of one balancer group."""

    node_cidrs: Networks = msgspec.field(name="nodeCIDRs", default=())
    """Where its nodes are."""
    pod_cidrs: Networks = msgspec.field(name="podCIDRs", default=())
    """Where its pods may be reached directly, at any port."""
    node_port_range: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,5}-[0-9]{1,5}$")] = "30000-32767"
    """At which ports its nodes may be reached."""
    more_node_ports: Annotated[tuple[int, ...], msgspec.Meta(max_length=65535)] = ()
    """Others that it was granted before its range was narrowed, and that are served on."""
    prefixes: Networks = ()
    """Where its VIPs are: the pools of the group that it may use, and what it holds outside of them."""


class Bounds(msgspec.Struct, frozen=True):
    """An allowance, parsed: each set is sorted and lies apart."""

    nodes: tuple[Interval, ...]
    pods: tuple[Interval, ...]
    vips: tuple[Interval, ...]
    node_ports: range
    more_node_ports: frozenset[int]
    node_port_range: str

    def has_node_port(self, port: int) -> bool:
        """Whether the tenant's nodes may be reached at a port."""
        return port in self.node_ports or port in self.more_node_ports


def bounds_of(allowance: Allowance) -> Bounds:
    """Parse an allowance. Raises ValueError with a sentence that names the text."""
    return Bounds(
        nodes=_intervals(allowance.node_cidrs),
        pods=_intervals(allowance.pod_cidrs),
        vips=_intervals(allowance.prefixes),
        node_ports=parse_port_range(allowance.node_port_range),
        more_node_ports=frozenset(allowance.more_node_ports),
        node_port_range=allowance.node_port_range,
    )


def objection_to(bounds: Bounds, server: VirtualServer) -> str:
    """What of a virtual server its tenant may not have, where that is granted, and the cure; "" if all is well.

    Every address in it must be one that `parse_address` reads. O(n log m) for n real servers and m networks.
    """
    if not _lies_in(bounds.vips, server.key.address):
        return (
            f"the node refuses the address {server.key}: no AddressPool of this balancer group that its tenant may use"
            " has it; extend spec.addresses of a pool, or spec.pools of the Tenant"
        )
    if server.health_check_port and not bounds.has_node_port(server.health_check_port):
        return f"the node refuses the health check port {server.health_check_port}: {_no_node_port(bounds)}"
    for real_server in server.real_servers:
        problem = _problem_of(bounds, real_server, server.forwarding.keeps_client_address)
        if problem:
            return f"the node refuses the real server {real_server.address} port {real_server.port}: {problem}"
    return ""


def _problem_of(bounds: Bounds, real_server: RealServer, keeps_port: bool) -> str:
    if _lies_in(bounds.vips, real_server.address):
        return "it is an address for VIPs; take it out of spec.nodeCIDRs and spec.podCIDRs of the Tenant"
    if _lies_in(bounds.pods, real_server.address):
        return ""
    if not _lies_in(bounds.nodes, real_server.address):
        cure = "add its network to spec.nodeCIDRs or spec.podCIDRs of the Tenant, or remove the node"
        return f"it lies outside of its tenant's nodeCIDRs and podCIDRs; {cure}"
    node_port = real_server.check_port if keeps_port else real_server.port
    # What keeps the client's address keeps the port of the virtual server; 0: no port of the node is used at all.
    return "" if (keeps_port and not node_port) or bounds.has_node_port(node_port) else _no_node_port(bounds)


def _no_node_port(bounds: Bounds) -> str:
    return f"its node port is outside of its tenant's range {bounds.node_port_range}; extend spec.nodePortRange"


def _intervals(texts: Iterable[str]) -> tuple[Interval, ...]:
    return parse_intervals(str(parse_network(text)) for text in texts)


def _lies_in(intervals: tuple[Interval, ...], address: str) -> bool:
    return lies_in(intervals, *number_of(ipaddress.ip_address(address)))
