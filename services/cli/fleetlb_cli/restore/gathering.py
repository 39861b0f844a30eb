"""Looks at a fleet whose store went back, as an auditor does; and hears nodes and watchers besides. Writes nothing."""

import asyncio
import time

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import observed_stream, realized_stream
from fleetlb.contracts.v1 import NodeRealized, Owner, RealizedState, ServiceObserved
from fleetlb.domain.errors import Poison, Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.bus import Bus
from fleetlb_cli.audit.gathering import NODE_SUFFIX, gather, read_stream
from fleetlb_cli.audit.picture import Picture
from fleetlb_cli.restore.deciding import Names, Sight

AGAIN_SECONDS = 0.5


async def look(cluster: Cluster, bus: Bus, patience: float) -> Sight:
    """Everything as it is now; nodes that are still speaking are waited for, so many seconds. Raises FleetlbError."""
    end = time.monotonic() + patience
    while True:
        picture = await gather(cluster, bus)
        unheard = await _unheard(bus, picture)
        if not unheard or time.monotonic() > end:
            return Sight(picture=picture, names=await _names(bus, picture), unheard=unheard)
        await asyncio.sleep(AGAIN_SECONDS)


async def _unheard(bus: Bus, picture: Picture) -> tuple[str, ...]:
    """Nodes that serve more than they have told of, or have told nothing."""
    found = []
    for name, group in picture.groups.items():
        said: dict[str, int] = {}
        for message in await read_stream(bus, realized_stream(name)):
            if message.subject.endswith(NODE_SUFFIX):
                node = _node(message.data)
                if node is not None:
                    said[node.node] = node.virtual_servers
        for node_name in group.spec.nodes:
            told = sum(
                place.group == name and place.node == node_name and word.state is not RealizedState.REMOVED
                for place, word in picture.realized.items()
            )
            if node_name not in said or told < said[node_name]:
                found.append(f"balancer node {node_name} of group {name}")
    return tuple(found)


def _node(data: bytes) -> NodeRealized | None:
    try:
        return codec.decode(NodeRealized, data)
    except Poison:
        return None


async def _names(bus: Bus, picture: Picture) -> dict[Owner, Names]:
    """For readers of claims alone: a tenant whose stream cannot be read has none."""
    names: dict[Owner, Names] = {}
    for tenant in picture.tenants.values():
        if not tenant.status.account:
            continue
        try:
            messages = await read_stream(bus, observed_stream(tenant.status.account))
        except Transient:
            continue
        for message in messages:
            try:
                place = subjects.parse_observed(message.subject)
                service = codec.decode(ServiceObserved, message.data).service if place.uid else None
            except Poison:
                continue
            if service is not None:
                owner = Owner(tenant=tenant.metadata.name, cluster_uid=place.cluster, service_uid=place.uid)
                names[owner] = Names(service.namespace, service.name, service.sharing_key)
    return names
