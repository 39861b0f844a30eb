"""From a granted load balancer to the virtual servers of its nodes. The one place where a Service's port is renamed."""

from collections.abc import Iterable

import msgspec

from fleetlb.domain.addresses import family_of
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import Grant, backend_address
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey


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
        planned.extend(_plan_port(service, address, port, backends, reason) for port in service.ports)
    return tuple(planned)


def _plan_port(
    service: TenantService,
    address: str,
    port: ServicePort,
    backends: tuple[tuple[str, str], ...],
    reason: Reason | None,
) -> PlannedServer:
    """The rename: VirtualServer.port is the Service's port, RealServer.port its node port."""
    by_host = {host: name for host, name in sorted(backends, reverse=True)}
    server = VirtualServer(
        key=VirtualServerKey(address, port.port, port.protocol),
        real_servers=tuple(sorted(RealServer(host, port.node_port, node=name) for host, name in by_host.items())),
        scheduler=Scheduler.MAGLEV if service.affinity_seconds else Scheduler.LEAST_CONNECTION,
    )
    return PlannedServer(server, reason)


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


def judge_capabilities(service: TenantService, capabilities: frozenset[str]) -> Refusal | None:
    """Whether a balancer group can do what a Service asks for; a field is honoured or refused, never dropped."""
    for port in service.ports:
        if port.protocol.lower() not in capabilities:
            return Refusal(
                Reason.UNSUPPORTED,
                f"spec.ports: protocol {port.protocol} of port {port.port} is not served by this balancer group",
            )
    if service.affinity_seconds and "affinity" not in capabilities:
        return Refusal(Reason.UNSUPPORTED, "spec.sessionAffinity: not served by this balancer group; use None")
    return None
