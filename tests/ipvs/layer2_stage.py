"""A link of namespaces for tests: a client and two nodes on a bridge, nothing routed but the pools.

    client ── switch ── node-1, node-2 (each holds the pools' local routes, and its kernel is silent about VIPs)

Each node speaks in a thread of its own, as in a process of its own: sockets belong to the namespace of their thread.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace, connect
from fleetlb_dataplane_programmer.layer2.interface import Layer2Interface
from fleetlb_dataplane_programmer.layer2.pacing import Pace
from fleetlb_dataplane_programmer.layer2.switches import LinkSwitches

POOLS = ("10.77.0.0/16", "fd77::/64")
DEVICE = "eth0"
PORT = 7000
SECONDS = 10.0
ONCE = Pace(rate=10_000, burst=1000, pauses=())
_ALL_FRAMES = 3
_IPV6_FREEBIND = 78


class Speaker:
    """A `Layer2Interface` at work in a namespace. Use it as a context manager."""

    def __init__(self, namespace: Namespace, pace: Pace = ONCE, device: str = DEVICE) -> None:
        self.namespace = namespace
        self._device = device
        self.may_answer = True
        self.troubles: list[str] = []
        self._pace = pace
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def own(self, *addresses: str) -> None:
        self._call(self._interface.own, addresses)

    def disown(self, *addresses: str) -> None:
        self._call(self._interface.disown, addresses)

    @property
    def mac(self) -> str:
        """What the kernel says it is."""
        return mac_in(self.namespace)

    def _call(self, change: Callable[[str], None], addresses: tuple[str, ...]) -> None:
        async def done() -> None:
            for address in addresses:
                change(address)

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(SECONDS)

    def _main(self) -> None:
        with self.namespace.entered():
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._interface = Layer2Interface(
            self._device, may_answer=lambda: self.may_answer, pace=self._pace, on_trouble=self.troubles.append
        )
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(self._interface.run())
            self._is_ready.set()
            await self._stop.wait()
            speaking.cancel()


class Stage:
    """The namespaces. To be made where no event loop runs."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.client, self.switch, *self.nodes = (
            self._stack.enter_context(Namespace(name)) for name in ("client", "switch", "node-1", "node-2")
        )
        self.switch.add_device("bridge", "bridge")
        for number, namespace in enumerate((self.client, *self.nodes)):
            self.plug(number, namespace)
        for family in ("ipv4", "ipv6"):
            self.client.sysctl(f"net.{family}.neigh.{DEVICE}.retrans_time_ms", 100)
        for pool in POOLS:
            version = "-6" if ":" in pool else "-4"
            self.client.run("ip", version, "route", "add", pool, "dev", DEVICE)
            for node in self.nodes:
                node.run("ip", version, "route", "add", "local", pool, "dev", "lo")

    def close(self) -> None:
        self._stack.close()

    def plug(self, number: int, namespace: Namespace) -> None:
        """Join a namespace with the switch: the client is number 0."""
        inside = [f"10.5.0.{number + 1}/24", f"fd05::{number + 1}/64"]
        connect(namespace, DEVICE, inside, self.switch, f"port{number}", [])
        self.switch.run("ip", "link", "set", f"port{number}", "master", "bridge")
        with namespace.entered():
            LinkSwitches(DEVICE, manage=True).start()

    def neighbour(self, address: str) -> tuple[str, str]:
        """What the client's kernel holds of a neighbour: MAC and state; empty if nothing."""
        listed = self.client.run("ip", "-j", "neigh", "show", address, "dev", DEVICE)
        [found] = json.loads(listed or "[]") or [{}]
        return found.get("lladdr", ""), " ".join(found.get("state", []))

    def forget(self, address: str) -> None:
        """Let the client hold nothing of it."""
        self.client.run("ip", "neigh", "flush", "to", address, "dev", DEVICE)

    def dial(self, address: str) -> None:
        """The client sends a datagram, which makes its kernel ask."""
        with self.client.entered(), socket.socket(_family(address), socket.SOCK_DGRAM) as made:
            made.sendto(b"hello", (address, PORT))

    async def has_passed(self, tap: socket.socket) -> list[bytes]:
        """What was sent before and came by the tap: a link keeps the order."""
        with self.tapped(self.nodes[0]) as sending:
            sending.send(b"\xff" * 6 + b"\x02fleet" + b"\x88\xb5" + bytes(46))  # an EtherType for experiments
        passed: list[bytes] = []

        def has_all() -> bool:
            passed.extend(heard(tap))
            return any(frame[12:14] == b"\x88\xb5" for frame in passed)

        await eventually(has_all)
        return passed

    @contextlib.contextmanager
    def listening(self, node: Namespace, address: str) -> Iterator[socket.socket]:
        """A socket of a node that takes datagrams for a VIP."""
        with node.entered():
            made = socket.socket(_family(address), socket.SOCK_DGRAM)
        with made:
            made.settimeout(SECONDS)
            if made.family == socket.AF_INET6:  # what is only routed here is to IPv6 no address of this host
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            made.bind((address, PORT))
            yield made

    @contextlib.contextmanager
    def tapped(self, namespace: Namespace | None = None) -> Iterator[socket.socket]:
        """A socket that hears and sends every frame of the client, or of another."""
        with (namespace or self.client).entered():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
        with made:
            made.bind((DEVICE, _ALL_FRAMES))
            made.setblocking(False)
            yield made


def has_all_multicast(namespace: Namespace) -> bool:
    """Whether the device takes every group, also one that nobody has joined."""
    words = namespace.run("ip", "-d", "link", "show", DEVICE).split()
    return words[words.index("allmulti") + 1] != "0"


def heard(tap: socket.socket) -> list[bytes]:
    """The frames that came by since the last time."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(tap.recv(2048))
    return found


async def first(tap: socket.socket, is_wanted: Callable[[bytes], bool]) -> bytes:
    """The next frame that is wanted; those before it are passed over."""
    found: list[bytes] = []

    def has_come() -> bool:
        found.extend(frame for frame in heard(tap) if is_wanted(frame))
        return bool(found)

    await eventually(has_come)
    return found[0]


def is_arp(frame: bytes, operation: int = 0) -> bool:
    """Whether it is ARP, a request (1) or reply (2) if that is asked."""
    return frame[12:14] == b"\x08\x06" and operation in (0, frame[21])


def mac_in(namespace: Namespace) -> str:
    [found] = json.loads(namespace.run("ip", "-j", "link", "show", DEVICE))
    return str(found["address"])


def groups_in(namespace: Namespace) -> set[str]:
    """The solicited-node groups that are joined on the device, as the kernel spells them."""
    with namespace.entered():
        text = Path("/proc/thread-self/net/igmp6").read_text()
    rows = [line.split() for line in text.splitlines()]
    return {row[2] for row in rows if row[1] == DEVICE and row[2].startswith("ff0200000000000000000001ff")}


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
