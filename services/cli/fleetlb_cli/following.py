"""Which balancer nodes follow the hub right now, as NATS knows it of who reads a stream. An adapter; writes nothing."""

import asyncio

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.streams import realized_stream
from fleetlb.runtime.bus import Bus, StreamMissing
from fleetlb.runtime.jetstream_api import API, read
from fleetlb.runtime.reading import ASK_SECONDS

LOOKS, LOOK_AGAIN_SECONDS = 3, 0.2
"""A follower that just got a message asks for the next in a moment, so one look may miss it."""


async def following_nodes(bus: Bus, group: BalancerGroup) -> frozenset[str]:
    """Which nodes of a group follow what the hub holds of them, right now. Raises Transient."""
    name = group.metadata.name
    wanted = {subjects.realized_by(name, node): node for node in group.spec.nodes}
    found: set[str] = set()
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        waiting = await _followers(bus, realized_stream(name).name)
        found |= {node for subject, node in wanted.items() if subject in waiting}
        if len(found) == len(wanted):
            break
    return frozenset(found)


class _Config(msgspec.Struct):
    filter_subject: str = ""


class _Consumer(msgspec.Struct):
    config: _Config
    num_waiting: int = 0
    """Requests for messages of a follower that is there."""


class _Consumers(msgspec.Struct):
    total: int
    consumers: list[_Consumer] | None = None


async def _followers(bus: Bus, stream: str) -> set[str]:
    """What is followed of a stream, as the subjects that are filtered by."""
    found: list[_Consumer] = []
    while True:
        body = msgspec.json.encode({"offset": len(found)})
        try:
            page = read(await bus.request(f"{API}.CONSUMER.LIST.{stream}", body, ASK_SECONDS), _Consumers)
        except StreamMissing:
            return set()
        found.extend(page.consumers or ())
        if not page.consumers or len(found) >= page.total:
            return {each.config.filter_subject for each in found if each.num_waiting}
