"""Whether what nodes serve is what somebody is owed, and what is said of it is true: P1, P9, T2, T3, T6, V10. Pure."""

from collections.abc import Iterator

from fleetlb.contracts.objects import AddressClaim, ClaimPhase, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import Owner, Probe, RealizedState
from fleetlb.domain.conditions import SERVING, Status
from fleetlb.domain.tenancy import (
    Grant,
    is_backend_allowed,
    parse_node_networks,
    parse_pod_networks,
    parse_port_range,
)
from fleetlb_cli.audit.picture import Finding, Picture, Place, claimants, keys_of, named, serving_places


def every_entry_is_owed(picture: Picture) -> Iterator[Finding]:
    """P1: what a node serves is claimed, by the one it is served for, and not out of use already."""
    for place, realized in serving_places(picture):
        claim = picture.claims.get(place.key.address)
        if claim is None:
            yield Finding("P1", str(place.key), f"node {place.node} serves it, and nobody has claimed the address")
        elif claim.spec.phase is ClaimPhase.QUARANTINED:
            yield Finding("P1", str(place.key), f"node {place.node} serves it, and its address is at rest")
        elif _is_alone(claim, realized.owner) and realized.generation < claim.spec.generation:
            text = f"node {place.node} serves it as generation {realized.generation} wished;"
            yield Finding("P1", str(place.key), f"{text} its claim is of generation {claim.spec.generation}")


def _is_alone(claim: AddressClaim, owner: Owner) -> bool:
    """Whether every change of a claim concerns all that its owner has there; others come and go where it is shared."""
    return not claim.spec.sharing_key and claimants(claim) == (owner,)


def read_back_as_asked(picture: Picture) -> Iterator[Finding]:
    """P9: a node that says it serves the newest wish has read back as many real servers as that has."""
    for place, realized in serving_places(picture):
        desired = picture.desired.get(Place(place.group, "", place.key))
        if desired is None or desired.server is None:
            continue
        if (realized.generation, realized.revision) != (desired.generation, desired.revision):
            continue
        wanted = len(desired.server.real_servers)
        if realized.real_servers != wanted:
            text = f"node {place.node} read back {realized.real_servers} real servers of {wanted}"
            yield Finding("P9", str(place.key), text)


def only_the_tenants_nodes(picture: Picture, *, allow_loopback: bool) -> Iterator[Finding]:
    """T2, T3: traffic is sent only to addresses and ports that are registered for the tenant.

    Networks and ports that were taken back from a tenant count: whoever is sent there should not be any more.
    """
    grants = {name: _grant_of(tenant, allow_loopback) for name, tenant in picture.tenants.items()}
    for place, desired in picture.desired.items():
        grant = grants.get(desired.owner.tenant)
        if grant is None or desired.server is None:
            continue
        for real in desired.server.real_servers:
            is_pod = not is_backend_allowed(grant, real.address)
            if is_pod and not is_backend_allowed(_pods_of(grant), real.address):
                yield Finding("T2", str(place.key), f"is sent to {real.address}, which is not {grant.tenant}'s")
            elif not is_pod and not _is_port_allowed(grant, real.port, real.check_port):
                yield Finding(
                    "T3", str(place.key), f"is sent to port {real.port}, which is no node port of {grant.tenant}"
                )


def readable(picture: Picture) -> Iterator[Finding]:
    """T8: what cannot be read stays out of what nodes act on."""
    for subject in picture.unreadable:
        yield Finding("T8", subject, "holds a message that cannot be read")


def at_home(picture: Picture) -> Iterator[Finding]:
    """T6: a tenant's objects are in its own namespace."""
    for item in picture.load_balancers:
        if item.metadata.namespace != f"tenant-{item.spec.tenant}":
            yield Finding("T6", named(item), f"lies in namespace {item.metadata.namespace}")


def the_truth_is_told(picture: Picture) -> Iterator[Finding]:
    """V10: what is said to serve is served: every node of the group has read back that very revision on every port,
    and a probe through the address was answered."""
    for item in picture.load_balancers:
        if _says_serving(item):
            yield from _doubts(picture, item)


def _says_serving(item: LoadBalancer) -> bool:
    if item.status.observed_generation != item.metadata.generation:
        return False  # it speaks of an older wish
    return any(c.type == SERVING and c.status is Status.TRUE for c in item.status.conditions)


def _doubts(picture: Picture, item: LoadBalancer) -> Iterator[Finding]:
    group = picture.groups.get(item.spec.group)
    if group is None:
        yield Finding("V10", named(item), f"is said to serve, and there is no group {item.spec.group}")
        return
    for key in keys_of(item):
        for node in group.spec.nodes:
            realized = picture.realized.get(Place(item.spec.group, node, key))
            if realized is None or realized.state is not RealizedState.PROGRAMMED:
                yield Finding("V10", named(item), f"is said to serve, and node {node} does not serve {key}")
            elif realized.load_balancer is None or realized.load_balancer.generation < item.metadata.generation:
                yield Finding("V10", named(item), f"is said to serve, and node {node} serves {key} as it was before")
            elif realized.probe is Probe.UNANSWERED:
                yield Finding("V10", named(item), f"is said to serve, and nobody answers {key} on node {node}")


def _is_port_allowed(grant: Grant, port: int, check_port: int) -> bool:
    """Where forwarding keeps the port, the node port is the one that is checked."""
    return port in grant.node_ports or (check_port != 0 and check_port in grant.node_ports)


def _pods_of(grant: Grant) -> Grant:
    return Grant(
        tenant=grant.tenant,
        node_networks=grant.pod_networks,
        node_ports=grant.node_ports,
        allow_loopback=grant.allow_loopback,
    )


def _grant_of(tenant: Tenant, allow_loopback: bool) -> Grant | None:
    """None for a Tenant that cannot be read: nothing new is decided for it."""
    try:
        return Grant(
            tenant=tenant.metadata.name,
            node_networks=parse_node_networks(tenant.spec.node_cidrs),
            pod_networks=parse_pod_networks(tenant.spec.pod_cidrs),
            node_ports=parse_port_range(tenant.spec.node_port_range),
            allow_loopback=allow_loopback,
        )
    except ValueError:
        return None
