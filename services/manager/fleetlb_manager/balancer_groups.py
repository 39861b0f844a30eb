"""What a balancer group can do and how it is, from its object and from what its nodes said. Pure."""

from collections.abc import Mapping

from fleetlb.contracts.objects import BalancerGroup, BalancerNode, EngineName
from fleetlb.contracts.v1 import NodeRealized

DEFAULT_CAPABILITIES: Mapping[EngineName, frozenset[str]] = {
    EngineName.ENVOY: frozenset({"tcp", "udp", "affinity"}),
    EngineName.IPVS: frozenset({"tcp", "udp", "sctp", "affinity"}),
}
"""What an engine can do, until its nodes have said it themselves."""


def capabilities_of(group: BalancerGroup, heard: Mapping[str, NodeRealized]) -> frozenset[str]:
    """What every node of the group can do; nodes not heard of are taken to be like their engine."""
    default = DEFAULT_CAPABILITIES[group.spec.engine]
    said = [frozenset(heard[n].capabilities) if n in heard else default for n in group.spec.nodes]
    return frozenset.intersection(*said) if said else default


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
