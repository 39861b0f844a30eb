"""Where each Service's pods can take connections, summed over its EndpointSlices. O(slices of one Service) per change.

Kept for every Service, ours or not: a slice may be seen before its Service. Knows nothing of wishes.
"""

import sys

import msgspec

from fleetlb.domain.services import ServiceEndpoints
from fleetlb_tenant_watcher.kube_objects import Endpoint, EndpointSlice

ServiceName = tuple[str, str]
"""Namespace and name."""


class SliceFacts(msgspec.Struct, frozen=True, gc=False):
    """What one slice says. A pod that ends may still serve; such pods count when no other is ready (KEP-1669)."""

    ready: bool = False
    ready_nodes: tuple[str, ...] = ()
    lingering: bool = False
    lingering_nodes: tuple[str, ...] = ()


class EndpointSlices:
    """Facts by Service, and whose slice each one is."""

    def __init__(self) -> None:
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
            facts = observe_slice(item)
            if slices.get(metadata.name) != facts:
                slices[metadata.name] = facts
                changed.append((namespace, service))
            self._owners[namespace, metadata.name] = service
        return changed

    def drop(self, namespace: str, name: str) -> list[ServiceName]:
        """A slice is gone; the Services whose endpoints may have changed."""
        return self._disown(namespace, name, keep="")

    def of(self, service: ServiceName) -> ServiceEndpoints | None:
        """The endpoints of a Service; None when it has no slice."""
        slices = self._facts.get(service)
        if slices is None:
            return None
        facts = slices.values()
        if any(fact.ready for fact in facts):
            return ServiceEndpoints(ready=True, nodes=_merged([fact.ready_nodes for fact in facts]))
        if any(fact.lingering for fact in facts):
            return ServiceEndpoints(ready=True, nodes=_merged([fact.lingering_nodes for fact in facts]))
        return ServiceEndpoints()

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


def observe_slice(item: EndpointSlice) -> SliceFacts:
    """Parse a slice."""
    endpoints = item.endpoints or ()
    ready = [endpoint for endpoint in endpoints if _is_ready(endpoint)]
    lingering = [endpoint for endpoint in endpoints if _is_lingering(endpoint)]
    return SliceFacts(bool(ready), _nodes(ready), bool(lingering), _nodes(lingering))


def _is_ready(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is None or conditions.ready is not False


def _is_lingering(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.terminating) and bool(conditions.serving)


def _nodes(endpoints: list[Endpoint]) -> tuple[str, ...]:
    return tuple(sorted({sys.intern(endpoint.node_name) for endpoint in endpoints if endpoint.node_name}))


def _merged(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    return parts[0] if len(parts) == 1 else tuple(sorted({name for part in parts for name in part}))
