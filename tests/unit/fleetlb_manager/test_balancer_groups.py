import pytest

from fleetlb.contracts.objects import BalancerNode, IpMode
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.planning import Carriage
from fleetlb.domain.pool_networks import PoolRoute
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouterSession
from fleetlb.domain.virtual_servers import Announcement, Forwarding, Scheduler
from fleetlb_manager.balancer_groups import (
    Delivery,
    capabilities_of,
    carriage_of,
    carries_alike,
    delivery_of,
    nodes_as_heard,
    routing_problems,
)
from tests.unit.fleetlb_manager.manager_world import a_group

SESSIONS = (RouterSession(peer="tor", up=True, routes=2),)


def said(name: str, *capabilities: str) -> NodeRealized:
    return NodeRealized(
        node=name,
        group="default",
        engine="envoy",
        capabilities=capabilities,
        version="1",
        ready=True,
        virtual_servers=3,
        sessions=SESSIONS,
    )


def test_a_group_can_do_what_all_its_nodes_can() -> None:
    group = a_group(nodes=("n1", "n2"))
    proxy = {"tcp", "udp", "affinity", "source-ranges", "proxy-protocol"}
    assert capabilities_of(group, {}) == proxy
    assert capabilities_of(group, {"n1": said("n1", "tcp", "sctp")}) == {"tcp"}
    assert capabilities_of(group, {"n1": said("n1", "tcp", "udp"), "n2": said("n2", "udp")}) == {"udp"}
    assert capabilities_of(group, {"stranger": said("stranger")}) == proxy


def test_what_a_kernel_can_is_known_before_its_nodes_are_heard() -> None:
    kernel = {"tcp", "udp", "sctp", "affinity", "source-ranges", "schedulers", "drain"}
    group = a_group(engine=EngineName.IPVS, nodes=("n1", "n2"))
    assert capabilities_of(group, {}) == kernel
    without_filter = said("n1", *(kernel - {"source-ranges"}))
    assert capabilities_of(group, {"n1": without_filter}) == kernel - {"source-ranges"}


@pytest.mark.parametrize("forwarding", Forwarding)
def test_the_forwarding_says_whether_backends_see_the_client(forwarding: Forwarding) -> None:
    group = a_group(engine=EngineName.IPVS, nodes=("n1",), forwarding=forwarding)
    kept = forwarding is not Forwarding.MASQUERADE
    for heard in ({}, {"n1": said("n1", "tcp")}, {"n1": said("n1", "tcp", "client-address")}):
        assert ("client-address" in capabilities_of(group, heard)) is kept


def test_a_group_carries_as_its_spec_says() -> None:
    group = a_group(engine=EngineName.IPVS, forwarding=Forwarding.GUE, scheduler=Scheduler.SOURCE_HASH, drain_seconds=7)
    routes = {"192.0.2.1": PoolRoute("192.0.2.0/24", Announcement.BGP)}
    assert carriage_of(group.spec, routes) == Carriage(
        forwarding=Forwarding.GUE, scheduler=Scheduler.SOURCE_HASH, drain_seconds=7, routes=routes
    )
    assert delivery_of(group.spec) == Delivery(IpMode.VIP, keeps_client_address=True)
    assert delivery_of(a_group(engine=EngineName.IPVS).spec) == Delivery(IpMode.VIP)
    assert delivery_of(a_group().spec) == Delivery(IpMode.PROXY)


def test_only_what_a_plan_depends_on_makes_groups_carry_otherwise() -> None:
    one = a_group(engine=EngineName.IPVS)
    assert carries_alike(one.spec, a_group(engine=EngineName.IPVS, nodes=("other",)).spec)
    for change in ({"forwarding": Forwarding.IPIP}, {"scheduler": Scheduler.MAGLEV}, {"drain_seconds": 0}):
        assert not carries_alike(one.spec, a_group(engine=EngineName.IPVS, **change).spec)
    assert not carries_alike(one.spec, a_group().spec)


def test_every_node_of_the_spec_is_shown() -> None:
    shown = nodes_as_heard(a_group(nodes=("n2", "n1")), {"n1": said("n1", "udp", "tcp"), "stranger": said("stranger")})
    assert shown == (
        BalancerNode(name="n2"),
        BalancerNode(
            name="n1", version="1", capabilities=("tcp", "udp"), ready=True, virtual_servers=3, sessions=SESSIONS
        ),
    )


def test_what_nodes_cannot_say_by_bgp_is_named_with_its_cure() -> None:
    peer = BgpPeer(name="tor", address="10.0.0.1", asn=65000)
    envoys = a_group(bgp=BgpSpeaking(asn=65001, peers=(peer,)))
    assert routing_problems(envoys.spec) == [
        "the engine envoy announces nothing; set spec.engine to ipvs, or remove spec.bgp"
    ]
    stranger = BgpPeer(name="tor", address="10.0.0.1", asn=65000, nodes=("node-9",))
    found = routing_problems(a_group(engine=EngineName.IPVS, bgp=BgpSpeaking(asn=65001, peers=(stranger,))).spec)
    assert len(found) == 1
    assert "node-9" in found[0]
    assert routing_problems(a_group().spec) == []
