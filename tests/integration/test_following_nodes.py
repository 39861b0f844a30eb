"""Whether a balancer node follows the hub, as `fleetlb status` asks a real NATS server, also of one that was killed."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetlb.contracts.streams import realized_stream
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.testkit.load_balancers import a_group
from fleetlb.testkit.nats_server import NatsServer
from fleetlb_cli.following import following_nodes

pytestmark = pytest.mark.integration

PATIENCE = 20.0
GROUP = a_group("node-1", "node-2")
FOLLOWER = """
import asyncio, sys
from pathlib import Path
from fleetlb.contracts import subjects
from fleetlb.contracts.streams import realized_stream
from fleetlb.runtime.jetstream import JetStreamBus

async def follow(url, creds, node):
    nothing = lambda *_: None
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(url, tasks=tasks, creds=Path(creds))
        await bus.replay_and_follow(realized_stream("default").name, subjects.realized_by("default", node), nothing,
                                    on_replayed=nothing, on_restart=nothing)

asyncio.run(follow(*sys.argv[1:]))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    nats = NatsServer(tmp_path)
    nats.start()
    yield nats
    nats.stop()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(server.url, tasks=tasks, creds=server.hub_creds)
        yield bus
        await bus.close()


async def are(bus: Bus, wanted: set[str]) -> None:
    end = time.monotonic() + PATIENCE
    while (found := await following_nodes(bus, GROUP)) != wanted:
        assert time.monotonic() < end, f"{set(found)} follow, and not {wanted}"


async def test_who_follows_is_known_and_who_was_killed_does_not(server: NatsServer, bus: Bus) -> None:
    await are(bus, set())  # there is not even a stream
    await bus.ensure_stream(realized_stream("default"))
    command = [sys.executable, "-c", FOLLOWER, server.url, str(server.hub_creds)]
    nodes = {node: subprocess.Popen([*command, node]) for node in GROUP.spec.nodes}
    try:
        await are(bus, {"node-1", "node-2"})
        nodes["node-1"].send_signal(signal.SIGKILL)
        await are(bus, {"node-2"})
    finally:
        for node in nodes.values():
            node.kill()
            node.wait()
