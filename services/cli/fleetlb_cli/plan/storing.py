"""What an API server would make of a Service that is written to it: the fields that it fills in. Pure.

As far as that concerns load balancers, and can be known from outside: which node ports are free is the API server's own
knowledge, so one of the tenant's range stands for each that it would choose.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from fleetlb.domain.addresses import Family
from fleetlb.domain.services import TenantService
from fleetlb.kube.service_objects import Service, ServicePortSpec, ServiceSpec
from fleetlb_cli.plan.manifests import ServiceWritten

DUAL_STACK = ("PreferDualStack", "RequireDualStack")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the cluster that a Service would be written to."""

    node_ports: range
    families: tuple[Family, ...] = (Family.IPV4,)
    """Of its nodes, the first one first."""
    standing: TenantService | None = None
    """What the Service of that name wishes now."""


def as_stored(written: ServiceWritten, around: Surroundings) -> ServiceSpec:
    """The spec with what the API server fills in; a Service that is there keeps what it was given."""
    spec = written.service.spec
    if spec.type != "LoadBalancer":
        return spec
    free = _free_ports(spec, around)
    had = {(port.port, str(port.protocol)): port.node_port for port in around.standing.ports} if around.standing else {}
    ports = spec.ports
    if ports is not None and written.allocates_node_ports:
        ports = tuple(_with_node_port(port, had, free) for port in ports)
    check = spec.health_check_node_port
    if spec.external_traffic_policy == "Local" and not check:
        check = (around.standing.health_check_node_port if around.standing else 0) or next(free, 0)
    return replace(spec, ports=ports, health_check_node_port=check, ip_families=_families(spec, around))


def without_dry_ports(written: ServiceWritten, stored: Service) -> ServiceWritten:
    """What a dry run made of a Service, without the ports that it allocated: those are only for show."""
    asked = {(port.port, port.protocol): port.node_port for port in written.service.spec.ports or ()}
    ports = stored.spec.ports
    if ports is not None:
        ports = tuple(replace(port, node_port=asked.get((port.port, port.protocol), 0)) for port in ports)
    spec = replace(stored.spec, ports=ports, health_check_node_port=written.service.spec.health_check_node_port)
    return written._replace(service=replace(stored, spec=spec))


def _free_ports(spec: ServiceSpec, around: Surroundings) -> Iterator[int]:
    taken = {port.node_port for port in spec.ports or ()}
    if around.standing is not None:
        taken.update(port.node_port for port in around.standing.ports)
    return (number for number in around.node_ports if number not in taken)


def _with_node_port(port: ServicePortSpec, had: dict[tuple[int, str], int], free: Iterator[int]) -> ServicePortSpec:
    if port.node_port:
        return port
    return replace(port, node_port=had.get((port.port, port.protocol)) or next(free, 0))


def _families(spec: ServiceSpec, around: Surroundings) -> tuple[str, ...]:
    """Those written, else those that it has, else by its policy and what the cluster has."""
    found = tuple(spec.ip_families or ()) or (around.standing.ip_families if around.standing else ())
    found = found or around.families[:1] or (Family.IPV4,)
    if spec.ip_family_policy not in DUAL_STACK:
        return tuple(map(str, found if spec.ip_families else found[:1]))
    others = Family if spec.ip_family_policy == "RequireDualStack" else around.families
    return tuple(map(str, dict.fromkeys((*found, *others))))
