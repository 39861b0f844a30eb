"""Looks at one Service from the hub: its objects in the management cluster, its messages in the streams. An adapter.

Writes nothing. Reads single objects and messages by their names, so it costs the same in a large fleet; only the claims
of an address that is being let go of are found by listing.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import (
    TENANT_LABEL,
    AddressClaim,
    AddressClaimSpec,
    AddressPool,
    BalancerGroup,
    LoadBalancer,
)
from fleetlb.contracts.streams import announced_stream, desired_stream, observed_stream, realized_stream
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import (
    GroupInstructed,
    Message,
    NodePresent,
    ServiceObserved,
    VipCarried,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.errors import Poison
from fleetlb.domain.planning import keys_of
from fleetlb.domain.virtual_servers import Announcement, VirtualServerKey
from fleetlb.explaining.announcing import pools_of, ways_of
from fleetlb.explaining.situation import Carrying, Presence, Said, Situation
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, ADDRESS_POOLS, BALANCER_GROUPS
from fleetlb.kube.holding import Holders
from fleetlb.kube.shown_services import Service
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.reading import Kept, last_message

M = TypeVar("M", bound=Message)


class Place(NamedTuple):
    """Whose Service, and where."""

    tenant: Tenant
    cluster: str
    uid: str
    namespace: str
    name: str
    balancer: LoadBalancer | None = None
    service: Service | None = None
    """As its tenant sees it."""
    is_tenant_seen: bool = False
    """Whether the tenant's own cluster was looked at."""


async def situation_of(cluster: Cluster, bus: Bus, place: Place, leases: Holders) -> Situation:
    """All that the hub knows of a Service. `leases`: who does the hub's work.

    Raises ApiError and Transient.
    """
    account, balancer = place.tenant.status.account, place.balancer
    observed = inventory = None
    if account:
        stream = observed_stream(account).name
        observed = await last_message(bus, stream, subjects.observed_service(account, place.cluster, place.uid))
        inventory = await last_message(bus, stream, subjects.observed_inventory(account, place.cluster))
    group = await _group(cluster, balancer)
    keys = keys_of(balancer.spec.addresses, balancer.spec.service.ports) if balancer else ()
    desired = await _desired(bus, group, keys)
    claims = await _claims(cluster, place)
    other = await _group_named(cluster, _other(claims, balancer))
    answered = [address for address, way in ways_of(desired).items() if way is Announcement.LAYER2]
    return Situation(
        tenant_name=place.tenant.metadata.name,
        namespace=place.namespace,
        name=place.name,
        now=time.time(),
        tenant=place.tenant,
        is_tenant_seen=place.is_tenant_seen,
        service=place.service,
        observed=_decoded(ServiceObserved, observed),
        watcher_heard=inventory.at if inventory else None,
        balancer=balancer,
        claims=claims,
        group=group,
        pool=await _pool(cluster, balancer),
        other=other,
        desired_there=await _desired(bus, other, keys),
        realized_there=await _realized(bus, other, keys),
        desired=desired,
        realized=await _realized(bus, group, keys),
        carried=await _carried(bus, group, answered),
        present=await _present(bus, group if answered else None),
        instructed=await _instructed(bus, group if pools_of(desired) else None),
        manager=leases.manager_of(place.tenant.metadata.name),
        status=leases.status,
    )


def _decoded(kind: type[M], kept: Kept | None) -> M | None:
    if kept is None or not kept.data:
        return None
    with suppress(Poison):
        return codec.decode(kind, kept.data)
    return None


async def _group(cluster: Cluster, balancer: LoadBalancer | None) -> BalancerGroup | None:
    return await _group_named(cluster, balancer.spec.group if balancer is not None else "")


async def _group_named(cluster: Cluster, name: str) -> BalancerGroup | None:
    if name:
        with suppress(NotFound):
            return await cluster.get(BALANCER_GROUPS, name)
    return None


def _other(claims: Sequence[AddressClaim], balancer: LoadBalancer | None) -> str:
    """The group beside a load balancer's own that its addresses name; empty: none."""
    named = [group for claim in claims for group in claim.spec.groups]
    return next((group for group in named if balancer is not None and group != balancer.spec.group), "")


async def _pool(cluster: Cluster, balancer: LoadBalancer | None) -> AddressPool | None:
    """Of all pools: few processes may read one by its name."""
    name = balancer.spec.pool if balancer is not None else ""
    pools = await cluster.list(ADDRESS_POOLS) if name else []
    return next((pool for pool in pools if pool.metadata.name == name), None)


async def _claims(cluster: Cluster, place: Place) -> tuple[AddressClaim, ...]:
    selector = f"{TENANT_LABEL}={place.tenant.metadata.name}"
    claims = await cluster.list(ADDRESS_CLAIMS, label_selector=selector)
    return tuple(claim for claim in claims if place.uid in _everybody(claim.spec))


def _everybody(spec: AddressClaimSpec) -> set[str]:
    """UIDs of those who have the address, or a part of it, or are leaving it."""
    return {owner.service_uid for owner in (spec.owner, *(share.owner for share in (*spec.sharers, *spec.leaving)))}


async def _desired(
    bus: Bus, group: BalancerGroup | None, keys: tuple[VirtualServerKey, ...]
) -> dict[VirtualServerKey, VirtualServerDesired]:
    found = {}
    for key in keys if group else ():
        name = group.metadata.name if group else ""
        kept = await last_message(bus, desired_stream(name).name, subjects.desired(name, key))
        if kept is not None and kept.data:
            with suppress(Poison):
                found[key] = codec.decode(VirtualServerDesired, kept.data)
    return found


async def _realized(
    bus: Bus, group: BalancerGroup | None, keys: tuple[VirtualServerKey, ...]
) -> dict[str, dict[VirtualServerKey, Said]]:
    found: dict[str, dict[VirtualServerKey, Said]] = {}
    for node in group.spec.nodes if group else ():
        name = group.metadata.name if group else ""
        for key in keys:
            kept = await last_message(bus, realized_stream(name).name, subjects.realized(name, node, key))
            if kept is not None and kept.data:
                with suppress(Poison):
                    word = codec.decode(VirtualServerRealized, kept.data)
                    found.setdefault(node, {})[key] = Said(word, kept.trace, kept.at)
    return found


async def _carried(bus: Bus, group: BalancerGroup | None, addresses: Sequence[str]) -> dict[str, dict[str, Carrying]]:
    found: dict[str, dict[str, Carrying]] = {}
    for node in group.spec.nodes if group else ():
        name = group.metadata.name if group else ""
        for address in addresses:
            kept = await last_message(bus, announced_stream(name).name, subjects.carried(name, node, address))
            word = _decoded(VipCarried, kept)
            if kept is not None and word is not None:
                found.setdefault(node, {})[address] = Carrying(word, kept.at)
    return found


async def _present(bus: Bus, group: BalancerGroup | None) -> dict[str, Presence]:
    found: dict[str, Presence] = {}
    for node in group.spec.nodes if group else ():
        name = group.metadata.name if group else ""
        kept = await last_message(bus, announced_stream(name).name, subjects.present(name, node))
        word = _decoded(NodePresent, kept)
        if kept is not None and word is not None:
            found[node] = Presence(word, kept.at)
    return found


async def _instructed(bus: Bus, group: BalancerGroup | None) -> GroupInstructed | None:
    if group is None:
        return None
    name = group.metadata.name
    return _decoded(GroupInstructed, await last_message(bus, announced_stream(name).name, subjects.instructed(name)))
