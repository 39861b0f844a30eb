"""Pods as the hub is told of them: their addresses with their nodes, grouped by the ports that they listen on. Pure.

A port is found by name and protocol, as kube-proxy does: a named targetPort may be another number in every pod, which
then are in slices of their own. What kube-proxy passes over is passed over here: names instead of addresses, and ports
without a number.
"""

import sys
from collections.abc import Iterable

from fleetlb.domain.addresses import Protocol, parse_address
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServicePort
from fleetlb_tenant_watcher.kube_objects import Endpoint, EndpointPort

_PROTOCOLS = frozenset(Protocol)


def pods_of(endpoints: Iterable[Endpoint], ports: Iterable[EndpointPort]) -> PodGroup:
    """Endpoints of one slice, which all listen on the ports of that slice."""
    pods = {
        Pod(address, sys.intern(endpoint.node_name or ""))
        for endpoint in endpoints
        for address in _canonical(endpoint.addresses or ())
    }
    return PodGroup(ports=tuple(sorted(_numbered(ports))), pods=tuple(sorted(pods)))


def group_pods(parts: Iterable[PodGroup], wished: Iterable[ServicePort]) -> tuple[PodGroup, ...]:
    """Pods of all slices of a Service, each once, with the ports that the Service has. O(pods)."""
    names = {(port.name, port.protocol) for port in wished}
    listening: dict[Pod, set[PodPort]] = {}
    for part in parts:
        ports = [port for port in part.ports if (port.name, port.protocol) in names]
        for pod in part.pods if ports else ():
            listening.setdefault(pod, set()).update(ports)
    groups: dict[tuple[PodPort, ...], list[Pod]] = {}
    for pod, found in listening.items():
        groups.setdefault(tuple(sorted(found)), []).append(pod)
    return tuple(PodGroup(ports=ports, pods=tuple(sorted(pods))) for ports, pods in sorted(groups.items()))


def _canonical(addresses: Iterable[str]) -> Iterable[str]:
    for text in addresses:
        try:
            yield str(parse_address(text))
        except ValueError:
            continue


def _numbered(ports: Iterable[EndpointPort]) -> Iterable[PodPort]:
    for port in ports:
        protocol = port.protocol or Protocol.TCP
        if port.port and protocol in _PROTOCOLS:
            yield PodPort(name=sys.intern(port.name or ""), protocol=Protocol(protocol), port=port.port)
