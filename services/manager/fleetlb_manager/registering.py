"""Which tenants are served, and what each is granted: Tenant objects, judged together. Pure.

Networks of nodes and pods must not overlap those of another Tenant: the older one keeps them, the younger one is not
ready until somebody corrects it. A Tenant that cannot be read is not ready either; no other is affected.
"""

import bisect
from collections.abc import Iterable, Sequence

import msgspec

from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.addresses import IPNetwork
from fleetlb.domain.annotation_policy import AnnotationPolicy, before, parse_policy
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.tenancy import Grant, parse_node_networks, parse_pod_networks, parse_port_range


class Registration(msgspec.Struct, frozen=True):
    """A Tenant's grant, or why it has none."""

    grant: Grant | None = None
    refusal: Refusal | None = None


NOT_READY = Refusal(
    Reason.TENANT_NOT_READY, "this tenant is not ready; ask the platform team, whose Tenant object says why"
)
"""What a tenant is told: the reason may name somebody else."""


NO_RULES = AnnotationPolicy()


def register(
    tenants: Iterable[Tenant], *, allow_loopback: bool, rules: AnnotationPolicy = NO_RULES
) -> dict[str, Registration]:
    """Judge all tenants; O(n log n) for n networks. `rules`: those of the fleet about annotations."""
    taken = _Networks()
    registered: dict[str, Registration] = {}
    for tenant in sorted(tenants, key=lambda t: (t.metadata.creation_timestamp or "", t.metadata.name)):
        name = tenant.metadata.name
        try:
            grant = grant_of(tenant, allow_loopback=allow_loopback, rules=rules)
        except ValueError as problem:
            registered[name] = Registration(refusal=Refusal(Reason.INVALID, str(problem)))
            continue
        refusal = taken.add(name, _fields(grant))
        registered[name] = Registration(refusal=refusal) if refusal else Registration(grant=grant)
    return registered


def grant_of(tenant: Tenant, *, allow_loopback: bool, rules: AnnotationPolicy = NO_RULES) -> Grant:
    """A Tenant's spec, parsed. Raises ValueError naming the field."""
    spec = tenant.spec
    own = parse_policy(spec.annotations.allow, spec.annotations.deny, spec.annotations.default)
    return Grant(
        tenant=tenant.metadata.name,
        node_networks=parse_node_networks(spec.node_cidrs),
        pod_networks=parse_pod_networks(spec.pod_cidrs),
        node_ports=parse_port_range(spec.node_port_range),
        pools=frozenset(spec.pools),
        groups=frozenset(spec.groups),
        max_load_balancers=spec.quotas.load_balancers,
        max_addresses=spec.quotas.addresses,
        max_ports=spec.quotas.ports,
        failure_policy=spec.failure_policy,
        annotations=before(own, rules),
        allow_loopback=allow_loopback,
    )


def _fields(grant: Grant) -> list[tuple[str, IPNetwork]]:
    """Every network of a tenant, and the field that grants it."""
    return [
        *(("spec.nodeCIDRs", network) for network in grant.node_networks),
        *(("spec.podCIDRs", network) for network in grant.pod_networks),
    ]


class _Networks:
    """Disjoint address intervals and whose they are, in order; one tenant's own may touch or repeat."""

    def __init__(self) -> None:
        self._starts: list[tuple[int, int]] = []
        self._spans: list[tuple[int, str, IPNetwork]] = []

    def add(self, tenant: str, networks: Sequence[tuple[str, IPNetwork]]) -> Refusal | None:
        """Take networks for a tenant, all or none; each with the field that names it."""
        for field, network in networks:
            other = self._overlapping(network)
            if other:
                text = f"{field}: {network} overlaps {other[2]} of the older tenant {other[1]}"
                return Refusal(Reason.OVERLAP, text)
        for _, network in sorted(networks, key=lambda pair: pair[1].prefixlen):  # the larger covers the smaller
            if self._overlapping(network) is None:
                self._insert(tenant, network)
        return None

    def _overlapping(self, network: IPNetwork) -> tuple[int, str, IPNetwork] | None:
        """Networks are nested or apart: only the last one that begins before our end can overlap."""
        at = bisect.bisect_right(self._starts, (network.version, int(network.broadcast_address))) - 1
        if at < 0 or self._starts[at][0] != network.version or self._spans[at][0] < int(network.network_address):
            return None
        return self._spans[at]

    def _insert(self, tenant: str, network: IPNetwork) -> None:
        start = (network.version, int(network.network_address))
        at = bisect.bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._spans.insert(at, (int(network.broadcast_address), tenant, network))
