"""Takes a picture of a live fleet: lists its objects, and reads its streams once. An adapter; writes nothing."""

import asyncio
import time
from typing import Generic, TypeVar

from fleetlb.contracts import codec
from fleetlb.contracts.streams import StreamSpec, desired_stream, realized_stream
from fleetlb.contracts.v1 import Message as Content
from fleetlb.contracts.v1 import VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.errors import Poison, Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS, TENANTS
from fleetlb.runtime.bus import Bus, Message
from fleetlb_cli.audit.picture import Picture, Place

M = TypeVar("M", bound=Content)
STREAM_SECONDS = 30.0
NODE_SUFFIX = ".node"


async def gather(cluster: Cluster, bus: Bus) -> Picture:
    """Everything as it is now. Raises ApiError, or Transient for a stream that cannot be read."""
    groups = {group.metadata.name: group for group in await cluster.list(BALANCER_GROUPS)}
    claims = await cluster.list(ADDRESS_CLAIMS)
    balancers = await cluster.list(LOAD_BALANCERS)
    pools = await cluster.list(ADDRESS_POOLS)
    tenants = await cluster.list(TENANTS)
    desired, realized = _Last(VirtualServerDesired), _Last(VirtualServerRealized)
    for group in groups:
        await desired.read(bus, group, desired_stream(group))
        await realized.read(bus, group, realized_stream(group))
    return Picture(
        taken_at=time.time(),
        tenants={tenant.metadata.name: tenant for tenant in tenants},
        pools={pool.metadata.name: pool for pool in pools},
        groups=groups,
        claims={claim.spec.address: claim for claim in claims},
        load_balancers=tuple(balancers),
        desired={Place(group, "", wish.key): wish for group, wish in desired.found},
        realized={Place(group, outcome.node, outcome.key): outcome for group, outcome in realized.found},
        unreadable=(*desired.unreadable, *realized.unreadable),
    )


class _Last(Generic[M]):
    """The last messages of one kind, of several groups."""

    def __init__(self, kind: type[M]) -> None:
        self.found: list[tuple[str, M]] = []
        self.unreadable: list[str] = []
        self._kind = kind

    async def read(self, bus: Bus, group: str, spec: StreamSpec) -> None:
        """All that a group's stream holds now. Raises Transient."""
        for message in await read_stream(bus, spec):
            if message.subject.endswith(NODE_SUFFIX):
                continue
            try:
                self.found.append((group, codec.decode(self._kind, message.data)))
            except Poison:
                self.unreadable.append(message.subject)


async def read_stream(bus: Bus, spec: StreamSpec) -> list[Message]:
    """The last message of every subject. Raises Transient."""
    found: list[Message] = []
    replayed = asyncio.Event()
    try:
        async with asyncio.timeout(STREAM_SECONDS), asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(
                bus.replay_and_follow(
                    spec.name, spec.subjects[0], found.append, on_replayed=replayed.set, on_restart=found.clear
                )
            )
            await replayed.wait()
            whole = tuple(found)
            follower.cancel()
    except TimeoutError:
        raise Transient(
            f"stream {spec.name} could not be read in {STREAM_SECONDS:g} s: is the manager running?"
        ) from None
    return list(whole)
