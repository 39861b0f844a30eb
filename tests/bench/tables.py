"""The tables that are measured with: virtual servers as a manager would wish for them, and the same in others' words.

Twenty virtual servers are one tenant's and share its nodes, each on a node port of its own.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path

from fleetlb.contracts.v1 import LoadBalancerRevision, Owner, VirtualServerDesired
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.diffing import Actual, diff
from fleetlb_dataplane_programmer.ipvs.translating import service_key, translate
from fleetlb_dataplane_programmer.ipvs.wire import Operation

POOL = "10.77.0.0/16"
PORT = 443
MAX_NODES = 20
_PER_TENANT = 20
_VIPS = int(ipaddress.IPv4Address("10.77.0.1"))
_NODES = int(ipaddress.IPv4Address("10.128.0.1"))
_NODE_PORTS = 30_000, 2_768


def virtual_server(number: int, real_servers: int, *, drain_seconds: int = 60) -> VirtualServer:
    """One of many: numbers count from 0; at most `MAX_NODES` real servers."""
    first, span = _NODE_PORTS
    tenant, port = number // _PER_TENANT, first + number % span
    return VirtualServer(
        key=VirtualServerKey(_text(_VIPS + number), PORT, Protocol.TCP),
        real_servers=tuple(
            RealServer(_text(_NODES + tenant * MAX_NODES + node), port, node=f"worker-{node:02}.tenant-{tenant}")
            for node in range(real_servers)
        ),
        prefix=POOL,
        drain_seconds=drain_seconds,
    )


def virtual_servers(count: int, real_servers: int, *, drain_seconds: int = 60) -> list[VirtualServer]:
    """The first so many."""
    return [virtual_server(number, real_servers, drain_seconds=drain_seconds) for number in range(count)]


def wishes(count: int, real_servers: int) -> Iterator[VirtualServerDesired]:
    """What a manager publishes for them."""
    for number in range(count):
        uid = f"6f0a1c52-0000-4000-8000-{number:012}"
        server = virtual_server(number, real_servers)
        yield VirtualServerDesired(
            key=server.key,
            generation=1,
            revision=1,
            owner=Owner(tenant=f"tenant-{number // _PER_TENANT}", cluster_uid=uid, service_uid=uid),
            load_balancer=LoadBalancerRevision(uid, 1),
            server=server,
        )


def operations_for(servers: Iterable[VirtualServer]) -> list[Operation]:
    """What makes them in an empty kernel, in the engine's order."""
    made: list[Operation] = []
    for server in servers:
        made += diff(service_key(server.key), translate(server), Actual(), 0).operations
    return made


def restore_text(servers: Iterable[VirtualServer]) -> str:
    """What `ipvsadm -R` reads to make them."""
    lines: list[str] = []
    for server in servers:
        vip = f"{server.key.address}:{server.key.port}"
        lines.append(f"-A -t {vip} -s {server.scheduler}")
        lines += [f"-a -t {vip} -r {real.address}:{real.port} -m -w {real.weight}" for real in server.real_servers]
    return "\n".join(lines) + "\n"


def kernel_text(servers: Iterable[VirtualServer]) -> bytes:
    """How `/proc/net/ip_vs` shows them, all of them TCP, IPv4 and masqueraded."""
    lines = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
    ]
    for server in servers:
        lines.append(f"TCP  {_hex(server.key.address)}:{server.key.port:04X} {server.scheduler} ")
        lines += [
            f"  -> {_hex(real.address)}:{real.port:04X}      {'Masq':<7} {real.weight:<6} {0:<10} {0:<10}"
            for real in server.real_servers
        ]
    return ("\n".join(lines) + "\n").encode()


def count_held() -> tuple[int, int]:
    """How many services and destinations the kernel of this network namespace holds."""
    lines = Path("/proc/thread-self/net/ip_vs").read_bytes().split(b"\n")[3:]
    destinations = sum(line.startswith(b"  ->") for line in lines)
    return len([line for line in lines if line]) - destinations, destinations


def _text(address: int) -> str:
    return str(ipaddress.IPv4Address(address))


def _hex(address: str) -> str:
    return f"{int(ipaddress.IPv4Address(address)):08X}"
