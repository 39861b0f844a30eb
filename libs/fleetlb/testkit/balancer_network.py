"""A small network around balancer nodes, of namespaces: a client, nodes that know a pool, backends that echo.

    client ── node (each holds the pool's local routes) ── every backend
       └──────────────── every backend's own way back ───────┘

Backends answer over the node unless `answers_directly`. v4 and v6 throughout; VIPs are 10.77.0.0/16 and fd77::/64.
Must not know the engine.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

from fleetlb.testkit.namespaces import Namespace, connect

POOLS = ("10.77.0.0/16", "fd77::/64")
SECONDS = 5.0
_IPV6_FREEBIND = 78
_NODE_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.vs.expire_nodest_conn": 1,
    "net.ipv4.vs.expire_quiescent_template": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
}


class Network:
    """The namespaces. To be made where no event loop runs."""

    def __init__(
        self, *, nodes: int = 1, backends: int = 3, answers_directly: bool = False, routed: bool = True
    ) -> None:
        """`routed`: the nodes hold the pools' routes and sysctls already, as far as a test is not about them."""
        self._stack = contextlib.ExitStack()
        self.client = self._stack.enter_context(Namespace("client"))
        self.nodes = [self._stack.enter_context(Namespace(f"node-{n}")) for n in range(1, nodes + 1)]
        self.backends = [self._stack.enter_context(Namespace(f"backend-{b}")) for b in range(1, backends + 1)]
        self.client.sysctl("net.ipv4.conf.all.rp_filter", 0)
        self.client.sysctl("net.ipv4.conf.default.rp_filter", 0)
        for n, node in enumerate(self.nodes, start=1):
            self._join_node(n, node, routed=routed)
        for b, backend in enumerate(self.backends, start=1):
            self._join_backend(b, backend, answers_directly=answers_directly)
        self.steer(1)

    def close(self) -> None:
        """Take it down."""
        self._stack.close()

    @staticmethod
    def real_address(backend: int, *, v6: bool = False) -> str:
        """Where backend number so-and-so listens; the first is 1."""
        return f"fd20:{backend}::2" if v6 else f"10.20.{backend}.2"

    @staticmethod
    def client_address(*, v6: bool = False) -> str:
        """Whom the backends should see."""
        return "fd40::2" if v6 else "10.40.0.2"

    def steer(self, node: int) -> None:
        """Let the client's packets to the pools go by this node, the first being 1."""
        for pool, via in zip(POOLS, (f"10.10.{node}.1", f"fd10:{node}::1"), strict=True):
            source = self.client_address(v6=":" in pool)
            self.client.run("ip", "route", "replace", pool, "via", via, "src", source)

    def _join_node(self, n: int, node: Namespace, *, routed: bool) -> None:
        inside = [f"10.10.{n}.2/24", f"fd10:{n}::2/64"]
        connect(node, "front", [f"10.10.{n}.1/24", f"fd10:{n}::1/64"], self.client, f"node{n}", inside)
        if n == 1:
            for address in ("10.40.0.2/32", "fd40::2/128"):
                self.client.address("lo", address)
        node.route("10.40.0.0/24", f"10.10.{n}.2")
        node.route("fd40::/64", f"fd10:{n}::2")
        if routed:
            for name, value in _NODE_SYSCTLS.items():
                node.sysctl(name, value)
            for pool in POOLS:
                family = ["-6"] if ":" in pool else []
                node.run("ip", *family, "route", "add", "local", pool, "dev", "lo")

    def _join_backend(self, b: int, backend: Namespace, *, answers_directly: bool) -> None:
        for n, node in enumerate(self.nodes, start=1):
            outside = [f"10.20.{b}.{10 + n}/24", f"fd20:{b}::{10 + n}/64"]
            inside = [f"10.20.{b}.2/24", f"fd20:{b}::2/64"] if n == 1 else [f"10.2{n}.{b}.2/24", f"fd2{n}:{b}::2/64"]
            if n > 1:
                outside = [f"10.2{n}.{b}.1/24", f"fd2{n}:{b}::1/64"]
            connect(node, f"back{b}", outside, backend, f"node{n}", inside)
            if n > 1:
                node.route(f"10.20.{b}.0/24", f"10.2{n}.{b}.2")
                node.route(f"fd20:{b}::/64", f"fd2{n}:{b}::2")
        if answers_directly:
            connect(
                backend,
                "client",
                [f"10.30.{b}.2/24", f"fd30:{b}::2/64"],
                self.client,
                f"back{b}",
                [f"10.30.{b}.1/24", f"fd30:{b}::1/64"],
            )
            self._hold_vips(backend)
            backend.route("10.40.0.0/24", f"10.30.{b}.1")
            backend.route("fd40::/64", f"fd30:{b}::1")
        else:
            backend.route("10.40.0.0/24", f"10.20.{b}.11")
            backend.route("fd40::/64", f"fd20:{b}::11")

    @staticmethod
    def _hold_vips(backend: Namespace) -> None:
        """What direct routing and tunnels ask of a real server: it takes VIPs for its own, and tells nobody."""
        for scope in ("all", "default"):
            for name, value in (("rp_filter", 0), ("arp_ignore", 1), ("arp_announce", 2)):
                backend.sysctl(f"net.ipv4.conf.{scope}.{name}", value)
        for device in ("tunl0", "ip6tnl0"):
            backend.up(device)
        backend.sysctl("net.ipv4.conf.tunl0.rp_filter", 0)
        for pool in POOLS:
            family = ["-6"] if ":" in pool else []
            backend.run("ip", *family, "route", "add", "local", pool, "dev", "lo")

    @contextlib.asynccontextmanager
    async def echoing(self, tcp_port: int, udp_port: int, *vips: str) -> AsyncIterator[None]:
        """Every backend answers with its number and the client's address, on any address of its own.

        `vips`: those that it answers datagrams for under their own name.
        """
        async with contextlib.AsyncExitStack() as stack:
            for number, backend in enumerate(self.backends, start=1):
                await stack.enter_async_context(_serving_tcp(number, backend, tcp_port))
                for address in ("::", *vips):
                    await stack.enter_async_context(_serving_udp(number, backend, address, udp_port))
            yield

    def socket(self, address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A client's socket for a family; it does not block."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.client.entered():
            made = socket.socket(family, kind)
        made.setblocking(False)
        return made

    async def ask_tcp(self, vip: str, port: int) -> str:
        """What a fresh connection to a VIP is answered: `<backend> <client's address>`. Raises OSError."""
        async with self.connection(vip, port) as connection:
            return await connection.ask()

    @contextlib.asynccontextmanager
    async def connection(self, vip: str, port: int) -> AsyncIterator["Connection"]:
        """An open connection. Raises OSError, TimeoutError."""
        with contextlib.closing(self.socket(vip)) as made:
            async with asyncio.timeout(SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (vip, port))
            yield Connection(made)

    async def ask_udp(self, vip: str, port: int, seconds: float = SECONDS, source_port: int = 0) -> str:
        """What a datagram is answered; one whose neighbour is not known yet may take a second.

        Raises OSError, TimeoutError.
        """
        loop = asyncio.get_running_loop()
        with contextlib.closing(self.socket(vip, socket.SOCK_DGRAM)) as made:
            made.bind((self.client_address(v6=":" in vip), source_port))
            await loop.sock_connect(made, (vip, port))
            made.send(b"hello\n")
            async with asyncio.timeout(seconds):
                return (await loop.sock_recv(made, 1000)).decode().strip()


class Connection:
    """A TCP connection of the client's."""

    def __init__(self, connected: socket.socket) -> None:
        """Already connected."""
        self._socket = connected

    async def ask(self) -> str:
        """Ask who answers. Raises OSError when it was cut, TimeoutError, EOFError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            await loop.sock_sendall(self._socket, b"who\n")
            answer = await loop.sock_recv(self._socket, 1000)
        if not answer:
            raise EOFError("the connection was closed")
        return answer.decode().strip()


@contextlib.asynccontextmanager
async def _serving_tcp(number: int, backend: Namespace, port: int) -> AsyncIterator[None]:
    with backend.entered():
        listening = _bound(socket.SOCK_STREAM, "::", port)
    open_ones: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Lines(number, open_ones), sock=listening)
    try:
        yield
    finally:
        server.close()
        for transport in list(open_ones):
            transport.abort()
        await asyncio.sleep(0)  # that is when they close


@contextlib.asynccontextmanager
async def _serving_udp(number: int, backend: Namespace, address: str, port: int) -> AsyncIterator[None]:
    """A socket on one VIP answers in its name; one on any address in that of the way out."""
    with backend.entered():
        bound = _bound(socket.SOCK_DGRAM, address, port)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(number), sock=bound)
    try:
        yield
    finally:
        transport.close()
        await asyncio.sleep(0)  # that is when it closes


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address == "::":
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    elif family == socket.AF_INET6:  # a local route makes an address one's own, but not for bind
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    made.bind((address, port))
    if kind is socket.SOCK_STREAM:
        made.listen(1024)
    made.setblocking(False)
    return made


class _Lines(asyncio.Protocol):
    """Answers whatever comes; a line, in tests."""

    def __init__(self, number: int, open_ones: set[asyncio.Transport]) -> None:
        self._number = number
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._open_ones.add(transport)
        self._peer = transport.get_extra_info("peername")[0].removeprefix("::ffff:")

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(f"{self._number} {self._peer}\n".encode())


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, number: int) -> None:
        self._number = number

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(f"{self._number} {addr[0].removeprefix('::ffff:')}".encode(), addr)


@contextlib.contextmanager
def network(**options: bool | int) -> Iterator[Network]:
    """A network for the time of a block."""
    made = Network(**options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
