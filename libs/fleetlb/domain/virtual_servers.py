"""What a balancer node is asked to serve: a virtual server with its real servers. Knows no kernel and no proxy."""

import enum

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of, parse_address


class VirtualServerKey(msgspec.Struct, frozen=True, order=True, rename="camel", gc=False):
    """What clients dial. Its one string form, `ip:port/proto`, is the same in logs, metrics, dumps and tests."""

    address: str
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        host = f"[{self.address}]" if family_of(self.address) is Family.IPV6 else self.address
        return f"{host}:{self.port}/{self.protocol.lower()}"


def parse_key(text: str) -> VirtualServerKey:
    """The inverse of `str(key)`, and of nothing else. Raises ValueError with a sentence that names the text."""
    endpoint, _, protocol = text.rpartition("/")
    host, _, port = endpoint.rpartition(":")
    try:
        key = VirtualServerKey(str(parse_address(host.strip("[]"))), int(port), Protocol(protocol.upper()))
    except ValueError:
        key = None
    if key is None or str(key) != text or not 1 <= key.port <= 65535:
        raise ValueError(f"{text[:80]!r} is no virtual server: write ADDRESS:PORT/PROTOCOL, such as 10.0.0.1:443/tcp")
    return key


class Scheduler(enum.StrEnum):
    """How a new connection chooses its real server, spelled as in the kernel."""

    ROUND_ROBIN = "rr"
    WEIGHTED_ROUND_ROBIN = "wrr"
    LEAST_CONNECTION = "lc"
    WEIGHTED_LEAST_CONNECTION = "wlc"
    SOURCE_HASH = "sh"
    MAGLEV = "mh"


class Forwarding(enum.StrEnum):
    """How a packet gets from the balancer node to a real server.

    Only masquerading works over any routed network and to another port; the others keep the client's address and the
    port, and answer the client without passing the balancer again.
    """

    MASQUERADE = "masquerade"
    DIRECT = "direct"
    IPIP = "ipip"
    GUE = "gue"

    @property
    def keeps_client_address(self) -> bool:
        """Whether a real server sees who the client is."""
        return self is not Forwarding.MASQUERADE


class Announcement(enum.StrEnum):
    """How the network learns on which balancer nodes a VIP lives."""

    NONE = "none"
    """Not from fleetlb: the network sends the pool to the nodes as it is."""
    LAYER2 = "layer2"
    """One node of the group answers ARP and neighbour solicitations for it."""
    BGP = "bgp"
    """Every node that carries it tells its routers."""


class FailurePolicy(enum.StrEnum):
    """What a virtual server does when most of its real servers fail their checks at once."""

    OPEN = "open"
    """Keep the last set: the failure may be one of the checks, or of the way."""
    CLOSED = "closed"
    """Serve by no unhealthy real server, and by none if none is healthy."""


DEFAULT_DRAIN_SECONDS = 60
MAX_DRAIN_SECONDS = 86_400


class RealServer(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True, gc=False):
    """One destination, a node or a pod. `port` is the node port or the pod's own, or the virtual server's where
    forwarding keeps it; `check_port` is where a node's health can be seen then, 0: at `port`."""

    address: str
    port: int
    weight: int = 1
    node: str = ""
    check_port: int = 0


class VirtualServer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One (VIP, port, protocol) and where its connections go; `real_servers` in sorted order."""

    key: VirtualServerKey
    real_servers: tuple[RealServer, ...] = ()
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION
    affinity_seconds: int = 0
    """How long a client stays with its real server after its last connection; 0: no affinity."""
    source_ranges: tuple[str, ...] = ()
    """Networks whose clients are let in, canonical and sorted; empty: everybody."""
    proxy_protocol: bool = False
    """Whether real servers get the client's address in a PROXY protocol v2 header, which they must expect. TCP only."""
    forwarding: Forwarding = Forwarding.MASQUERADE
    drain_seconds: int = DEFAULT_DRAIN_SECONDS
    """How long the connections of a real server that is taken away may go on."""
    failure_policy: FailurePolicy = FailurePolicy.OPEN
    health_check_port: int = 0
    """Where a real server's node says by HTTP whether it has a ready pod, a second opinion on it; 0: nowhere."""
    prefix: str = ""
    """The network of the pool that the address belongs to, which nodes route as one; empty: the address alone."""
    announcement: Announcement = Announcement.NONE
    """How the pool's addresses are made known to the network."""
    attributes_pool: str = ""
    """The pool whose own attributes its route carries by BGP, by name; empty: it carries its group's alone."""
