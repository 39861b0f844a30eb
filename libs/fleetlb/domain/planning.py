"""From a granted load balancer to virtual servers: which nodes or pods take its connections, and at which port.

The one place where a Service's port is renamed.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of
from fleetlb.domain.conditions import Reason
from fleetlb.domain.pool_networks import PoolRoute
from fleetlb.domain.services import PodGroup, ServiceEndpoints, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import Grant, backend_address, pod_address
from fleetlb.domain.virtual_servers import (
    DEFAULT_DRAIN_SECONDS,
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
    routes: Mapping[str, PoolRoute] = {}
    """VIP to how it gets to balancer nodes; without an entry, alone, and by nobody's word."""


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

    Where the tenant is granted podCIDRs and its watcher tells of pods, connections go to the pods themselves, whatever
    the traffic policy: a pod serves where it runs. Otherwise they go to nodes.
    Equal inputs give equal plans in whatever order nodes and pods arrive; of those that claim one address, one counts.
    `endpoints` None means that the Service has no EndpointSlice: under traffic policy Cluster the nodes are used as
    they are.
    """
    nodes, pods = tuple(nodes), endpoints.pods if endpoints and grant.pod_networks else None
    health_check_port = 0 if pods is not None else _health_check_port(service, endpoints)
    planned: list[PlannedServer] = []
    for address in addresses:
        family = family_of(address)
        ranges, route = _admitted(service.source_ranges, family), carriage.routes.get(address, PoolRoute())
        if pods is not None:
            backends = _on_pods(service, family, pods, grant)
        else:
            backends = _on_nodes(service, family, endpoints, nodes, grant, carriage.forwarding)
        for port, (real_servers, reason) in zip(service.ports, backends, strict=True):
            server = VirtualServer(
                key=VirtualServerKey(address, port.port, port.protocol),
                real_servers=real_servers,
                scheduler=service.scheduler or carriage.scheduler,
                affinity_seconds=service.affinity_seconds,
                source_ranges=ranges,
                forwarding=carriage.forwarding,
                drain_seconds=carriage.drain_seconds if service.drain_seconds is None else service.drain_seconds,
                proxy_protocol=service.proxy_protocol and port.protocol is Protocol.TCP,
                failure_policy=grant.failure_policy,
                health_check_port=health_check_port,
                prefix=route.prefix,
                announcement=route.announcement,
                attributes_pool=route.attributes_pool,
            )
            planned.append(PlannedServer(server, reason))
    return tuple(planned)


_Backends = tuple[tuple[RealServer, ...], Reason | None]
"""The real servers of one port, in sorted order; or none, and why."""


def _on_pods(service: TenantService, family: Family, groups: Iterable[PodGroup], grant: Grant) -> Iterator[_Backends]:
    """For each port, the pods that listen for it. Whether load balancers may use a node does not concern the pods on
    it: they are dialled themselves, and a node that is drained ends its pods."""
    told = [
        (group.ports, [(pod_address(grant, pod), pod.node) for pod in group.pods if family_of(pod.address) is family])
        for group in groups
    ]
    for port in service.ports:
        listening = [
            (address, at.port, node)
            for ports, pods in told
            for at in ports
            if (at.name, at.protocol) == (port.name, port.protocol)
            for address, node in pods
        ]
        found = _each_once(RealServer(host, number, node=node) for host, number, node in listening if host is not None)
        yield found, None if found else Reason.BACKEND_NOT_ALLOWED if listening else Reason.NO_READY_BACKEND


def _on_nodes(
    service: TenantService,
    family: Family,
    endpoints: ServiceEndpoints | None,
    nodes: tuple[TenantNode, ...],
    grant: Grant,
    forwarding: Forwarding,
) -> Iterator[_Backends]:
    """Nodes at the node port of each port. The rename: VirtualServer.port is the Service's port, RealServer.port its
    node port."""
    usable, reason = _usable_nodes(service, family, endpoints, nodes, grant)
    for port in service.ports:
        if port.node_port:
            yield _each_once(_real_server(host, name, port, forwarding) for host, name in usable), reason
        else:
            is_ready = endpoints is not None and endpoints.ready
            yield (), reason or (Reason.NO_NODE_PORT if is_ready else Reason.NO_READY_BACKEND)


def _health_check_port(service: TenantService, endpoints: ServiceEndpoints | None) -> int:
    """Where nodes are asked whether they have a ready pod. While it is known that none has, and those that end take
    connections all the same (ETP-8), their answer would only keep these away."""
    is_local = service.external_traffic_policy is TrafficPolicy.LOCAL
    return service.health_check_node_port if is_local and not (endpoints and endpoints.ending) else 0


def _each_once(real_servers: Iterable[RealServer]) -> tuple[RealServer, ...]:
    """In sorted order; of those at one place the first."""
    found: dict[tuple[str, int], RealServer] = {}
    for real_server in sorted(real_servers):
        found.setdefault((real_server.address, real_server.port), real_server)
    return tuple(found.values())


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


def _has_address(node: TenantNode, family: Family) -> bool:
    """A node that has just joined may have none yet."""
    return any(family_of(address) is family for address in node.addresses)


def _usable_nodes(
    service: TenantService,
    family: Family,
    endpoints: ServiceEndpoints | None,
    nodes: tuple[TenantNode, ...],
    grant: Grant,
) -> tuple[tuple[tuple[str, str], ...], Reason | None]:
    """(address, node name) of every node that may take connections of a family, or the reason why there is none."""
    eligible = [node for node in nodes if node.eligible and _has_address(node, family)]
    if not eligible:
        return (), Reason.NO_ELIGIBLE_NODE
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
