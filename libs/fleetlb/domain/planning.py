"""From a granted load balancer to the virtual servers of its nodes. The one place where a Service's port is renamed."""

from collections.abc import Iterable, Mapping

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import Grant, backend_address
from fleetlb.domain.virtual_servers import (
    DEFAULT_DRAIN_SECONDS,
    FailurePolicy,
    Forwarding,
    RealServer,
    Scheduler,
    VirtualServer,
    VirtualServerKey,
)

ADMITS_NOBODY: Mapping[Family, tuple[str, ...]] = {Family.IPV4: ("0.0.0.0/32",), Family.IPV6: ("::/128",)}
"""Source ranges of a virtual server whose family has none, though its Service has some: no client has this address."""


class Carriage(msgspec.Struct, frozen=True, kw_only=True):
    """How a balancer group carries what it is given, as its spec and its pools' specs say."""

    forwarding: Forwarding = Forwarding.MASQUERADE
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION
    """For Services that ask for none."""
    drain_seconds: int = DEFAULT_DRAIN_SECONDS
    prefixes: Mapping[str, str] = {}
    """VIP to the network that it is routed with; without an entry, alone."""


class PlannedServer(msgspec.Struct, frozen=True):
    """A virtual server, and why it has no real server when it has none."""

    server: VirtualServer
    reason: Reason | None = None


def keys_of(addresses: Iterable[str], ports: Iterable[ServicePort]) -> tuple[VirtualServerKey, ...]:
    """Every (address, port, protocol) of a load balancer."""
    ports = tuple(ports)
    return tuple(VirtualServerKey(address, port.port, port.protocol) for address in addresses for port in ports)


def plan_virtual_servers(
    service: TenantService,
    addresses: Iterable[str],
    endpoints: ServiceEndpoints | None,
    nodes: Iterable[TenantNode],
    grant: Grant,
    carriage: Carriage,
) -> tuple[PlannedServer, ...]:
    """One virtual server per address and port.

    Equal inputs give equal plans in whatever order the nodes arrive; of nodes that claim one address, one counts.
    `endpoints` None means that the Service has no EndpointSlice: under traffic policy Cluster the nodes are used as
    they are.
    """
    nodes = tuple(nodes)
    planned: list[PlannedServer] = []
    for address in addresses:
        backends, reason = _backends(service, address, endpoints, nodes, grant)
        servers = _servers(service, address, backends, carriage, grant.failure_policy)
        planned.extend(PlannedServer(server, reason) for server in servers)
    return tuple(planned)


def _servers(
    service: TenantService,
    address: str,
    backends: Iterable[tuple[str, str]],
    carriage: Carriage,
    failure_policy: FailurePolicy,
) -> Iterable[VirtualServer]:
    """The rename: VirtualServer.port is the Service's port, RealServer.port its node port."""
    by_host = {host: name for host, name in sorted(backends, reverse=True)}
    ranges = _admitted(service.source_ranges, family_of(address))
    for port in service.ports:
        real_servers = (_real_server(host, name, port, carriage.forwarding) for host, name in by_host.items())
        yield VirtualServer(
            key=VirtualServerKey(address, port.port, port.protocol),
            real_servers=tuple(sorted(real_servers)),
            scheduler=service.scheduler or carriage.scheduler,
            affinity_seconds=service.affinity_seconds,
            source_ranges=ranges,
            forwarding=carriage.forwarding,
            drain_seconds=carriage.drain_seconds if service.drain_seconds is None else service.drain_seconds,
            proxy_protocol=service.proxy_protocol and port.protocol is Protocol.TCP,
            failure_policy=failure_policy,
            prefix=carriage.prefixes.get(address, ""),
        )


def _real_server(host: str, node: str, port: ServicePort, forwarding: Forwarding) -> RealServer:
    """What keeps the client's address keeps the port too; the node port then only shows whether the node is healthy."""
    if forwarding.keeps_client_address:
        return RealServer(host, port.port, node=node, check_port=port.node_port)
    return RealServer(host, port.node_port, node=node)


def _admitted(ranges: tuple[str, ...], family: Family) -> tuple[str, ...]:
    """The ranges of one family, as they are spelled and ordered. Where a family has none, nobody is let in by it."""
    if not ranges:
        return ()
    return tuple(text for text in ranges if family_of(text) is family) or ADMITS_NOBODY[family]


def _backends(
    service: TenantService,
    address: str,
    endpoints: ServiceEndpoints | None,
    nodes: tuple[TenantNode, ...],
    grant: Grant,
) -> tuple[tuple[tuple[str, str], ...], Reason | None]:
    """(address, node name) of every node that may take a connection to `address`, or the reason why there is none."""
    eligible = [node for node in nodes if node.eligible]
    if not eligible:
        return (), Reason.NO_ELIGIBLE_NODE
    family = family_of(address)
    found = [(backend_address(grant, node, family), node.name) for node in eligible]
    allowed = [(host, name) for host, name in found if host is not None]
    if not allowed:
        return (), Reason.BACKEND_NOT_ALLOWED
    if endpoints is not None and not endpoints.ready:
        return (), Reason.NO_READY_BACKEND
    if service.external_traffic_policy is TrafficPolicy.LOCAL:
        local = frozenset(endpoints.nodes) if endpoints else frozenset[str]()
        allowed = [(host, name) for host, name in allowed if name in local]
        if not allowed:
            return (), Reason.NO_READY_BACKEND
    return tuple(allowed), None
