from fleetlb.contracts.objects import BalancerNode
from fleetlb.contracts.v1 import NodeRealized
from fleetlb_manager.balancer_groups import capabilities_of, nodes_as_heard
from tests.unit.fleetlb_manager.manager_world import a_group


def said(name: str, *capabilities: str) -> NodeRealized:
    return NodeRealized(
        node=name,
        group="default",
        engine="envoy",
        capabilities=capabilities,
        version="1",
        ready=True,
        virtual_servers=3,
    )


def test_a_group_can_do_what_all_its_nodes_can() -> None:
    group = a_group(nodes=("n1", "n2"))
    assert capabilities_of(group, {}) == {"tcp", "udp", "affinity"}
    assert capabilities_of(group, {"n1": said("n1", "tcp", "sctp")}) == {"tcp"}
    assert capabilities_of(group, {"n1": said("n1", "tcp", "udp"), "n2": said("n2", "udp")}) == {"udp"}
    assert capabilities_of(group, {"stranger": said("stranger")}) == {"tcp", "udp", "affinity"}


def test_every_node_of_the_spec_is_shown() -> None:
    shown = nodes_as_heard(a_group(nodes=("n2", "n1")), {"n1": said("n1", "udp", "tcp"), "stranger": said("stranger")})
    assert shown == (
        BalancerNode(name="n2"),
        BalancerNode(name="n1", version="1", capabilities=("tcp", "udp"), ready=True, virtual_servers=3),
    )
