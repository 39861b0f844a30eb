"""Three balancer nodes of real parts, each with a BIRD, and a router on their switch that has routes of them alone. A
second one can be started: it takes the same, and nothing is sent to it.

        ┌ node-1 ┐
client ─┼ node-2 ┼─ backend          as in `balancer_group`; the client sends what is for VIPs to the router
 router ┘ node-3 ┘
"""

import contextlib
import http.client
import itertools
import json
import pathlib
import re
from collections.abc import AsyncIterator, Iterator

from fleetlb.domain.routing import BgpPeer, BgpSpeaking
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.bgp.configuring import session_of
from tests.stage.balancer_group import NODES, BalancerGroup, Running, Way, running_group
from tests.stage.routers import (
    NODES_ASN,
    ROUTER_ASN,
    BirdProcess,
    RouterSession,
    node_configuration,
    router_configuration,
)

BY_BGP = Way(Announcement.BGP, {"v4": "10.77.0.0/24", "v6": "fd77::/120"})
BESIDE_ROUTER = Way(Announcement.LAYER2, {"v4": "10.10.0.128/26", "v6": "fd10::80/121"})
"""VIPs on the link, among which the router's own address is not."""
ROUTER, SECOND = "10.10.0.254", "10.10.0.253"
_HTTP_PORT = 8080
_TOLD = re.compile(r"^(?:\d{4}-| )(\d+\.\d+\.\d+\.\d+)/32 ", re.MULTILINE)
_PEER, _OF_BIRD = "tor", "12"
"""The router's name, and how kernels number routes that a BIRD made."""


def speaking(asn: int = NODES_ASN, *, hold_seconds: int = 9, bfd: bool = False) -> BgpSpeaking:
    """The group's three nodes with the router as it expects them."""
    peer = BgpPeer(
        name=_PEER, address=ROUTER, asn=ROUTER_ASN, hold_seconds=hold_seconds, connect_retry_seconds=1, bfd=bfd
    )
    return BgpSpeaking(asn=asn, peers=(peer,))


class RoutedGroup(BalancerGroup):
    """The network with its router."""

    def __init__(self, folder: pathlib.Path, *, bfd: bool = False, bfd_milliseconds: int = 0) -> None:
        """Every link is up; no BIRD is started. `bfd`: the router speaks it with the nodes, so often or, if 0, as BIRD
        does where nothing is said."""
        super().__init__()
        self._folder = folder
        self.router = self._stack.enter_context(Namespace("router"))
        self.plug(self.switch, "lan", self.router, (f"{ROUTER}/24",))
        for name, value in (("ip_forward", 1), ("fib_multipath_hash_policy", 1), ("conf.all.send_redirects", 0)):
            self.router.sysctl(f"net.ipv4.{name}", value)
        self.router.sysctl("net.ipv4.conf.lan.send_redirects", 0)
        # In one kernel ways are chosen by the number of a socket: it shall stay, as addresses and ports do.
        self.client.sysctl("net.core.txrehash", 0)
        self.client.run("ip", "route", "add", BY_BGP.pools["v4"], "via", ROUTER)
        pace = f"min rx interval {bfd_milliseconds} ms; min tx interval {bfd_milliseconds} ms;"
        options = f"bfd {{ {pace if bfd_milliseconds else ''} }};" if bfd else ""
        self.bird = BirdProcess(self.router, folder / "router", router_configuration(*_sessions(ROUTER, options)))
        second = self._stack.enter_context(Namespace("second"))
        self.plug(self.switch, "lan", second, (f"{SECOND}/24",))
        self.second_bird = BirdProcess(second, folder / "second", router_configuration(*_sessions(SECOND)))
        self.birds = {}
        for name, place in self.nodes.items():
            self.included(name).mkdir(parents=True)
            self.birds[name] = BirdProcess(place, folder / f"bird-{name}", node_configuration(self.included(name)))

    def settings_of(self, node: str) -> dict[str, str]:
        """Where its BIRD is."""
        return {
            "FLEETLB_BIRD_SOCKET": str(self.birds[node].socket),
            "FLEETLB_BIRD_DIRECTORY": str(self.included(node)),
            "FLEETLB_HTTP_ADDRESS": f"127.0.0.1:{_HTTP_PORT}",
        }

    def next_hops(self, address: str) -> list[str]:
        """The nodes to which the router's kernel sends what is for a VIP."""
        words = self.router.run("ip", "route", "show", address).split()
        hops = (after for word, after in itertools.pairwise(words) if word == "via")
        return sorted(_node_at(hop) for hop in hops)

    def ways(self) -> dict[str, list[str]]:
        """The same for every VIP that the router's kernel has a route of."""
        routes = json.loads(self.router.run("ip", "-j", "route", "show", "proto", _OF_BIRD))
        return {
            route["dst"]: sorted(_node_at(hop["gateway"]) for hop in route.get("nexthops", [route])) for route in routes
        }

    def told_by(self, node: str) -> set[str]:
        """The VIPs of which a node's BIRD tells routers. Raises OSError if it does not run."""
        return set(_TOLD.findall(self.birds[node].ask(f"show route export {session_of(_PEER)}")))

    def routes(self, address: str, *, second: bool = False) -> str:
        """All that the router's BIRD knows of a VIP or a network, or that of the second one."""
        bird, network = (self.second_bird if second else self.bird), address if "/" in address else f"{address}/32"
        return bird.ask(f"show route table master4 all for {network}")

    def readiness(self, node: str) -> str:
        """What a node's programmer says of whether it is ready."""
        with self.nodes[node].entered():
            asking = http.client.HTTPConnection("127.0.0.1", _HTTP_PORT, timeout=5)
            with contextlib.closing(asking), contextlib.suppress(OSError):
                asking.request("GET", "/readyz")
                return asking.getresponse().read().decode()
        return ""

    def included(self, node: str) -> pathlib.Path:
        """The directory that its programmer writes to and its BIRD reads."""
        return self._folder / f"bird-{node}" / "fleetlb"


def _node_at(hop: str) -> str:
    return f"node-{hop.rsplit('.', 1)[1]}"


def _sessions(router: str, options: str = "") -> Iterator[RouterSession]:
    for number in range(1, len(NODES) + 1):
        yield RouterSession(name=f"node{number}", address=f"10.10.0.{number}", local_address=router, options=options)


@contextlib.asynccontextmanager
async def running_routed_group(network: RoutedGroup, folder: pathlib.Path) -> AsyncIterator[Running]:
    """The BIRDs, NATS, and the programmers; nothing is said of BGP yet."""
    birds = (network.bird, *network.birds.values())
    try:
        for bird in birds:
            await bird.start()
        async with running_group(network, folder) as group:
            yield group
    finally:
        for bird in (*birds, network.second_bird):
            bird.stop()
