"""A virtual server in the kernel's terms, and the kernel's entries back to keys. Pure: knows no socket and no state.

Affinity is the kernel's persistence; the scheduler is then asked once per client. sh and mh hash the client's address
alone, so a client stays with its real server, and every node of a group chooses the same.
"""

import errno
import os

import msgspec

from fleetlb.domain.addresses import Protocol, family_of
from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.entries import (
    Destination,
    DestinationKey,
    ForwardMethod,
    Service,
    ServiceFlag,
    ServiceKey,
    TunnelKind,
)
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

GUE_PORT = 6080
MAX_DESTINATIONS = 5000
MAX_WEIGHT = 65_535
"""The kernel takes more, and then overflows where it multiplies connections by weights."""

_METHODS = {
    Forwarding.MASQUERADE: (ForwardMethod.MASQUERADE, TunnelKind.IPIP, 0),
    Forwarding.DIRECT: (ForwardMethod.DIRECT, TunnelKind.IPIP, 0),
    Forwarding.IPIP: (ForwardMethod.TUNNEL, TunnelKind.IPIP, 0),
    Forwarding.GUE: (ForwardMethod.TUNNEL, TunnelKind.GUE, GUE_PORT),
}
_HASHING = frozenset({Scheduler.SOURCE_HASH, Scheduler.MAGLEV})


class Target(msgspec.Struct, frozen=True, gc=False):
    """What the kernel should hold for one virtual server."""

    service: Service
    destinations: dict[DestinationKey, Destination]
    drain_seconds: int = 0
    """For destinations that leave; 0: they are deleted at once."""


def unfit(server: VirtualServer) -> str:
    """Why the kernel cannot carry this virtual server, with the cure, or ""."""
    if not 0 < server.key.port < 65536:
        return f"{server.key}: the port is not between 1 and 65535"
    if server.proxy_protocol:
        cure = "use forwarding direct, ipip or gue to show it the client's address, or a group with the engine envoy"
        return f"the kernel puts no PROXY protocol header before what it hands to a real server; {cure}"
    if len(server.real_servers) > MAX_DESTINATIONS:
        return f"{len(server.real_servers)} real servers: at most {MAX_DESTINATIONS} fit one virtual server"
    if len({(real.address, real.port) for real in server.real_servers}) < len(server.real_servers):
        return "a real server stands there twice"
    if not 0 <= server.affinity_seconds <= 86_400 * 31:
        return f"an affinity of {server.affinity_seconds} s is not between 0 and 31 days"
    return next(filter(None, (_unfit_real_server(server, real) for real in server.real_servers)), "")


def _unfit_real_server(server: VirtualServer, real: RealServer) -> str:
    family = family_of(server.key.address)
    if family_of(real.address) is not family:
        return f"real server {real.address}: a virtual server on {family} needs real servers on {family}"
    if not 0 < real.port < 65536:
        return f"real server {real.address}: port {real.port} is not between 1 and 65535"
    if not 0 <= real.weight <= MAX_WEIGHT:
        return f"real server {real.address}: weight {real.weight} is not between 0 and {MAX_WEIGHT}"
    if server.forwarding.keeps_client_address and real.port != server.key.port:
        cure = f"make it {server.key.port}, or use forwarding masquerade"
        return f"real server {real.address}: forwarding {server.forwarding} cannot change the port {real.port}; {cure}"
    return ""


def translate(server: VirtualServer) -> Target:
    """The kernel's entries for a virtual server that is not `unfit`."""
    flags = ServiceFlag.PERSISTENT if server.affinity_seconds else ServiceFlag(0)
    if server.scheduler in _HASHING:
        flags |= ServiceFlag.SCHEDULER_1
    service = Service(
        key=service_key(server.key),
        scheduler=server.scheduler.value,
        flags=flags,
        timeout=server.affinity_seconds,
    )
    destinations = [_destination(real, server.forwarding) for real in server.real_servers]
    is_udp = server.key.protocol is Protocol.UDP
    return Target(
        service,
        {destination.key: destination for destination in destinations},
        drain_seconds=0 if is_udp else server.drain_seconds,
    )


def service_key(key: VirtualServerKey) -> ServiceKey:
    """How the kernel names a virtual server."""
    return ServiceKey(family_of(key.address), key.address, key.port, key.protocol)


def virtual_server_key(key: ServiceKey) -> VirtualServerKey | None:
    """The inverse; None for a service of a firewall mark, which is never ours."""
    return VirtualServerKey(key.address, key.port, key.protocol) if key.protocol is not None else None


def explain(operation: Operation, error: int, text: str) -> str:
    """Why the kernel refused, in words that name the cure where there is one."""
    words = f"the kernel refused {_what(operation)}: {text or os.strerror(error)}"
    service = operation.service
    if error == errno.ENOENT and isinstance(service, Service):
        return f"{words}; this kernel has no scheduler {service.scheduler}: load ip_vs_{service.scheduler}"
    if error in (errno.EPERM, errno.EACCES):
        return f"{words}; the programmer needs the capability CAP_NET_ADMIN"
    if error == errno.EPROTONOSUPPORT:
        return f"{words}; this kernel's IPVS has not that protocol"
    if error == errno.ENOMEM:
        return f"{words}; the node has too little memory for the kernel's tables"
    return words


def _what(operation: Operation) -> str:
    verb = operation.command.name.lower().replace("_", " ")
    target = operation.destination
    if target is None:
        return verb
    key = target.key if isinstance(target, Destination) else target
    return f"{verb} {key.address} port {key.port}"


def _destination(real: RealServer, forwarding: Forwarding) -> Destination:
    method, tunnel, port = _METHODS[forwarding]
    return Destination(
        key=DestinationKey(real.address, real.port),
        forward=method,
        weight=real.weight,
        tunnel=tunnel,
        tunnel_port=port,
    )


def is_drift(operation: Operation, error: int) -> bool:
    """Whether the refusal only means that the table is not what it was taken for: then it is read again."""
    if error in (errno.EEXIST, errno.ESRCH):
        return True
    return error == errno.ENOENT and operation.command in (Command.SET_DESTINATION, Command.DEL_DESTINATION)
