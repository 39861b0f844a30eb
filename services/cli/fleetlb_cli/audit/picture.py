"""What an auditor looks at: a fleet's objects and the last messages of its streams, at about one moment. Values."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, ClaimPhase, ClaimShare, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import Owner, RealizedState, VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey


class Place(NamedTuple):
    """A virtual server on one node; for what is desired of all nodes of a group, `node` is empty."""

    group: str
    node: str
    key: VirtualServerKey


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once."""

    taken_at: float
    """Seconds since 1970."""
    tenants: Mapping[str, Tenant]
    pools: Mapping[str, AddressPool]
    groups: Mapping[str, BalancerGroup]
    claims: Mapping[str, AddressClaim]
    """By address."""
    load_balancers: tuple[LoadBalancer, ...]
    desired: Mapping[Place, VirtualServerDesired]
    realized: Mapping[Place, VirtualServerRealized]
    unreadable: tuple[str, ...] = ()
    """Subjects of messages that cannot be read."""


class Finding(msgspec.Struct, frozen=True, order=True):
    """One promise that does not hold."""

    invariant: str
    about: str
    text: str


def owner_of(item: LoadBalancer) -> Owner:
    """Whose load balancer it is."""
    return Owner(tenant=item.spec.tenant, cluster_uid=item.spec.cluster_uid, service_uid=item.metadata.name)


def shares_of(claim: AddressClaim) -> tuple[ClaimShare, ...]:
    """Who has the address, and which ports of it: one, or several who share it."""
    return (ClaimShare(owner=claim.spec.owner, ports=claim.spec.ports), *claim.spec.sharers)


def claimant(share: ClaimShare) -> Owner:
    """Whose a share of an address is."""
    owner = share.owner
    return Owner(tenant=owner.tenant, cluster_uid=owner.cluster_uid, service_uid=owner.service_uid)


def claimants(claim: AddressClaim) -> tuple[Owner, ...]:
    """Whose address it is."""
    return tuple(claimant(share) for share in shares_of(claim))


def named(item: LoadBalancer) -> str:
    """A load balancer as people know it."""
    service = item.spec.service
    return f"{item.spec.tenant}/{service.namespace}/{service.name}"


def keys_of(item: LoadBalancer) -> Iterator[VirtualServerKey]:
    """Every virtual server of a load balancer."""
    for address in item.spec.addresses:
        for port in item.spec.service.ports:
            yield VirtualServerKey(address, port.port, Protocol(port.protocol))


def is_bound(claim: AddressClaim | None) -> bool:
    """Whether an address is in use."""
    return claim is not None and claim.spec.phase is ClaimPhase.BOUND


def serving_places(picture: Picture) -> Iterator[tuple[Place, VirtualServerRealized]]:
    """Every virtual server that a node of its group says it serves."""
    for place, realized in picture.realized.items():
        group = picture.groups.get(place.group)
        if realized.state is RealizedState.PROGRAMMED and group is not None and place.node in group.spec.nodes:
            yield place, realized
