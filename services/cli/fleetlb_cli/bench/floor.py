"""Single hops measured alone, in the same run: what the whole way would cost if every part of ours cost nothing."""

import asyncio
import time
from pathlib import Path

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import MIB, StreamSpec
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.resources import Object, Resource
from fleetlb.runtime.jetstream import JetStreamBus

CONFIG_MAPS: Resource[Object] = Resource("", "v1", "configmaps", dict, kind_name="ConfigMap")
SCRATCH = StreamSpec(
    name="FLEETLB_BENCH", subjects=(f"{subjects.ROOT}.bench",), max_bytes=MIB, max_message_bytes=MIB // 4
)
"""A stream of the benchmark's own, so that no service reads what it publishes."""


class HopFloor(msgspec.Struct, frozen=True):
    """Milliseconds of each bare hop."""

    create: tuple[float, ...]
    patch: tuple[float, ...]
    publish: tuple[float, ...]

    def sum_of_hops(self) -> float:
        """A Service's way: its own create, two more creates and two patches in a row, and four messages."""
        median = [sorted(series)[len(series) // 2] for series in (self.create, self.patch, self.publish)]
        return 3 * median[0] + 2 * median[1] + 4 * median[2]


async def measure_hops(
    cluster: Cluster, namespace: str, url: str, creds: Path, count: int, tasks: asyncio.TaskGroup
) -> HopFloor:
    """Bare creates, patches and acknowledged publishes, one at a time."""
    creates, patches, publishes = [], [], []
    for number in range(count):
        name = f"hop-{time.time_ns()}-{number}"
        item = {"metadata": {"name": name, "namespace": namespace}, "data": {"size": "x" * 600}}
        creates.append(await _timed(cluster.create(CONFIG_MAPS, item)))
        body = {"data": {"changed": "yes"}}
        patching = cluster.patch(CONFIG_MAPS, name, body, kind=PatchKind.MERGE, namespace=namespace)
        patches.append(await _timed(patching))
        await cluster.delete(CONFIG_MAPS, name, namespace)
    bus = await JetStreamBus.connect(url, tasks=tasks, creds=creds, name="fleetlb-bench")
    try:
        await bus.ensure_stream(SCRATCH)
        for number in range(count):
            message_id = f"bench-{time.time_ns()}-{number}"
            publishes.append(await _timed(bus.publish(SCRATCH.subjects[0], b"x" * 600, message_id=message_id)))
    finally:
        await bus.close()
    return HopFloor(tuple(creates), tuple(patches), tuple(publishes))


async def _timed(awaitable) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    await awaitable
    return (time.perf_counter() - started) * 1000
