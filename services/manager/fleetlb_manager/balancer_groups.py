"""What a balancer group can do, how it carries and how it is, from its object and from what its nodes said. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec, BalancerNode, IpMode
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, Capability, EngineName
from fleetlb.domain.planning import Carriage
from fleetlb.domain.pool_networks import PoolRoute
from fleetlb.domain.routing_rules import problems_of

_CLIENT_ADDRESS = frozenset({Capability.CLIENT_ADDRESS.value})


def capabilities_of(group: BalancerGroup, heard: Mapping[str, NodeRealized]) -> frozenset[str]:
    """What every node of the group can do; nodes not heard of are taken to be like their engine."""
    default = ENGINE_CAPABILITIES[group.spec.engine]
    said = [frozenset(heard[n].capabilities) if n in heard else default for n in group.spec.nodes]
    common = frozenset.intersection(*said) if said else default
    return common | _CLIENT_ADDRESS if group.spec.forwarding.keeps_client_address else common - _CLIENT_ADDRESS


def carriage_of(spec: BalancerGroupSpec, routes: Mapping[str, PoolRoute]) -> Carriage:
    """How a group carries load balancers. `routes`: address to how it gets to the group's nodes."""
    return Carriage(
        forwarding=spec.forwarding,
        scheduler=spec.scheduler,
        drain_seconds=spec.drain_seconds,
        routes=routes,
    )


class Delivery(NamedTuple):
    """How connections arrive at backends, as far as tenants are told."""

    ip_mode: IpMode = IpMode.PROXY
    keeps_client_address: bool = False


def delivery_of(spec: BalancerGroupSpec) -> Delivery:
    """VIP where packets reach a tenant's nodes as they were sent or masqueraded, Proxy where a proxy dials anew."""
    ip_mode = IpMode.VIP if spec.engine is EngineName.IPVS else IpMode.PROXY
    return Delivery(ip_mode, spec.forwarding.keeps_client_address)


def carries_alike(one: BalancerGroupSpec, other: BalancerGroupSpec) -> bool:
    """Whether load balancers are planned alike under both specs, whatever nodes there are."""
    return delivery_of(one) == delivery_of(other) and carriage_of(one, {}) == carriage_of(other, {})


def routing_problems(spec: BalancerGroupSpec) -> list[str]:
    """Why a group's nodes cannot say by BGP what its spec wants: sentences that name the field below `bgp`."""
    if spec.bgp is None:
        return []
    found = problems_of(spec.bgp, spec.nodes)
    if spec.engine is not EngineName.IPVS:
        found.insert(0, f"the engine {spec.engine} announces nothing; set spec.engine to ipvs, or remove spec.bgp")
    return found


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
        draining=said.draining,
        virtual_servers=said.virtual_servers,
        sessions=said.sessions,
    )
