"""What a balancer group can do, by name: nodes announce it, and a Service that asks for more is refused. Data only."""

import enum
from collections.abc import Mapping


class EngineName(enum.StrEnum):
    """What carries a group's traffic."""

    ENVOY = "envoy"
    IPVS = "ipvs"


class Capability(enum.StrEnum):
    """Names as they stand in messages and objects; names not known here may come from newer nodes."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    AFFINITY = "affinity"
    SOURCE_RANGES = "source-ranges"
    SCHEDULERS = "schedulers"
    """More than those that every engine has."""
    PROXY_PROTOCOL = "proxy-protocol"
    DRAIN = "drain"
    """Ends what a backend that leaves still has, after a time."""
    CLIENT_ADDRESS = "client-address"
    """Backends see who the client is: the affair of a group's forwarding, whatever its nodes say."""
    BGP = "bgp"
    """Of nodes with a BIRD, which tell routers of VIPs."""
    LAYER2 = "layer2"
    """Answers ARP and neighbour solicitations for VIPs: the affair of a node's settings."""


ENGINE_CAPABILITIES: Mapping[EngineName, frozenset[str]] = {
    EngineName.ENVOY: frozenset(
        {
            Capability.TCP,
            Capability.UDP,
            Capability.AFFINITY,
            Capability.SOURCE_RANGES,
            Capability.PROXY_PROTOCOL,
        }
    ),
    EngineName.IPVS: frozenset(
        {
            Capability.TCP,
            Capability.UDP,
            Capability.SCTP,
            Capability.AFFINITY,
            Capability.SOURCE_RANGES,
            Capability.SCHEDULERS,
            Capability.DRAIN,
        }
    ),
}
"""What an engine can do on a node that lacks nothing: taken for granted until the nodes have said it themselves."""
