"""A tenant's wish: a Service of type LoadBalancer, parsed, and where its pods are ready. Knows no Kubernetes client."""

import enum
import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from fleetlb.domain.addresses import Family, Protocol, parse_network
from fleetlb.domain.virtual_servers import MAX_DRAIN_SECONDS, Scheduler

PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]
OptionalPort = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0: none."""
PortName = Annotated[str, msgspec.Meta(max_length=63)]
MAX_PORTS = 250
MAX_PODS = 1000
"""Addresses of one Service's pods that are told; a pod of two families has two."""
MAX_SOURCE_RANGES = 256
MAX_SHARING_KEY = 63
MAX_LABELS = 16
"""Labels of one Service that are told."""
LabelValue = Annotated[str, msgspec.Meta(max_length=63)]
NetworkText = Annotated[str, msgspec.Meta(max_length=43)]
"""A CIDR: no longer than an IPv6 address written out and its length."""


class TrafficPolicy(enum.StrEnum):
    """A Service's `externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class ServicePort(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One port: `port` is what clients dial, `node_port` where the tenant's nodes listen, 0 where they do not."""

    port: PortNumber
    node_port: OptionalPort = 0
    protocol: Protocol = Protocol.TCP
    name: PortName = ""


class TenantService(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What the tenant asks for. Lists are in the order of the Service, so equal wishes encode to equal bytes."""

    namespace: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    ports: Annotated[tuple[ServicePort, ...], msgspec.Meta(min_length=1, max_length=MAX_PORTS)]
    ip_families: Annotated[tuple[Family, ...], msgspec.Meta(min_length=1, max_length=2)] = (Family.IPV4,)
    prefers_dual_stack: bool = False
    """Whether one of `ip_families` will do where the other cannot be had."""
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    health_check_node_port: OptionalPort = 0
    """Where each node says whether it has a ready pod, under traffic policy Local; 0: nowhere."""
    affinity_seconds: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 0
    """Time for which a client stays with its backend; 0: no affinity."""
    addresses: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)] = ()
    """Addresses asked for, canonical."""
    pool: Annotated[str, msgspec.Meta(max_length=63)] = ""
    """Pool asked for; empty: any that assigns by itself."""
    sharing_key: Annotated[str, msgspec.Meta(max_length=MAX_SHARING_KEY)] = ""
    """Under which Services of the tenant share their addresses; empty: it has its own."""
    source_ranges: Annotated[tuple[NetworkText, ...], msgspec.Meta(max_length=MAX_SOURCE_RANGES)] = ()
    """Networks whose clients are let in, as `canonical_ranges` spells them; empty: everybody."""
    scheduler: Scheduler | None = None
    """How connections are spread; null: as the balancer group does."""
    proxy_protocol: bool = False
    """Whether backends expect the client's address in a header of PROXY protocol v2."""
    drain_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_DRAIN_SECONDS)] | None = None
    """How long connections of a backend that leaves may go on; null: as the balancer group has it."""
    hostname: Annotated[str, msgspec.Meta(max_length=253)] = ""
    """The name that the Service's status shows instead of its addresses; empty: the addresses."""
    labels: Annotated[dict[str, LabelValue], msgspec.Meta(max_length=MAX_LABELS)] = {}
    """Those of the Service's labels that address pools may select by, in the order of their keys."""


def canonical_ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """Networks in their one spelling and order: host bits cleared, each once, IPv4 first.

    Raises ValueError with a sentence that names the text.
    """
    networks = {parse_network(text, strict=False) for text in texts}
    return tuple(str(n) for n in sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen)))


class PodPort(msgspec.Struct, frozen=True, kw_only=True, order=True, rename="camel", omit_defaults=True, gc=False):
    """Where pods listen for the port of their Service that has this name and protocol."""

    name: PortName = ""
    protocol: Protocol = Protocol.TCP
    port: PortNumber


class Pod(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True, gc=False):
    """One address of a pod, canonical, and the name of the node that it runs on."""

    address: Annotated[str, msgspec.Meta(max_length=45)]
    node: Annotated[str, msgspec.Meta(max_length=253)] = ""


class PodGroup(msgspec.Struct, frozen=True, kw_only=True, order=True, rename="camel"):
    """Pods that listen on the same ports; both in sorted order."""

    ports: Annotated[tuple[PodPort, ...], msgspec.Meta(max_length=MAX_PORTS)]
    pods: Annotated[tuple[Pod, ...], msgspec.Meta(max_length=MAX_PODS)]


class ServiceEndpoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a Service's pods can take connections, summed over its EndpointSlices."""

    ready: bool = False
    nodes: tuple[str, ...] = ()
    """Names of the nodes with such pods, sorted."""
    ending: bool = False
    """Whether none is ready: those that end and still serve are meant."""
    pods: tuple[PodGroup, ...] | None = None
    """Those pods themselves, in sorted order; null: the watcher does not tell of pods."""
    crowded: bool = False
    """Whether they are not told because there are more than a message may name."""


class TenantNode(msgspec.Struct, frozen=True, kw_only=True, order=True, rename="camel", omit_defaults=True):
    """A node of a tenant cluster; `eligible` says whether load balancers may use it (KEP-3458)."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    addresses: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)] = ()
    eligible: bool = True


def digest_of(value: object) -> str:
    """A short fingerprint of a value: equal values, equal digests, in every process that knows the same fields."""
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=8).hexdigest()
