"""A balancer node of real parts, a programmer process and its Envoy, on a real bus where a test is the manager."""

import asyncio
import contextlib
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable

import aiohttp

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import allowed_stream, announced_stream, desired_stream, realized_stream
from fleetlb.contracts.v1 import GroupInstructed, NodeRealized, Probe, VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.signing import signed
from fleetlb.testkit.envoy_process import ENVOY, EnvoyProcess
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer
from fleetlb.testkit.wishes import as_message
from fleetlb_dataplane_programmer.envoy.bootstrap import command

COMMAND = pathlib.Path(sys.executable).with_name("fleetlb-dataplane-programmer")
DESIRED, ALLOWED, REALIZED = desired_stream("default"), allowed_stream("default"), realized_stream("default")
ANNOUNCED = announced_stream("default")
# A /24 of loopback per process, so that concurrent runs do not meet.
HOSTS = (f"127.{150 + os.getpid() // 250 % 50}.{os.getpid() % 250}.{host}" for host in itertools.cycle(range(1, 255)))


class Programmer:
    """The programmer as a process."""

    def __init__(self, folder: pathlib.Path, nats_url: str, nats_creds: pathlib.Path) -> None:
        """Not yet started. `folder` keeps its state and log over restarts."""
        self.state = folder / "state"
        self.log = folder / "programmer.log"
        self.environ = {
            "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0",
            "FLEETLB_NATS_URL": nats_url,
            "FLEETLB_NATS_CREDS": str(nats_creds),
            "FLEETLB_NODE": "node-1",
            "FLEETLB_STATE_DIR": str(self.state),
            "FLEETLB_ADS_SOCKET": str(folder / "ads"),
            "FLEETLB_ENVOY_ADMIN": str(folder / "admin"),
            "FLEETLB_ALLOW_LOOPBACK_BACKENDS": "true",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """A run that ends by itself."""
        line = [str(COMMAND), *arguments]
        return subprocess.run(line, env=self.environ | environ, capture_output=True, text=True, timeout=20, check=False)

    def bootstrap(self) -> dict[str, object]:
        """What its Envoy is to be started with."""
        printed = self.run("--envoy-bootstrap")
        assert printed.returncode == 0, printed.stderr
        made: dict[str, object] = json.loads(printed.stdout)
        return made

    @property
    def pid(self) -> int:
        assert self._process is not None, "the programmer is not started"
        return self._process.pid

    def start(self) -> None:
        """Start it; `ready` waits for it."""
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([COMMAND], env=self.environ, stdout=log, stderr=log)

    async def ready(self) -> None:
        """Return when it says that it is ready."""
        async with asyncio.timeout(20):
            while await self.page("/readyz") != 200:
                assert self._process is not None
                assert self._process.poll() is None, f"it ended:\n{self.text()[-3000:]}"
                await asyncio.sleep(0.02)

    async def page(self, path: str) -> int:
        """The status of one of its pages; 0 if it does not answer."""
        address = self._address()
        if address is None:
            return 0
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def metrics(self) -> dict[str, float]:
        """Its metrics by name and labels."""
        address = self._address()
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as response:
            lines = [line.rpartition(" ") for line in (await response.text()).splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}

    def text(self) -> str:
        """What this run has logged."""
        return self.log.read_bytes()[self._read_from :].decode()

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _address(self) -> str | None:
        found = re.search(r'"http":\s*\["(\S+?)"', self.text())
        return found[1] if found else None

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=15)


class BalancerNode:
    """All parts, and what the hub holds of the node."""

    def __init__(self, folder: pathlib.Path, bus: JetStreamBus, nats: NatsServer) -> None:
        self.nats = nats
        self.bus = bus
        self.programmer = Programmer(folder, nats.url, nats.hub_creds)
        self.envoy = EnvoyProcess(folder, self.programmer.bootstrap(), functools.partial(command, ENVOY, concurrency=1))
        self.realized: dict[VirtualServerKey, VirtualServerRealized] = {}
        self.said: list[VirtualServerRealized] = []
        self.node: NodeRealized | None = None
        self.nodes: list[NodeRealized] = []
        self._instructed = 0

    async def wish(self, *wishes: VirtualServerDesired) -> None:
        """Publish as the manager does."""
        async with asyncio.TaskGroup() as tasks:
            for wish in wishes:
                message = as_message(wish)
                name = f"{wish.key}-{wish.generation}-{wish.revision}"
                tasks.create_task(self.bus.publish(message.subject, message.data, message_id=name))

    async def instruct(self, *nodes: str, draining: tuple[str, ...] = ()) -> bytes:
        """Say as the manager does which nodes the group has; the message that did."""
        self._instructed += 1
        said = GroupInstructed(group="default", generation=1, revision=self._instructed, nodes=nodes, draining=draining)
        body = signed(said, self.nats.operator_seed)
        await self.put_instruction(body)
        return body

    async def put_instruction(self, body: bytes) -> None:
        """Have this stand where nodes read what their group is told."""
        await self.bus.publish(subjects.instructed("default"), body, message_id="")

    async def until(self, key: VirtualServerKey, revision: int, probe: Probe, seconds: float = 10.0) -> None:
        """Wait until the hub holds this word."""
        await eventually(lambda: self.holds(key, revision, probe), seconds)

    def holds(self, key: VirtualServerKey, revision: int, probe: Probe) -> bool:
        realized = self.realized.get(key)
        return realized is not None and (realized.revision, realized.probe) == (revision, probe)

    async def streams(self) -> None:
        """Make the streams, as the manager does."""
        for spec in (DESIRED, ALLOWED, REALIZED, ANNOUNCED):
            await self.bus.ensure_stream(spec)

    async def follow(self) -> None:
        """Read what the node realized, for ever."""
        await self.bus.replay_and_follow(
            REALIZED.name,
            subjects.realized_of("default"),
            self._on_message,
            on_replayed=lambda: None,
            on_restart=self.realized.clear,
        )

    def _on_message(self, message: Message) -> None:
        if message.subject.endswith(".node"):
            self.node = codec.decode(NodeRealized, message.data)
            self.nodes.append(self.node)
        else:
            realized = codec.decode(VirtualServerRealized, message.data)
            self.said.append(realized)
            self.realized[realized.key] = realized


@contextlib.asynccontextmanager
async def balancer_node(*, streams: bool = True, has_key: bool = False) -> AsyncIterator[BalancerNode]:
    """A bus, an Envoy and a programmer, all running. `has_key`: it asks for the signature of the bus's operator."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="flb"))  # a unix socket's path must be short
    (folder / "nats").mkdir()
    nats = NatsServer(folder / "nats")
    try:
        nats.start()
        async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
            bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="test")
            stack.push_async_callback(bus.close)
            node = BalancerNode(folder, bus, nats)
            if has_key:
                node.programmer.environ["FLEETLB_NATS_OPERATOR_KEY"] = public_key(nats.operator_seed)
            stack.callback(node.programmer.kill)
            stack.push_async_callback(node.envoy.stop)
            if streams:
                await node.streams()
            following = tasks.create_task(node.follow())
            stack.callback(following.cancel)
            await node.envoy.start()
            node.programmer.start()
            await node.programmer.ready()
            yield node
    finally:
        nats.kill()
        shutil.rmtree(folder)


def keys(count: int, *, port: int = 20443, protocol: str = "tcp") -> Iterable[str]:
    """Fresh keys."""
    return [f"{next(HOSTS)}:{port}/{protocol}" for _ in range(count)]
