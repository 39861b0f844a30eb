"""Three servers that hold each stream together: with the one that leads, nothing is lost that was acknowledged."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import Misconfigured
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_config import ServerConfig, ServerRoutes, server_config
from fleetlb.testkit.nats_server import NatsServer
from fleetlb_cli.hub import minting
from fleetlb_cli.local.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=1_000_000, max_message_bytes=1000)
NAMES = ("n1", "n2", "n3")
PATIENCE = 60.0


class Cluster:
    """Three servers of one hub on this host."""

    def __init__(self, folder: Path) -> None:
        seeds = minting.new_seeds()
        accounts = minting.accounts(seeds, "test", int(time.time()))
        self.hub_creds = folder / "hub.creds"
        self.hub_creds.write_text(minting.user("hub", seeds.hub, int(time.time())))
        self.ports = {name: free_port() for name in NAMES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        peers = tuple(free_port() for _ in NAMES)
        for name, port in zip(NAMES, peers, strict=True):
            (folder / name).mkdir()
            config = ServerConfig(
                name=name,
                operator_jwt=accounts.operator_jwt,
                system_account=accounts.system,
                accounts=accounts.preloaded,
                directory=folder / name,
                port=self.ports[name],
                routes=ServerRoutes(cluster=folder.name, port=port, peers=peers),
            )
            (folder / name / "nats.conf").write_text(server_config(config))
        self._folder = folder

    @property
    def url(self) -> str:
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports.values())

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            binary = Path(sys.executable).with_name("nats-server")
            configuration = self._folder / name / "nats.conf"
            self._running[name] = subprocess.Popen([binary, "-c", configuration], stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        child = self._running.pop(name)
        assert child.poll() is None, f"{name} had ended by itself"
        child.kill()
        child.wait(10)

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    for name in NAMES:
        made.start(name)
    yield made
    made.stop()


@contextlib.asynccontextmanager
async def hub_on(url: str, creds: Path, replicas: int) -> AsyncIterator[JetStreamBus]:
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(url, tasks=tasks, creds=creds)
        bus.replicate(replicas)
        yield bus
        await bus.close()


async def patiently(work: Any) -> Any:
    """What a manager does: again, until it works."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await work()
        except FleetlbError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def info(bus: JetStreamBus) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await bus.request("$JS.API.STREAM.INFO.S", b""))
    return found


async def test_the_leader_is_lost_and_nothing_that_was_acknowledged_with_it(cluster: Cluster) -> None:
    async with hub_on(cluster.url, cluster.hub_creds, replicas=3) as bus:
        await patiently(lambda: bus.ensure_stream(SPEC))
        acks = [await patiently(lambda n=n: bus.publish(f"s.{n}", b"x", message_id=str(n))) for n in range(20)]
        assert len({ack.sequence for ack in acks}) == 20
        assert (await info(bus))["config"]["num_replicas"] == 3
        cluster.kill((await info(bus))["cluster"]["leader"])
        ack = await patiently(lambda: bus.publish("s.after", b"x", message_id="after"))
        state = (await patiently(lambda: info(bus)))["state"]
        assert (state["messages"], state["last_seq"]) == (21, ack.sequence)


async def test_a_stream_of_one_server_is_spread_when_that_is_asked_for_and_never_drawn_back(cluster: Cluster) -> None:
    async with hub_on(cluster.url, cluster.hub_creds, replicas=1) as bus:
        await patiently(lambda: bus.ensure_stream(SPEC))
        await patiently(lambda: bus.publish("s.1", b"x", message_id="1"))
        bus.replicate(3)
        await patiently(lambda: bus.ensure_stream(SPEC))
        assert (await info(bus))["config"]["num_replicas"] == 3
        bus.replicate(1)
        await patiently(lambda: bus.ensure_stream(SPEC))
        found = await info(bus)
        assert (found["config"]["num_replicas"], found["state"]["messages"]) == (3, 1)


async def test_one_server_alone_says_what_it_cannot_do(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with hub_on(server.url, server.hub_creds, replicas=3) as bus:
            with pytest.raises((Misconfigured, Transient), match="replicas > 1"):
                await bus.ensure_stream(SPEC)
    finally:
        server.stop()
