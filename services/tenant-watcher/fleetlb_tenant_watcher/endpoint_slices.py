"""Where each Service's pods can take connections, summed over its EndpointSlices. O(slices of one Service) per change,
O(its pods) where the hub is told of pods.

Kept for every Service, ours or not: a slice may be seen before its Service. Knows nothing of wishes.
"""

import sys
from collections.abc import Iterable

import msgspec

from fleetlb.domain.services import MAX_PODS, PodGroup, ServiceEndpoints, ServicePort
from fleetlb_tenant_watcher.kube_objects import Endpoint, EndpointSlice
from fleetlb_tenant_watcher.pods import group_pods, pods_of

ServiceName = tuple[str, str]
"""Namespace and name."""


class Takers(msgspec.Struct, frozen=True, gc=False):
    """Endpoints of one slice that take connections: on which nodes, and the pods if the hub is told of them."""

    nodes: tuple[str, ...]
    pods: PodGroup | None


class SliceFacts(msgspec.Struct, frozen=True, gc=False):
    """What one slice says. A pod that ends may still serve; such pods count when no other of the Service is ready.

    Under traffic policy Local, kube-proxy decides so for each node by itself (KEP-1669): a node whose pods all end goes
    on handing them connections, while its health check node port says 503, so that the load balancer in front stops
    sending. That load balancer is us. Hence a node with pods that end takes no new connection as long as another node
    has a ready one; what is on its way there when we take it out is served, thanks to kube-proxy's rule. Once no node
    has a ready pod, those that end are better than nothing.
    """

    ready: Takers | None = None
    lingering: Takers | None = None


class EndpointSlices:
    """Facts by Service, and whose slice each one is."""

    def __init__(self, *, with_pods: bool = False) -> None:
        """`with_pods`: the hub is told of pods, which cost memory and messages by their number."""
        self._with_pods = with_pods
        self._facts: dict[ServiceName, dict[str, SliceFacts]] = {}
        self._owners: dict[tuple[str, str], str] = {}

    def put(self, item: EndpointSlice) -> list[ServiceName]:
        """Fold a slice; the Services whose endpoints may have changed."""
        metadata = item.metadata
        namespace = sys.intern(metadata.namespace)
        service = sys.intern(metadata.labels.service_name) if metadata.labels else ""
        changed = self._disown(namespace, metadata.name, keep=service)
        if service:
            slices = self._facts.setdefault((namespace, service), {})
            facts = observe_slice(item, with_pods=self._with_pods)
            if slices.get(metadata.name) != facts:
                slices[metadata.name] = facts
                changed.append((namespace, service))
            self._owners[namespace, metadata.name] = service
        return changed

    def drop(self, namespace: str, name: str) -> list[ServiceName]:
        """A slice is gone; the Services whose endpoints may have changed."""
        return self._disown(namespace, name, keep="")

    def of(self, service: ServiceName, ports: Iterable[ServicePort] = ()) -> ServiceEndpoints | None:
        """The endpoints of a Service with these ports; None when it has no slice."""
        slices = self._facts.get(service)
        if slices is None:
            return None
        facts = slices.values()
        ready = [fact.ready for fact in facts if fact.ready]
        takers = ready or [fact.lingering for fact in facts if fact.lingering]
        pods = group_pods([taker.pods for taker in takers if taker.pods], ports)
        crowded = sum(len(group.pods) for group in pods) > MAX_PODS
        return ServiceEndpoints(
            ready=bool(takers),
            nodes=_merged([taker.nodes for taker in takers]),
            ending=bool(takers) and not ready,
            pods=pods if self._with_pods and not crowded else None,
            crowded=crowded,
        )

    def _disown(self, namespace: str, name: str, keep: str) -> list[ServiceName]:
        """Forget a slice under its last Service, unless that is still the one."""
        service = self._owners.get((namespace, name))
        if service is None or service == keep:
            return []
        del self._owners[namespace, name]
        slices = self._facts[namespace, service]
        del slices[name]
        if not slices:
            del self._facts[namespace, service]
        return [(namespace, service)]


def observe_slice(item: EndpointSlice, *, with_pods: bool = False) -> SliceFacts:
    """Parse a slice."""
    endpoints = item.endpoints or ()
    return SliceFacts(
        ready=_takers([endpoint for endpoint in endpoints if _is_ready(endpoint)], item, with_pods),
        lingering=_takers([endpoint for endpoint in endpoints if _is_lingering(endpoint)], item, with_pods),
    )


def _takers(endpoints: list[Endpoint], item: EndpointSlice, with_pods: bool) -> Takers | None:
    if not endpoints:
        return None
    nodes = tuple(sorted({sys.intern(endpoint.node_name) for endpoint in endpoints if endpoint.node_name}))
    return Takers(nodes, pods_of(endpoints, item.ports or ()) if with_pods else None)


def _is_ready(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is None or conditions.ready is not False


def _is_lingering(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.terminating) and bool(conditions.serving)


def _merged(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    return parts[0] if len(parts) == 1 else tuple(sorted({name for part in parts for name in part}))
