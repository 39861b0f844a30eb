"""Reads what is to be known of a whole fleet: lists of objects, and of NATS who follows. An adapter; writes nothing.

It reads no stream, so it costs one list of each kind and a few requests, however much is served.
"""

import time
from collections.abc import Iterable

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import observed_stream
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from fleetlb.kube.holding import STATUS, held, managers
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.reading import last_message
from fleetlb_cli.following import following_nodes
from fleetlb_cli.reaching import Hub
from fleetlb_cli.status.sight import Sight

NATS_SECONDS = 3.0
"""So long NATS may take to answer until the fleet is shown without it."""


async def gather(cluster: Cluster, hub: Hub, nats: str, namespace: str) -> Sight:
    """Everything as it is now. `nats`: where it is; `namespace`: of the Leases. Raises ApiError."""
    tenants, clusters = await cluster.list(TENANTS), await cluster.list(TENANT_CLUSTERS)
    groups = await cluster.list(BALANCER_GROUPS)
    seen = Sight(
        taken_at=time.time(),
        tenants=tuple(tenants),
        clusters=tuple(clusters),
        load_balancers=tuple(await cluster.list(LOAD_BALANCERS)),
        pools=tuple(await cluster.list(ADDRESS_POOLS)),
        groups=tuple(groups),
        managers=await managers(cluster, namespace),
        status=await held(cluster, namespace, STATUS),
        nats=nats,
    )
    bus = await hub.bus(NATS_SECONDS)
    if bus is None:
        return msgspec.structs.replace(seen, nats_problem=hub.problem)
    try:
        following = {group.metadata.name: await following_nodes(bus, group) for group in groups}
        watchers = await heard_watchers(bus, tenants, clusters)
    except FleetlbError as problem:
        return msgspec.structs.replace(seen, nats_problem=str(problem))
    return msgspec.structs.replace(seen, following=following, watchers=watchers, taken_at=time.time())


async def heard_watchers(bus: Bus, tenants: Iterable[Tenant], clusters: Iterable[TenantCluster]) -> dict[str, float]:
    """Cluster to when its watcher last said that it lives, in seconds since 1970. Raises Transient."""
    accounts = {tenant.metadata.name: tenant.status.account for tenant in tenants}
    found = {}
    for each in clusters:
        account = accounts.get(each.spec.tenant)
        if account:
            subject = subjects.observed_inventory(account, each.metadata.name)
            kept = await last_message(bus, observed_stream(account).name, subject)
            if kept is not None:
                found[each.metadata.name] = kept.at
    return found
