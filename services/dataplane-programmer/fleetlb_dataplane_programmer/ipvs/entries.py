"""What the kernel's IPVS table holds, in the kernel's own terms. Knows no socket, no bytes and no virtual server.

Names and values: include/uapi/linux/ip_vs.h.
"""

import enum

import msgspec

from fleetlb.domain.addresses import Family, Protocol


class ServiceFlag(enum.IntFlag):
    """`IP_VS_SVC_F_*`; what a scheduler flag means depends on the scheduler."""

    PERSISTENT = 0x01
    HASHED = 0x02
    ONE_PACKET = 0x04
    SCHEDULER_1 = 0x08
    """sh, mh: fall back to another destination when the hashed one is not usable."""
    SCHEDULER_2 = 0x10
    """sh, mh: hash the client's port too."""
    SCHEDULER_3 = 0x20


class ForwardMethod(enum.IntEnum):
    """`IP_VS_CONN_F_*` under `IP_VS_CONN_F_FWD_MASK`. Always set, and compared when read back (P9)."""

    MASQUERADE = 0
    LOCAL = 1
    TUNNEL = 2
    DIRECT = 3


class TunnelKind(enum.IntEnum):
    """`IP_VS_CONN_F_TUNNEL_TYPE_*`."""

    IPIP = 0
    GUE = 1
    GRE = 2


class ServiceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """What identifies a service: an address, port and protocol, or a firewall mark (then the rest is empty)."""

    family: Family
    address: str = ""
    port: int = 0
    protocol: Protocol | None = None
    firewall_mark: int = 0


class Service(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A service without its destinations. `timeout`: seconds of persistence; `netmask`: prefix length of a client."""

    key: ServiceKey
    scheduler: str
    flags: ServiceFlag = ServiceFlag(0)
    timeout: int = 0
    netmask: int = 0
    """0: the whole address; negative: the inverted mask, where another tool set an IPv4 mask that is no prefix."""


class DestinationKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """What identifies a destination within its service."""

    address: str
    port: int


class Destination(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a service's connections go. Thresholds of 0: none."""

    key: DestinationKey
    forward: ForwardMethod | int
    """A plain number only where another tool put one that has no name."""
    weight: int = 1
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel: TunnelKind | int = TunnelKind.IPIP
    """As with `forward`."""
    tunnel_port: int = 0
    """0 unless the tunnel is GUE."""
    tunnel_flags: int = 0


class Load(msgspec.Struct, frozen=True, gc=False):
    """Connections of a destination at one moment."""

    active: int = 0
    inactive: int = 0
    persistent: int = 0


class Timeouts(msgspec.Struct, frozen=True, gc=False):
    """Idle times of connections in seconds, as `ipvsadm --set`; 0: leave as it is."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


class Info(msgspec.Struct, frozen=True, gc=False):
    """The kernel's IPVS version, as (major, minor, patch), and the size of its connection table."""

    version: tuple[int, int, int]
    table_size: int
