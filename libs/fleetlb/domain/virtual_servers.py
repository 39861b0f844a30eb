"""What a balancer node is asked to serve: a virtual server with its real servers. Knows no kernel and no proxy."""

import enum
import ipaddress

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of


class VirtualServerKey(msgspec.Struct, frozen=True, order=True, rename="camel"):
    """What clients dial. Its one string form, `ip:port/proto`, is the same in logs, metrics, dumps and tests."""

    address: str
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        host = f"[{self.address}]" if family_of(self.address) is Family.IPV6 else self.address
        return f"{host}:{self.port}/{self.protocol.lower()}"


def parse_key(text: str) -> VirtualServerKey:
    """The inverse of `str(key)`. Raises ValueError."""
    endpoint, _, protocol = text.rpartition("/")
    host, _, port = endpoint.rpartition(":")
    address = str(ipaddress.ip_address(host.strip("[]")))
    return VirtualServerKey(address, int(port), Protocol(protocol.upper()))


class Scheduler(enum.StrEnum):
    """How a new connection chooses its real server, spelled as in the kernel."""

    ROUND_ROBIN = "rr"
    LEAST_CONNECTION = "lc"
    MAGLEV = "mh"


class RealServer(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True):
    """One destination. `port` is the node port where the tenant's node listens."""

    address: str
    port: int
    weight: int = 1
    node: str = ""


class VirtualServer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One (VIP, port, protocol) and where its connections go; `real_servers` in sorted order."""

    key: VirtualServerKey
    real_servers: tuple[RealServer, ...] = ()
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION
