import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.conditions import Reason
from fleetlb.domain.planning import PlannedServer, judge_capabilities, keys_of, plan_virtual_servers
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import Grant, is_backend_allowed, parse_node_networks
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey

GRANT = Grant(
    tenant="acme", node_networks=parse_node_networks(["10.1.0.0/16", "fd00::/64"]), node_ports=range(30000, 32768)
)
VIP, VIP6 = "192.0.2.7", "2001:db8::7"
ODD = ServicePort(port=4443, node_port=31777)
NODES = (
    TenantNode(name="b", addresses=("10.1.0.2", "fd00::2")),
    TenantNode(name="a", addresses=("10.1.0.1", "fd00::1")),
    TenantNode(name="c", addresses=("10.1.0.3",), eligible=False),
)
READY = ServiceEndpoints(ready=True, nodes=("a",))


def a_service(*ports: ServicePort, **changes: object) -> TenantService:
    """A service, with changes."""
    return msgspec.structs.replace(TenantService(namespace="n", name="s", ports=ports or (ODD,)), **changes)


def plan(
    service: TenantService | None = None,
    endpoints: ServiceEndpoints | None = READY,
    nodes: tuple[TenantNode, ...] = NODES,
    addresses: tuple[str, ...] = (VIP,),
) -> tuple[PlannedServer, ...]:
    return plan_virtual_servers(service or a_service(), addresses, endpoints, nodes, GRANT)


def test_the_one_rename_of_a_port() -> None:
    assert plan() == (
        PlannedServer(
            VirtualServer(
                key=VirtualServerKey(VIP, 4443, Protocol.TCP),
                real_servers=(RealServer("10.1.0.1", 31777, node="a"), RealServer("10.1.0.2", 31777, node="b")),
            )
        ),
    )


def test_one_virtual_server_per_address_and_port() -> None:
    service = a_service(ODD, ServicePort(port=53, node_port=30053, protocol=Protocol.UDP))
    planned = plan(service, addresses=(VIP, VIP6))
    assert [str(p.server.key) for p in planned] == [
        "192.0.2.7:4443/tcp",
        "192.0.2.7:53/udp",
        "[2001:db8::7]:4443/tcp",
        "[2001:db8::7]:53/udp",
    ]
    assert tuple(p.server.key for p in planned) == keys_of((VIP, VIP6), service.ports)
    assert [r.address for r in planned[2].server.real_servers] == ["fd00::1", "fd00::2"]
    assert [r.port for r in planned[3].server.real_servers] == [30053, 30053]
    assert keys_of(iter((VIP,)), iter(service.ports)) == keys_of((VIP,), service.ports)


@pytest.mark.parametrize(
    ("endpoints", "nodes", "policy", "expected", "reason"),
    [
        (READY, NODES, TrafficPolicy.CLUSTER, ["a", "b"], None),
        (None, NODES, TrafficPolicy.CLUSTER, ["a", "b"], None),
        (ServiceEndpoints(), NODES, TrafficPolicy.CLUSTER, [], Reason.NO_READY_BACKEND),
        (READY, NODES, TrafficPolicy.LOCAL, ["a"], None),
        (None, NODES, TrafficPolicy.LOCAL, [], Reason.NO_READY_BACKEND),
        (ServiceEndpoints(ready=True, nodes=("c",)), NODES, TrafficPolicy.LOCAL, [], Reason.NO_READY_BACKEND),
        (ServiceEndpoints(nodes=("a",)), NODES, TrafficPolicy.LOCAL, [], Reason.NO_READY_BACKEND),
        (READY, (), TrafficPolicy.CLUSTER, [], Reason.NO_ELIGIBLE_NODE),
        (READY, NODES[2:], TrafficPolicy.CLUSTER, [], Reason.NO_ELIGIBLE_NODE),
        (
            READY,
            (TenantNode(name="x", addresses=("10.9.0.1",)),),
            TrafficPolicy.CLUSTER,
            [],
            Reason.BACKEND_NOT_ALLOWED,
        ),
        (READY, (TenantNode(name="x"),), TrafficPolicy.CLUSTER, [], Reason.BACKEND_NOT_ALLOWED),
        (READY, (*NODES, TenantNode(name="x")), TrafficPolicy.CLUSTER, ["a", "b"], None),
    ],
    ids=[
        "ready",
        "no slice",
        "none ready",
        "local",
        "local, no slice",
        "local, on no eligible node",
        "local, none ready",
        "no node",
        "no eligible node",
        "outside the grant",
        "no address",
        "one of three without address",
    ],
)
def test_which_nodes_take_connections(
    endpoints: ServiceEndpoints | None,
    nodes: tuple[TenantNode, ...],
    policy: TrafficPolicy,
    expected: list[str],
    reason: Reason | None,
) -> None:
    (planned,) = plan(a_service(external_traffic_policy=policy), endpoints, nodes)
    assert ([r.node for r in planned.server.real_servers], planned.reason) == (expected, reason)


def test_of_nodes_that_claim_one_address_one_counts() -> None:
    twins = (TenantNode(name="z", addresses=("10.1.0.1",)), TenantNode(name="y", addresses=("10.1.0.1",)))
    for nodes in (twins, twins[::-1]):
        assert plan(nodes=nodes)[0].server.real_servers == (RealServer("10.1.0.1", 31777, node="y"),)


def test_affinity_needs_a_hashing_scheduler() -> None:
    assert plan()[0].server.scheduler is Scheduler.LEAST_CONNECTION
    assert plan(a_service(affinity_seconds=60))[0].server.scheduler is Scheduler.MAGLEV


nodes = st.lists(
    st.builds(
        TenantNode,
        name=st.sampled_from("abcdefgh"),
        addresses=st.lists(
            st.sampled_from(["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.9.0.1", "fd00::1", "fd00::2", "fe80::1"]),
            max_size=3,
        ).map(tuple),
        eligible=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda node: node.name,
)
endpoints = st.none() | st.builds(
    ServiceEndpoints, ready=st.booleans(), nodes=st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple)
)
services = st.builds(
    lambda ports, policy: a_service(*ports, external_traffic_policy=policy),
    st.lists(
        st.builds(
            ServicePort,
            port=st.integers(1, 65535),
            node_port=st.integers(30000, 32767),
            protocol=st.sampled_from(Protocol),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(TrafficPolicy),
)
vips = st.lists(st.sampled_from([VIP, VIP6]), max_size=2, unique=True)


@given(services, vips, endpoints, nodes, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_the_nodes(
    service: TenantService,
    addresses: list[str],
    where: ServiceEndpoints | None,
    many: list[TenantNode],
    chance: random.Random,
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, GRANT)
    chance.shuffle(many)
    assert plan_virtual_servers(service, addresses, where, iter(many), GRANT) == planned


@given(services, vips, endpoints, nodes)
def test_whatever_is_planned_is_allowed_sorted_and_explained(
    service: TenantService, addresses: list[str], where: ServiceEndpoints | None, many: list[TenantNode]
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, GRANT)
    assert [p.server.key for p in planned] == list(keys_of(addresses, service.ports))
    for one in planned:
        real = one.server.real_servers
        assert list(real) == sorted(real)
        assert len({(r.address, r.port) for r in real}) == len(real)
        assert bool(real) == (one.reason is None)
        assert all(is_backend_allowed(GRANT, r.address) for r in real)
        assert all((":" in r.address) == (":" in one.server.key.address) for r in real)
        assert {r.node for r in real} <= {node.name for node in many if node.eligible}


@pytest.mark.parametrize(
    ("service", "capabilities", "message"),
    [
        (a_service(), {"tcp"}, None),
        (a_service(ServicePort(port=1, node_port=30000, protocol=Protocol.SCTP)), {"tcp", "udp", "sctp"}, None),
        (
            a_service(ODD, ServicePort(port=5, node_port=30000, protocol=Protocol.UDP)),
            {"tcp"},
            "protocol UDP of port 5",
        ),
        (a_service(ServicePort(port=1, node_port=30000, protocol=Protocol.SCTP)), {"tcp", "udp"}, "protocol SCTP"),
        (a_service(affinity_seconds=1), {"tcp"}, "spec.sessionAffinity"),
        (a_service(affinity_seconds=1), {"tcp", "affinity"}, None),
        (a_service(), set(), "protocol TCP of port 4443"),
    ],
)
def test_a_field_is_honoured_or_refused(service: TenantService, capabilities: set[str], message: str | None) -> None:
    refusal = judge_capabilities(service, frozenset(capabilities))
    if message is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.reason is Reason.UNSUPPORTED
        assert message in refusal.message
