"""What a tenant may use: its nodes' and pods' addresses, its node ports, its share. Answers with a Refusal or None."""

import ipaddress
from collections.abc import Iterable, Mapping

import msgspec

from fleetlb.domain.addresses import Family, IPAddress, IPNetwork, family_of, parse_address, parse_network
from fleetlb.domain.annotation_policy import AnnotationPolicy, judge_annotations
from fleetlb.domain.annotations import NO_SHARING_KEY, is_sharing_key
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import MAX_SOURCE_RANGES, Pod, TenantNode, TenantService, TrafficPolicy, canonical_ranges
from fleetlb.domain.virtual_servers import FailurePolicy

METADATA_ADDRESSES = frozenset({"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"})
"""Where clouds answer with credentials, besides 169.254.169.254, which is link-local."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A Tenant's spec, parsed."""

    tenant: str
    node_networks: tuple[IPNetwork, ...]
    node_ports: range
    pod_networks: tuple[IPNetwork, ...] = ()
    """Where pods may be reached directly; empty: nowhere."""
    pools: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    max_load_balancers: int | None = None
    max_addresses: int | None = None
    max_ports: int | None = None
    failure_policy: FailurePolicy = FailurePolicy.OPEN
    annotations: AnnotationPolicy = AnnotationPolicy()
    allow_loopback: bool = False
    """Backends on loopback: only in a local fleet, by an explicit switch of the manager."""

    def may_use_pool(self, pool: str, group: str) -> bool:
        """Whether a pool, and the group that carries it, are granted."""
        return (not self.pools or pool in self.pools) and (not self.groups or group in self.groups)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant holds, without the load balancer that is judged."""

    load_balancers: int = 0
    addresses: int = 0
    ports: int = 0


def parse_port_range(text: str) -> range:
    """`30000-32767` as a range. Raises ValueError with the cure."""
    low, _, high = text.partition("-")
    well_formed = text.isascii() and low.isdigit() and high.isdigit() and len(text) <= len("65535-65535")
    ports = range(int(low), int(high) + 1) if well_formed else range(0)
    if not ports or ports.start < 1 or ports.stop > 65536:
        raise ValueError(f"nodePortRange {text[:20]!r}: write LOW-HIGH with 1 <= LOW <= HIGH <= 65535")
    return ports


def parse_node_networks(cidrs: Iterable[str]) -> tuple[IPNetwork, ...]:
    """A tenant's nodeCIDRs. Raises ValueError naming the field and the text."""
    return _parse_networks("spec.nodeCIDRs", cidrs)


def parse_pod_networks(cidrs: Iterable[str]) -> tuple[IPNetwork, ...]:
    """A tenant's podCIDRs. Raises ValueError naming the field and the text."""
    return _parse_networks("spec.podCIDRs", cidrs)


def _parse_networks(field: str, cidrs: Iterable[str]) -> tuple[IPNetwork, ...]:
    networks: list[IPNetwork] = []
    for cidr in cidrs:
        try:
            networks.append(parse_network(cidr))
        except ValueError as problem:
            raise ValueError(f"{field}: {problem}") from None
    return tuple(networks)


def overlapping(mine: Iterable[IPNetwork], others: Mapping[str, Iterable[IPNetwork]]) -> tuple[str, IPNetwork] | None:
    """The first other tenant whose networks share an address with mine, and the network of mine."""
    theirs = [(name, network) for name, networks in others.items() for network in networks]
    for network in mine:
        for name, other in theirs:
            if network.version == other.version and network.overlaps(other):
                return name, network
    return None


def is_backend_allowed(grant: Grant, address: str) -> bool:
    """Allow-list: inside the networks of the tenant's nodes, and never an address with a meaning of its own.

    Metadata services, link-local, multicast and unspecified addresses are refused even inside a careless CIDR.
    """
    return _is_allowed(grant, grant.node_networks, address)


def _is_allowed(grant: Grant, networks: Iterable[IPNetwork], address: str) -> bool:
    try:
        parsed = parse_address(address)
    except ValueError:
        return False
    if not is_ordinary(parsed) and not (parsed.is_loopback and grant.allow_loopback):
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


def is_ordinary(address: IPAddress) -> bool:
    """Whether an address is that of some host, and not one with a meaning of its own."""
    return str(address) not in METADATA_ADDRESSES and not (
        address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or address.is_unspecified
        or address.is_reserved
    )


def backend_address(grant: Grant, node: TenantNode, family: Family) -> str | None:
    """The address of a node that may carry traffic of a family; the first allowed one in the node's own order."""
    for address in node.addresses:
        if family_of(address) is family and is_backend_allowed(grant, address):
            return str(ipaddress.ip_address(address))
    return None


def pod_address(grant: Grant, pod: Pod) -> str | None:
    """The address of a pod, if it may be dialled directly: allow-listed like a node's, by podCIDRs instead.

    A pod on its node's own address counts only where podCIDRs cover that too, for it may listen on any port there.
    """
    return str(ipaddress.ip_address(pod.address)) if _is_allowed(grant, grant.pod_networks, pod.address) else None


def judge_wish(grant: Grant, service: TenantService, usage: Usage, addresses: int | None = None) -> Refusal | None:
    """Whether a tenant may have this load balancer: sound, node ports in range, quotas kept.

    `addresses`: how many count against the quota, where some are shared; None: one for each family.

    Capacity is judged elsewhere. A watcher is not trusted, so what no API server would store is refused here too.
    """
    contradiction = _contradiction(service)
    if contradiction:
        return Refusal(Reason.INVALID, contradiction)
    wanted = len(service.ip_families) if addresses is None else addresses
    return (
        judge_annotations(grant.annotations, service)
        or _judge_node_ports(grant, service)
        or _over("loadBalancers", usage.load_balancers, 1, grant.max_load_balancers)
        or _over("addresses", usage.addresses, wanted, grant.max_addresses)
        or _over("ports", usage.ports, len(service.ports), grant.max_ports)
    )


def _judge_node_ports(grant: Grant, service: TenantService) -> Refusal | None:
    """Every port needs a node port in range, or none where pods are reached directly (NPT-1).

    One out of range is refused there too: it serves as soon as the watcher does not tell of pods.
    """
    text = f"{grant.node_ports.start}-{grant.node_ports.stop - 1}"
    for port in service.ports:
        if not port.node_port and not grant.pod_networks:
            why = f"spec.ports: port {port.port} has no nodePort, and pods of this tenant are not reached directly"
            cure = "set one, or set spec.allocateLoadBalancerNodePorts to true, or have podCIDRs granted"
            return Refusal(Reason.UNSUPPORTED, f"{why}; {cure}")
        if port.node_port and port.node_port not in grant.node_ports:
            message = f"node port {port.node_port} of port {port.port} is outside the tenant's range {text}"
            return Refusal(Reason.BACKEND_NOT_ALLOWED, message)
    if service.health_check_node_port and service.health_check_node_port not in grant.node_ports:
        message = f"health check node port {service.health_check_node_port} is outside the tenant's range {text}"
        return Refusal(Reason.BACKEND_NOT_ALLOWED, message)
    return None


def _contradiction(service: TenantService) -> str:
    """What is wrong with a wish in itself; empty: nothing."""
    if len({(port.port, port.protocol) for port in service.ports}) < len(service.ports):
        return "spec.ports: a port and protocol stand there twice"
    if len(set(service.ip_families)) < len(service.ip_families):
        return "spec.ipFamilies: a family stands there twice"
    if service.health_check_node_port and service.external_traffic_policy is not TrafficPolicy.LOCAL:
        return "spec.healthCheckNodePort: belongs to externalTrafficPolicy Local"
    for address in service.addresses:
        try:
            canonical = str(parse_address(address))
        except ValueError as problem:
            return f"fleetlb.dev/addresses: {problem}"
        if canonical != address:
            return f"fleetlb.dev/addresses: {address[:64]!r} is spelled {canonical} in canonical form"
    if service.sharing_key and not is_sharing_key(service.sharing_key):
        return f"fleetlb.dev/sharing-key: {service.sharing_key[:64]!r} {NO_SHARING_KEY}"
    return _range_problem(service.source_ranges)


def _range_problem(ranges: tuple[str, ...]) -> str:
    """Ranges that a node would read otherwise than they look must not come near a filter."""
    field = "spec.loadBalancerSourceRanges"
    if len(ranges) > MAX_SOURCE_RANGES:
        return f"{field}: {len(ranges)} networks, at most {MAX_SOURCE_RANGES} are supported; use wider ones"
    try:
        canonical = canonical_ranges(ranges)
    except ValueError as problem:
        return f"{field}: {problem}"
    if canonical == ranges:
        return ""
    odd = next((text for text in ranges if text not in canonical), None)
    return f"{field}: " + (f"{odd[:64]!r} is not in canonical form" if odd else "not in order, or one stands twice")


def _over(what: str, used: int, wanted: int, limit: int | None) -> Refusal | None:
    if limit is None or used + wanted <= limit:
        return None
    return Refusal(Reason.QUOTA_EXCEEDED, f"quota {what}: {used} of {limit} used, {wanted} more asked for")
