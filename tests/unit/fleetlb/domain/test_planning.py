import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, Protocol, family_of, parse_network
from fleetlb.domain.conditions import Reason
from fleetlb.domain.planning import (
    ADMITS_NOBODY,
    Carriage,
    PlannedServer,
    keys_of,
    plan_virtual_servers,
)
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import Grant, is_backend_allowed, parse_node_networks
from fleetlb.domain.virtual_servers import (
    FailurePolicy,
    Forwarding,
    RealServer,
    Scheduler,
    VirtualServer,
    VirtualServerKey,
)

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
PLAIN = Carriage()
SCTP = ServicePort(port=1, node_port=30000, protocol=Protocol.SCTP)


def a_service(*ports: ServicePort, **changes: object) -> TenantService:
    """A service, with changes."""
    return msgspec.structs.replace(TenantService(namespace="n", name="s", ports=ports or (ODD,)), **changes)


def plan(
    service: TenantService | None = None,
    endpoints: ServiceEndpoints | None = READY,
    nodes: tuple[TenantNode, ...] = NODES,
    addresses: tuple[str, ...] = (VIP,),
    carriage: Carriage = PLAIN,
    grant: Grant = GRANT,
) -> tuple[PlannedServer, ...]:
    return plan_virtual_servers(service or a_service(), addresses, endpoints, nodes, grant, carriage)


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


def test_what_a_service_asks_for_of_its_own_reaches_its_virtual_servers() -> None:
    dns = ServicePort(port=53, node_port=30053, protocol=Protocol.UDP)
    asked = a_service(ODD, dns, proxy_protocol=True, drain_seconds=0)
    assert [(p.server.proxy_protocol, p.server.drain_seconds) for p in plan(asked)] == [(True, 0), (False, 0)]
    assert [p.server.drain_seconds for p in plan(carriage=Carriage(drain_seconds=7))] == [7]


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


@pytest.mark.parametrize("forwarding", Forwarding)
def test_what_keeps_the_clients_address_keeps_the_port_and_is_checked_at_the_node_port(forwarding: Forwarding) -> None:
    (planned,) = plan(carriage=Carriage(forwarding=forwarding))
    assert planned.server.forwarding is forwarding
    expected = (31777, 0) if forwarding is Forwarding.MASQUERADE else (4443, 31777)
    assert {(real.port, real.check_port) for real in planned.server.real_servers} == {expected}


def test_a_service_has_the_scheduler_of_its_group_unless_it_asks_for_one() -> None:
    group = Carriage(scheduler=Scheduler.WEIGHTED_ROUND_ROBIN)
    assert plan()[0].server.scheduler is Scheduler.LEAST_CONNECTION
    assert plan(carriage=group)[0].server.scheduler is Scheduler.WEIGHTED_ROUND_ROBIN
    asking = a_service(scheduler=Scheduler.SOURCE_HASH)
    assert plan(asking, carriage=group)[0].server.scheduler is Scheduler.SOURCE_HASH


def test_affinity_is_independent_of_the_scheduler() -> None:
    server = plan(a_service(affinity_seconds=60))[0].server
    assert (server.scheduler, server.affinity_seconds) == (Scheduler.LEAST_CONNECTION, 60)
    assert plan()[0].server.affinity_seconds == 0


def test_the_group_says_how_long_drains_take_and_the_pool_how_an_address_is_routed() -> None:
    carriage = Carriage(drain_seconds=7, prefixes={VIP: "192.0.2.0/24"})
    v4, v6 = plan(addresses=(VIP, VIP6), carriage=carriage)
    assert (v4.server.drain_seconds, v4.server.prefix) == (7, "192.0.2.0/24")
    assert (v6.server.drain_seconds, v6.server.prefix) == (7, "")


@pytest.mark.parametrize("policy", FailurePolicy)
def test_the_tenant_says_what_happens_when_most_backends_fail(policy: FailurePolicy) -> None:
    (planned,) = plan(grant=msgspec.structs.replace(GRANT, failure_policy=policy))
    assert planned.server.failure_policy is policy


@pytest.mark.parametrize(
    ("ranges", "v4", "v6"),
    [
        ((), (), ()),
        (("10.0.0.0/8", "2001:db8::/32"), ("10.0.0.0/8",), ("2001:db8::/32",)),
        (("10.0.0.0/8", "192.0.2.0/24"), ("10.0.0.0/8", "192.0.2.0/24"), ("::/128",)),
        (("::/0",), ("0.0.0.0/32",), ("::/0",)),
    ],
    ids=["none", "both", "IPv4 alone", "IPv6 alone"],
)
def test_ranges_count_for_their_own_family_and_no_range_of_a_family_lets_nobody_in(
    ranges: tuple[str, ...], v4: tuple[str, ...], v6: tuple[str, ...]
) -> None:
    planned = plan(a_service(source_ranges=ranges), addresses=(VIP, VIP6))
    assert [p.server.source_ranges for p in planned] == [v4, v6]


def test_whoever_admits_nobody_names_no_address_of_a_host() -> None:
    assert set(ADMITS_NOBODY) == set(Family)
    for family, (text,) in ADMITS_NOBODY.items():
        network = parse_network(text)
        assert family_of(text) is family
        assert network.num_addresses == 1
        assert network.network_address.is_unspecified


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
    lambda ports, policy, ranges, scheduler: a_service(
        *ports, external_traffic_policy=policy, source_ranges=ranges, scheduler=scheduler
    ),
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
    st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]), unique=True).map(sorted).map(tuple),
    st.none() | st.sampled_from(Scheduler),
)
carriages = st.builds(
    Carriage,
    forwarding=st.sampled_from(Forwarding),
    scheduler=st.sampled_from(Scheduler),
    drain_seconds=st.integers(0, 86_400),
    prefixes=st.just({VIP: "192.0.2.0/24"}),
)
vips = st.lists(st.sampled_from([VIP, VIP6]), max_size=2, unique=True)


@given(services, vips, endpoints, nodes, carriages, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_the_nodes(
    service: TenantService,
    addresses: list[str],
    where: ServiceEndpoints | None,
    many: list[TenantNode],
    carriage: Carriage,
    chance: random.Random,
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, GRANT, carriage)
    chance.shuffle(many)
    assert plan_virtual_servers(service, addresses, where, iter(many), GRANT, carriage) == planned


@given(services, vips, endpoints, nodes, carriages)
def test_whatever_is_planned_is_allowed_sorted_and_explained(
    service: TenantService,
    addresses: list[str],
    where: ServiceEndpoints | None,
    many: list[TenantNode],
    carriage: Carriage,
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, GRANT, carriage)
    assert [p.server.key for p in planned] == list(keys_of(addresses, service.ports))
    for one in planned:
        real = one.server.real_servers
        assert list(real) == sorted(real)
        assert len({(r.address, r.port) for r in real}) == len(real)
        assert bool(real) == (one.reason is None)
        assert all(is_backend_allowed(GRANT, r.address) for r in real)
        assert all((":" in r.address) == (":" in one.server.key.address) for r in real)
        assert {r.node for r in real} <= {node.name for node in many if node.eligible}
        ranges = one.server.source_ranges
        assert bool(ranges) == bool(service.source_ranges), "ranges of a Service never vanish, nor appear"
        assert all(family_of(text) is family_of(one.server.key.address) for text in ranges)
