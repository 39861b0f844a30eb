"""Three balancer nodes of real parts in namespaces of one kernel, with IPVS, on a switch with a client.

            ┌ node-1 ┐
    client ─┼ node-2 ┼─ backend          every node ─ hub (NATS; the test is the manager)
            └ node-3 ┘

The client is on the link of the VIPs and asks by ARP and neighbour discovery. Each node's link to the client, to the
hub and to the backend can be cut alone. Must not know how a node is chosen.
"""

import asyncio
import contextlib
import json
import pathlib
import socket
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import allowed_stream, announced_stream, desired_stream, realized_stream
from fleetlb.contracts.v1 import GroupInstructed, NodePresent, VipCarried
from fleetlb.domain.routing import BgpSpeaking, PoolAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.testkit.namespaces import Namespace
from fleetlb.testkit.nats_server import NatsServer
from fleetlb.testkit.wishes import a_wish, as_message
from tests.stage.programmer_process import GROUP, Programmer

NODES = ("node-1", "node-2", "node-3")
PORT, NODE_PORT = 80, 31000
HUB, BACKEND = "10.99.0.1", {"v4": "10.20.0.9", "v6": "fd20::9"}
POOL = {"v4": "10.10.0.128/25", "v6": "fd10::80/121"}


class Way(NamedTuple):
    """How VIPs of a pool are announced, and the pool, by family."""

    announcement: Announcement
    pools: dict[str, str]


ON_LINK = Way(Announcement.LAYER2, POOL)


def vip(number: int, family: str = "v4") -> str:
    """One of the pool's addresses, the first being 0."""
    return f"fd10::{0x80 + number:x}" if family == "v6" else f"10.10.0.{128 + number}"


class BalancerGroup:
    """The network. To be made where no event loop runs; within, the thread that made it is at the hub."""

    def __init__(self) -> None:
        """Raises OSError without the right to make network namespaces."""
        self._stack = contextlib.ExitStack()
        self.hub, self.switch, self.client, self.backend, *nodes = (
            self._stack.enter_context(Namespace(name)) for name in ("hub", "switch", "client", "backend", *NODES)
        )
        self.nodes = dict(zip(NODES, nodes, strict=True))
        for namespace, bridge in ((self.hub, "hub"), (self.switch, "lan"), (self.backend, "back")):
            namespace.add_device(bridge, "bridge")
            # Its own, or it would have another one with each port that comes or goes, and be lost to all others.
            namespace.run("ip", "link", "set", bridge, "address", "02:00:00:00:00:01")
        self.hub.address("hub", f"{HUB}/24")
        for address in BACKEND.values():
            self.backend.address("back", f"{address}/{64 if ':' in address else 24}")
        self.plug(self.switch, "lan", self.client, ("10.10.0.9/24", "fd10::9/64"))
        for number, node in enumerate(nodes, start=1):
            self.plug(self.switch, "lan", node, (f"10.10.0.{number}/24", f"fd10::{number}/64"))
            self.plug(self.hub, "hub", node, (f"10.99.0.1{number}/24",))
            self.plug(self.backend, "back", node, (f"10.20.0.{number}/24", f"fd20::{number}/64"))

        self.macs = {_mac(node): name for name, node in self.nodes.items()}
        """By which hardware address the client knows which node."""

    def __enter__(self) -> Self:
        self._stack.enter_context(self.hub.entered())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @contextlib.asynccontextmanager
    async def serving(self, family: str = "v4") -> AsyncIterator[None]:
        """The backend answers each line with itself, until the connection ends."""
        with self.backend.entered():
            listening = socket.create_server(
                (BACKEND[family], NODE_PORT), family=socket.AF_INET6 if family == "v6" else socket.AF_INET
            )
        server = await asyncio.start_server(_echo, sock=listening)
        try:
            yield
        finally:
            server.close()

    @contextlib.asynccontextmanager
    async def connection(
        self, address: str, source: str = ""
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of the client to a VIP, from this address of its own or any. Raises OSError."""
        with self.client.entered():
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            if source:
                made.bind((source, 0))
        made.setblocking(False)
        with contextlib.closing(made):
            await asyncio.get_running_loop().sock_connect(made, (address, PORT))
            reader, writer = await asyncio.open_connection(sock=made)
            with contextlib.closing(writer):
                yield reader, writer

    def settings_of(self, node: str) -> dict[str, str]:
        """More of the environment of a node's programmer."""
        return {}

    def cut(self, node: str, link: str) -> None:
        """Take a node's link `lan`, `hub` or `back` down; `mend` brings it back."""
        self.nodes[node].down(link)

    def mend(self, node: str, link: str) -> None:
        """Undo `cut`."""
        self.nodes[node].up(link)
        if link == "lan":  # a device that goes down loses its IPv6 addresses
            self.nodes[node].run("ip", "address", "replace", f"fd10::{node[-1]}/64", "dev", "lan", "nodad")

    def plug(self, switch: Namespace, bridge: str, member: Namespace, addresses: tuple[str, ...]) -> None:
        """Join a namespace to a bridge by a device of that name; the bridge's port is `to-` and the member's name."""
        port = f"to-{member.name}"
        switch.add_pair(port, member, bridge)
        switch.run("ip", "link", "set", port, "master", bridge)
        switch.up(port)
        member.up(bridge)
        for address in addresses:
            member.address(bridge, address)


def _mac(node: Namespace) -> bytes:
    [found] = json.loads(node.run("ip", "-j", "link", "show", "lan"))
    return bytes.fromhex(found["address"].replace(":", ""))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float = 30.0) -> bool:
    """Whether a line over a connection comes back."""
    writer.write(b"hello\n")
    async with asyncio.timeout(seconds):
        return await reader.readline() == b"hello\n"


class Running:
    """A group at work: NATS, three programmers, and the test as their manager."""

    def __init__(self, network: BalancerGroup, nats: NatsServer, bus: JetStreamBus, folder: pathlib.Path) -> None:
        self.network, self.nats, self.bus = network, nats, bus
        self.programmers = {
            name: Programmer(name, place, folder / name, nats, **network.settings_of(name))
            for name, place in network.nodes.items()
        }
        self.bgp: BgpSpeaking | None = None
        self.members: tuple[str, ...] = NODES
        self.pools: tuple[PoolAttributes, ...] = ()
        """What the next instruction says, all of them."""
        self.said: dict[tuple[str, str], VipCarried] = {}
        """(node, VIP) to what the node said last of it."""
        self._present: dict[str, NodePresent] = {}
        self._drains = 0

    def owners(self, address: str) -> list[str]:
        """Who announces a VIP by his own word."""
        return [node for node in NODES if (said := self.said.get((node, address))) and said.announced]

    async def wish(
        self,
        address: str,
        *,
        serves: bool = True,
        revision: int = 1,
        way: Way = ON_LINK,
        protocol: str = "tcp",
        **fields: object,
    ) -> None:
        """Have every node serve a VIP, or let go of it. `fields`: of its virtual server, other than usual."""
        family = "v6" if ":" in address else "v4"
        host = f"[{address}]" if family == "v6" else address
        backend = f"[{BACKEND[family]}]" if family == "v6" else BACKEND[family]
        made = a_wish(f"{host}:{PORT}/{protocol}", [f"{backend}:{NODE_PORT}"] if serves else None, revision=revision)
        if made.server is not None:
            server = msgspec.structs.replace(
                made.server, prefix=way.pools[family], announcement=way.announcement, **fields
            )
            made = msgspec.structs.replace(made, server=server)
        message = as_message(made)
        await self.bus.publish(message.subject, message.data, message_id=f"{made.key}-{revision}")

    async def drain(self, *nodes: str) -> None:
        """Have these nodes emptied, and no others; and say `bgp` and `pools` to all."""
        self._drains += 1
        message = GroupInstructed(
            group=GROUP,
            generation=1,
            revision=self._drains,
            nodes=self.members,
            draining=nodes,
            bgp=self.bgp,
            pools=self.pools,
        )
        await self.bus.publish(subjects.instructed(GROUP), codec.encode(message), message_id=f"drain-{self._drains}")

    def is_draining(self, node: str) -> bool:
        """Whether a node says so."""
        return node in self._present and self._present[node].draining

    def tell(self) -> None:
        """Print what the nodes said last, on the bus and in their logs."""
        print(*self.said.values(), *self._present.values(), sep="\n")
        for programmer in self.programmers.values():
            print(programmer.name, *programmer.log.read_text().splitlines()[-12:], sep="\n")

    async def follow(self) -> None:
        """Read what is announced, for ever."""
        await self.bus.replay_and_follow(
            announced_stream(GROUP).name,
            subjects.announced_of(GROUP),
            self._on_message,
            on_replayed=lambda: None,
            on_restart=self.said.clear,
        )

    def _on_message(self, message: Message) -> None:
        if ".vip." in message.subject:
            word = codec.decode(VipCarried, message.data)
            self.said[word.node, word.address] = word
        else:
            present = codec.decode(NodePresent, message.data)
            self._present[present.node] = present


@contextlib.asynccontextmanager
async def running_group(network: BalancerGroup, folder: pathlib.Path) -> AsyncIterator[Running]:
    """NATS in the hub, and a programmer on each node."""
    (folder / "nats").mkdir()
    nats = NatsServer(folder / "nats", host=HUB)
    nats.start()
    try:
        async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
            bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds, name="test")
            stack.push_async_callback(bus.close)
            for spec in (desired_stream, allowed_stream, realized_stream, announced_stream):
                await bus.ensure_stream(spec(GROUP))
            group = Running(network, nats, bus, folder)
            stack.callback(tasks.create_task(group.follow()).cancel)
            for programmer in group.programmers.values():
                stack.callback(programmer.kill)
                programmer.start()
            try:
                yield group
            except BaseException:
                group.tell()
                raise
    finally:
        nats.kill()
