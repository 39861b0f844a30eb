"""Balancer nodes behind a router, each with a real BIRD: the router takes routes from the nodes into its kernel, ways
for one destination side by side, as routers in front of balancers do.

    client ── router ── node-1
                    └── node-2

v4 and v6 throughout; VIPs are 10.77.0.0/16 and fd77::/64. Must not know how a node makes its BIRD speak.
"""

import contextlib
import itertools
import pathlib
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator

import msgspec

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace, connect

ROUTER_ASN = 65000
NODES_ASN = 4200000001
_SECONDS = 20.0


class BirdProcess:
    """A BIRD in a namespace, which reads one file; restarts keep it."""

    def __init__(self, namespace: Namespace, folder: pathlib.Path, configuration: str) -> None:
        """`folder` takes the file, the log and the control socket."""
        self.namespace, self._folder = namespace, folder
        self.socket = folder / "bird.ctl"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.write(configuration)

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return (self._folder / "bird.log").read_text()

    def write(self, configuration: str) -> None:
        """Another file, for the next start or `configure`."""
        (self._folder / "bird.conf").write_text(configuration)

    async def start(self, *, recovers: bool = False) -> None:
        """Start it and wait for its control socket. `recovers`: as after a crash, with the peers' help."""
        binary = shutil.which("bird")
        assert binary is not None, "no bird on PATH; the lab has one"
        command = [binary, "-f", "-c", str(self._folder / "bird.conf"), "-s", str(self.socket)]
        with (self._folder / "bird.log").open("ab") as log, self.namespace.entered():
            self._process = subprocess.Popen([*command, *(["-R"] if recovers else [])], stdout=log, stderr=log)
        await eventually(self._answers, _SECONDS)

    def kill(self) -> None:
        """SIGKILL: its peers see their connections reset."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal and do not wait."""
        assert self._process is not None, "BIRD is not started"
        self._process.send_signal(number)

    def ask(self, command: str) -> str:
        """What it answers to a command. Raises OSError if it does not."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(_SECONDS)
            made.connect(str(self.socket))
            with made.makefile("rw") as stream:
                stream.readline()
                stream.write(f"{command}\n")
                stream.flush()
                return "".join(_until_last(stream))

    def session(self, name: str) -> str:
        """All about one protocol."""
        return self.ask(f"show protocols all {name}")

    def is_established(self, name: str) -> bool:
        """Whether a session stands."""
        return "Established" in self.session(name)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"BIRD ended:\n{self.log[-2000:]}"
        with contextlib.suppress(OSError):
            return bool(self.ask("show status"))
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "BIRD is not started"
        process.send_signal(number)
        process.wait(_SECONDS)


def is_unchanged(after: Iterable[str], before: Iterable[str], milliseconds: int = 2) -> bool:
    """Whether answers are the same, times and all. BIRD makes times of ages, and rounds: they differ by 1 ms or two,
    and by more where it looks at its clock late."""
    return all(
        _TIME.sub("", one) == _TIME.sub("", other)
        and all(
            abs(_milliseconds(a) - _milliseconds(b)) <= milliseconds
            for a, b in zip(_times(one), _times(other), strict=True)
        )
        for one, other in zip(after, before, strict=True)
    )


_ATTRIBUTE = re.compile(r"^\s+(?:BGP\.|bgp_)(\w+): (.*)$", re.MULTILINE)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d\d\d)")


def _times(text: str) -> list[tuple[str, ...]]:
    return _TIME.findall(text)


def _milliseconds(time: tuple[str, ...]) -> int:
    hours, minutes, seconds, rest = map(int, time)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def _until_last(stream: Iterator[str]) -> Iterator[str]:
    for line in stream:
        yield line
        if line[:4].isdigit() and line[4:5] == " ":
            return


class RouterSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session as the router is configured for it."""

    name: str
    address: str
    """The node's."""
    local_address: str
    asn: int = NODES_ASN
    local_asn: int = ROUTER_ASN
    families: tuple[str, ...] = ("ipv4",)
    options: str = ""
    """More lines of the protocol."""
    channel: str = ""
    """More options of each channel."""


_ROUTER = """
router id 10.30.0.254;
protocol device { scan time 1; }
protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { merge paths on; ipv6 { import none; export where source = RTS_BGP; }; }
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol bfd { }
filter taken {
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}
"""


def router_configuration(*sessions: RouterSession) -> str:
    """A router's file: it takes whatever it is told, and heeds GRACEFUL_SHUTDOWN (RFC 8326)."""
    return _ROUTER + "".join(map(_router_session, sessions))


def _router_session(session: RouterSession) -> str:
    channels = "\n  ".join(
        f"{family} {{ import filter taken; export none; {session.channel} }};" for family in session.families
    )
    return f"""
protocol bgp {session.name} {{
  local {session.local_address} as {session.local_asn};
  neighbor {session.address} as {session.asn};
  direct;
  hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
  {session.options}
  {channels}
}}
"""


def node_configuration(folder: pathlib.Path) -> str:
    """The file of a node's own BIRD: what any has, and the line that includes what is written for it."""
    return f"""
router id 10.255.255.255;
protocol device {{ scan time 1; }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol kernel {{ ipv6 {{ import none; export all; }}; }}
include "{folder}/*.conf";
"""


class RoutedNode:
    """A balancer node: its namespace, its BIRD, and the folder of what that includes."""

    def __init__(self, number: int, namespace: Namespace, folder: pathlib.Path) -> None:
        """`number` counts from 1. BIRD is not started."""
        self.number, self.namespace = number, namespace
        self.name = f"node-{number}"
        self.address, self.address6 = f"10.10.{number}.1", f"fd10:{number}::1"
        self.router_address, self.router_address6 = f"10.10.{number}.254", f"fd10:{number}::fe"
        self.folder = folder / self.name / "fleetlb"
        self.passwords = folder / self.name / "passwords"
        self.folder.mkdir(parents=True)
        self.passwords.mkdir()
        self.bird = BirdProcess(namespace, folder / self.name, node_configuration(self.folder))

    def router_session(self, **fields: object) -> RouterSession:
        """The router's end of a session with this node, named `node1`."""
        session = RouterSession(name=f"node{self.number}", address=self.address, local_address=self.router_address)
        return msgspec.structs.replace(session, **fields)

    def router_session6(self, **fields: object) -> RouterSession:
        """The same over v6, named `node1v6`."""
        session = RouterSession(
            name=f"node{self.number}v6",
            address=self.address6,
            local_address=self.router_address6,
            families=("ipv6",),
        )
        return msgspec.structs.replace(session, **fields)

    def hold(self, vip: str) -> None:
        """Take a VIP's packets for the node's own."""
        family = ["-6"] if ":" in vip else []
        self.namespace.run("ip", *family, "route", "add", "local", vip, "dev", "lo")


class RoutedNetwork:
    """The namespaces and their BIRDs. To be made where no event loop runs."""

    def __init__(self, folder: pathlib.Path, *, nodes: int = 2) -> None:
        """Every link is up; no BIRD is started."""
        self._stack = contextlib.ExitStack()
        self.client = self._stack.enter_context(Namespace("client"))
        self.router = self._stack.enter_context(Namespace("router"))
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.fib_multipath_hash_policy"):
            self.router.sysctl(name, 1)
        outer, inner = ["10.30.0.1/24", "fd30::1/64"], ["10.30.0.254/24", "fd30::fe/64"]
        connect(self.client, "router", outer, self.router, "client", inner)
        self.client.default_route("10.30.0.254")
        self.client.default_route("fd30::fe")
        self.nodes = [self._node(number, folder) for number in range(1, nodes + 1)]
        self.bird = BirdProcess(self.router, folder / "router", _ROUTER)

    def _node(self, number: int, folder: pathlib.Path) -> RoutedNode:
        node = RoutedNode(number, self._stack.enter_context(Namespace(f"node-{number}")), folder)
        inner = [f"{node.address}/24", f"{node.address6}/64"]
        outer = [f"{node.router_address}/24", f"{node.router_address6}/64"]
        connect(node.namespace, "router", inner, self.router, f"node{number}", outer)
        node.namespace.default_route(node.router_address)
        node.namespace.default_route(node.router_address6)
        return node

    def close(self) -> None:
        """Take it down."""
        for bird in (self.bird, *(node.bird for node in self.nodes)):
            bird.stop()
        self._stack.close()

    async def start(self, *sessions: RouterSession) -> None:
        """Start all BIRDs; the router's has these sessions."""
        self.bird.write(router_configuration(*sessions))
        for bird in (self.bird, *(node.bird for node in self.nodes)):
            await bird.start()

    def next_hops(self, vip: str) -> set[str]:
        """Where the router's kernel sends packets for a VIP: the nodes' addresses, empty if nowhere."""
        family = ["-6"] if ":" in vip else []
        words = self.router.run("ip", *family, "route", "show", vip).split()
        return {after for word, after in itertools.pairwise(words) if word == "via"}

    def route(self, vip: str) -> str:
        """All that the router's BIRD knows of a VIP."""
        table = "master6" if ":" in vip else "master4"
        return self.bird.ask(f"show route table {table} all for {vip}")

    def carried(self, vip: str) -> dict[str, str]:
        """What a VIP's only route carries: `community`, `local_pref` … BIRD 2 writes `BGP.` before them, 3 `bgp_`."""
        return dict(_ATTRIBUTE.findall(self.route(vip)))


@contextlib.contextmanager
def routed_network(folder: pathlib.Path, *, nodes: int = 2) -> Iterator[RoutedNetwork]:
    """A network until the end of the block."""
    made = RoutedNetwork(folder, nodes=nodes)
    try:
        yield made
    finally:
        made.close()
