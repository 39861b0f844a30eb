"""What a balancer group can do, how it carries and how it is, from its object and from what its nodes said. Pure."""

from collections.abc import Mapping

from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec, BalancerNode, EngineName, IpMode
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.planning import Carriage

DEFAULT_CAPABILITIES: Mapping[EngineName, frozenset[str]] = {
    EngineName.ENVOY: frozenset({"tcp", "udp", "affinity", "source-ranges", "proxy-protocol"}),
    EngineName.IPVS: frozenset({"tcp", "udp", "sctp", "affinity", "source-ranges", "schedulers"}),
}
"""What an engine can do, until its nodes have said it themselves."""
_CLIENT_ADDRESS = frozenset({"client-address"})
"""Backends see who the client is: the affair of a group's forwarding, whatever its nodes say."""


def capabilities_of(group: BalancerGroup, heard: Mapping[str, NodeRealized]) -> frozenset[str]:
    """What every node of the group can do; nodes not heard of are taken to be like their engine."""
    default = DEFAULT_CAPABILITIES[group.spec.engine]
    said = [frozenset(heard[n].capabilities) if n in heard else default for n in group.spec.nodes]
    common = frozenset.intersection(*said) if said else default
    return common | _CLIENT_ADDRESS if group.spec.forwarding.keeps_client_address else common - _CLIENT_ADDRESS


def carriage_of(spec: BalancerGroupSpec, prefixes: Mapping[str, str]) -> Carriage:
    """How a group carries load balancers. `prefixes`: address to the network that it is routed with."""
    return Carriage(
        forwarding=spec.forwarding,
        scheduler=spec.scheduler,
        drain_seconds=spec.drain_seconds,
        prefixes=prefixes,
    )


def ip_mode_of(spec: BalancerGroupSpec) -> IpMode:
    """VIP where packets reach a tenant's nodes as they were sent or masqueraded, Proxy where a proxy dials anew."""
    return IpMode.VIP if spec.engine is EngineName.IPVS else IpMode.PROXY


def carries_alike(one: BalancerGroupSpec, other: BalancerGroupSpec) -> bool:
    """Whether load balancers are planned alike under both specs, whatever nodes there are."""
    return ip_mode_of(one) is ip_mode_of(other) and carriage_of(one, {}) == carriage_of(other, {})


def nodes_as_heard(group: BalancerGroup, heard: Mapping[str, NodeRealized]) -> tuple[BalancerNode, ...]:
    """The group's nodes for its status, in the order of the spec."""
    return tuple(_node(name, heard.get(name)) for name in group.spec.nodes)


def _node(name: str, said: NodeRealized | None) -> BalancerNode:
    if said is None:
        return BalancerNode(name=name)
    return BalancerNode(
        name=name,
        version=said.version,
        capabilities=tuple(sorted(said.capabilities)),
        ready=said.ready,
        virtual_servers=said.virtual_servers,
    )
