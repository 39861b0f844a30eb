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
from fleetlb.domain.pool_networks import PoolRoute
from fleetlb.domain.services import (
    Pod,
    PodGroup,
    PodPort,
    ServiceEndpoints,
    ServicePort,
    TenantNode,
    TenantService,
    TrafficPolicy,
)
from fleetlb.domain.tenancy import Grant, is_backend_allowed, parse_node_networks, parse_pod_networks, pod_address
from fleetlb.domain.virtual_servers import (
    Announcement,
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
DIRECT = msgspec.structs.replace(GRANT, pod_networks=parse_pod_networks(["10.244.0.0/16", "fd10::/64"]))
"""Pods may be dialled themselves."""
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
        (READY, (TenantNode(name="x"),), TrafficPolicy.CLUSTER, [], Reason.NO_ELIGIBLE_NODE),
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


HTTPS = ServicePort(port=443, name="https")
"""A port without a node port."""


def told(*pods: tuple[str, str], port: int = 8443, name: str = "https", ready: bool = True) -> ServiceEndpoints:
    """Pods that listen for one port, written (address, node)."""
    group = PodGroup(ports=(PodPort(name=name, port=port),), pods=tuple(Pod(*pod) for pod in pods))
    return ServiceEndpoints(ready=ready, pods=(group,) if pods else ())


def reals(planned: PlannedServer) -> list[str]:
    return [f"{r.address} {r.port} {r.node}" for r in planned.server.real_servers]


@pytest.mark.parametrize("policy", TrafficPolicy)
@pytest.mark.parametrize("port", [HTTPS, ServicePort(port=443, node_port=31777, name="https")])
def test_NPT_1_pods_that_are_granted_and_told_of_are_dialled_themselves(
    policy: TrafficPolicy, port: ServicePort
) -> None:
    where = told(("10.244.2.7", "b"), ("10.244.1.7", "c"))
    (planned,) = plan(a_service(port, external_traffic_policy=policy), where, grant=DIRECT)
    assert (reals(planned), planned.reason) == (["10.244.1.7 8443 c", "10.244.2.7 8443 b"], None)
    assert {(r.weight, r.check_port) for r in planned.server.real_servers} == {(1, 0)}


@pytest.mark.parametrize("nodes", [(), NODES[2:], (TenantNode(name="x", addresses=("10.9.0.1",)),)])
def test_whether_a_load_balancer_may_use_a_node_does_not_concern_the_pods_on_it(nodes: tuple[TenantNode, ...]) -> None:
    (planned,) = plan(a_service(HTTPS), told(("10.244.1.7", "c")), nodes, grant=DIRECT)
    assert (reals(planned), planned.reason) == (["10.244.1.7 8443 c"], None)


@pytest.mark.parametrize(
    ("grant", "endpoints", "expected", "reason"),
    [
        (GRANT, told(("10.244.1.7", "a")), ["10.1.0.1 31777 a", "10.1.0.2 31777 b"], None),
        (DIRECT, READY, ["10.1.0.1 31777 a", "10.1.0.2 31777 b"], None),
        (DIRECT, ServiceEndpoints(ready=True, crowded=True), ["10.1.0.1 31777 a", "10.1.0.2 31777 b"], None),
        (DIRECT, None, ["10.1.0.1 31777 a", "10.1.0.2 31777 b"], None),
        (DIRECT, told(ready=False), [], Reason.NO_READY_BACKEND),
    ],
    ids=["not granted", "not told", "too many", "no slice", "no pod"],
)
def test_otherwise_nodes_serve_at_their_node_ports(
    grant: Grant, endpoints: ServiceEndpoints | None, expected: list[str], reason: Reason | None
) -> None:
    (planned,) = plan(endpoints=endpoints, grant=grant)
    assert (reals(planned), planned.reason) == (expected, reason)


@pytest.mark.parametrize("policy", TrafficPolicy)
@pytest.mark.parametrize(
    ("grant", "endpoints", "reason"),
    [
        (GRANT, told(("10.244.1.7", "a")), Reason.NO_NODE_PORT),
        (DIRECT, ServiceEndpoints(ready=True, nodes=("a",)), Reason.NO_NODE_PORT),
        (DIRECT, ServiceEndpoints(ready=True, nodes=("a",), crowded=True), Reason.NO_NODE_PORT),
        (DIRECT, ServiceEndpoints(), Reason.NO_READY_BACKEND),
        (DIRECT, None, Reason.NO_READY_BACKEND),
    ],
)
def test_NPT_1_port_0_is_never_programmed(
    grant: Grant, endpoints: ServiceEndpoints | None, reason: Reason, policy: TrafficPolicy
) -> None:
    where = msgspec.structs.replace(endpoints, nodes=("a",)) if endpoints else None
    one, other = plan(a_service(HTTPS, ODD, external_traffic_policy=policy), where, grant=grant)
    assert (one.server.real_servers, one.reason) == ((), reason)
    assert all(r.port == 31777 for r in other.server.real_servers)


@pytest.mark.parametrize(
    ("port", "expected", "reason"),
    [
        (ServicePort(port=80, name="http"), ["10.244.0.1 8080", "10.244.0.2 9090"], None),
        (ServicePort(port=53, name="dns", protocol=Protocol.UDP), ["10.244.0.2 5353"], None),
        (ServicePort(port=53, name="dns"), [], Reason.NO_READY_BACKEND),
        (ServicePort(port=443, name="https"), [], Reason.NO_READY_BACKEND),
        (ServicePort(port=80), [], Reason.NO_READY_BACKEND),
    ],
)
def test_a_port_of_pods_is_found_by_name_and_protocol(
    port: ServicePort, expected: list[str], reason: Reason | None
) -> None:
    dns = PodPort(name="dns", protocol=Protocol.UDP, port=5353)
    groups = (
        PodGroup(ports=(PodPort(name="http", port=8080),), pods=(Pod("10.244.0.1"),)),
        PodGroup(ports=(dns, PodPort(name="http", port=9090)), pods=(Pod("10.244.0.2"),)),
    )
    (planned,) = plan(a_service(port), ServiceEndpoints(ready=True, pods=groups), grant=DIRECT)
    assert ([f"{r.address} {r.port}" for r in planned.server.real_servers], planned.reason) == (expected, reason)


def test_pods_serve_the_family_that_they_have_an_address_of() -> None:
    where = told(("10.244.1.7", "a"), ("fd10::7", "a"), ("fd10::8", "b"))
    v4, v6 = plan(a_service(HTTPS), where, addresses=(VIP, VIP6), grant=DIRECT)
    assert (reals(v4), reals(v6)) == (["10.244.1.7 8443 a"], ["fd10::7 8443 a", "fd10::8 8443 b"])
    v4, v6 = plan(a_service(HTTPS), told(("10.244.1.7", "a")), addresses=(VIP, VIP6), grant=DIRECT)
    assert (v4.reason, v6.reason, v6.server.real_servers) == (None, Reason.NO_READY_BACKEND, ())


@pytest.mark.parametrize(
    "address",
    ["10.1.0.1", "10.245.0.1", "169.254.169.254", "127.0.0.1", "224.0.0.1", "0.0.0.0", "nonsense", "100.100.100.200"],
)
def test_MUL_4_pods_outside_of_what_is_granted_are_no_backends(address: str) -> None:
    everywhere = msgspec.structs.replace(DIRECT, pod_networks=parse_pod_networks(["0.0.0.0/0"]))
    grant = DIRECT if address.startswith("10.") else everywhere
    (planned,) = plan(a_service(HTTPS), told((address, "a")), grant=grant)
    assert (planned.server.real_servers, planned.reason) == ((), Reason.BACKEND_NOT_ALLOWED)
    (planned,) = plan(a_service(HTTPS), told((address, "a"), ("10.244.1.7", "a")), grant=grant)
    assert (reals(planned), planned.reason) == (["10.244.1.7 8443 a"], None)


def test_of_pods_that_claim_one_place_one_counts() -> None:
    where = told(("fd10:0::7", "z"), ("fd10::7", "y"), ("FD10::7", "x"))
    (planned,) = plan(a_service(HTTPS), where, addresses=(VIP6,), grant=DIRECT)
    assert reals(planned) == ["fd10::7 8443 x"]


@pytest.mark.parametrize("forwarding", [forwarding for forwarding in Forwarding if forwarding.keeps_client_address])
def test_pods_are_named_with_their_own_port_whatever_the_forwarding(forwarding: Forwarding) -> None:
    where = told(("10.244.1.7", "a"), port=443)
    (planned,) = plan(a_service(HTTPS), where, carriage=Carriage(forwarding=forwarding), grant=DIRECT)
    assert reals(planned) == ["10.244.1.7 443 a"]


LOCAL = a_service(ODD, external_traffic_policy=TrafficPolicy.LOCAL, health_check_node_port=32000)


@pytest.mark.parametrize(
    ("service", "grant", "endpoints", "expected"),
    [
        (LOCAL, GRANT, READY, 32000),
        (LOCAL, GRANT, None, 32000),
        (LOCAL, GRANT, ServiceEndpoints(), 32000),
        (LOCAL, DIRECT, READY, 32000),
        (LOCAL, GRANT, ServiceEndpoints(ready=True, ending=True, nodes=("a",)), 0),
        (LOCAL, DIRECT, told(("10.244.1.7", "a"), name=""), 0),
        (msgspec.structs.replace(LOCAL, external_traffic_policy=TrafficPolicy.CLUSTER), GRANT, READY, 0),
        (msgspec.structs.replace(LOCAL, health_check_node_port=0), GRANT, READY, 0),
    ],
    ids=["local", "no slice", "none ready", "pods not told", "only ending", "pods", "cluster", "no port"],
)
def test_ETP_4_nodes_are_asked_under_policy_local_unless_their_answer_is_known(
    service: TenantService, grant: Grant, endpoints: ServiceEndpoints | None, expected: int
) -> None:
    (planned,) = plan(service, endpoints, grant=grant)
    assert planned.server.health_check_port == expected
    assert all(real_server.check_port == 0 for real_server in planned.server.real_servers)


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
    carriage = Carriage(drain_seconds=7, routes={VIP: PoolRoute("192.0.2.0/24", Announcement.LAYER2, "gold")})
    v4, v6 = plan(addresses=(VIP, VIP6), carriage=carriage)
    assert (v4.server.drain_seconds, v4.server.prefix) == (7, "192.0.2.0/24")
    assert (v6.server.drain_seconds, v6.server.prefix) == (7, "")
    assert (v4.server.announcement, v6.server.announcement) == (Announcement.LAYER2, Announcement.NONE)
    assert (v4.server.attributes_pool, v6.server.attributes_pool) == ("gold", "")


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


def pod_is_allowed(grant: Grant, address: str) -> bool:
    return pod_address(grant, Pod(address)) == address


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
groups = st.lists(
    st.builds(
        PodGroup,
        ports=st.lists(
            st.builds(PodPort, name=st.sampled_from(["", "x"]), port=st.integers(1, 3)), min_size=1, max_size=2
        ).map(tuple),
        pods=st.lists(
            st.builds(
                Pod,
                st.sampled_from(["10.244.0.1", "10.244.0.2", "10.1.0.1", "fd10::1", "fd10:0::1", "fe80::1", "?"]),
                st.sampled_from("ab"),
            ),
            max_size=4,
        ).map(tuple),
    ),
    max_size=3,
)
endpoints = st.none() | st.builds(
    ServiceEndpoints,
    ready=st.booleans(),
    nodes=st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple),
    pods=st.none() | groups.map(tuple),
)
grants = st.sampled_from([GRANT, DIRECT])
services = st.builds(
    lambda ports, policy, ranges, scheduler: a_service(
        *ports, external_traffic_policy=policy, source_ranges=ranges, scheduler=scheduler
    ),
    st.lists(
        st.builds(
            ServicePort,
            port=st.integers(1, 65535),
            node_port=st.just(0) | st.integers(30000, 32767),
            name=st.sampled_from(["", "x"]),
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
    routes=st.just({VIP: PoolRoute("192.0.2.0/24")}),
)
vips = st.lists(st.sampled_from([VIP, VIP6]), max_size=2, unique=True)


@given(services, vips, endpoints, nodes, carriages, grants, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_nodes_and_pods(
    service: TenantService,
    addresses: list[str],
    where: ServiceEndpoints | None,
    many: list[TenantNode],
    carriage: Carriage,
    grant: Grant,
    chance: random.Random,
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, grant, carriage)
    chance.shuffle(many)
    if where and where.pods:
        shuffled = [msgspec.structs.replace(one, pods=one.pods[::-1], ports=one.ports[::-1]) for one in where.pods]
        chance.shuffle(shuffled)
        where = msgspec.structs.replace(where, pods=tuple(shuffled))
    assert plan_virtual_servers(service, addresses, where, iter(many), grant, carriage) == planned


@given(services, vips, endpoints, nodes, carriages, grants)
def test_whatever_is_planned_is_allowed_sorted_and_explained(
    service: TenantService,
    addresses: list[str],
    where: ServiceEndpoints | None,
    many: list[TenantNode],
    carriage: Carriage,
    grant: Grant,
) -> None:
    planned = plan_virtual_servers(service, addresses, where, many, grant, carriage)
    is_direct = grant is DIRECT and where is not None and where.pods is not None
    assert [p.server.key for p in planned] == list(keys_of(addresses, service.ports))
    for one in planned:
        real = one.server.real_servers
        assert list(real) == sorted(real)
        assert len({(r.address, r.port) for r in real}) == len(real)
        assert bool(real) == (one.reason is None)
        assert all(r.port > 0 for r in real)
        is_allowed = pod_is_allowed if is_direct else is_backend_allowed
        assert all(is_allowed(grant, r.address) for r in real)
        assert all((":" in r.address) == (":" in one.server.key.address) for r in real)
        assert is_direct or {r.node for r in real} <= {node.name for node in many if node.eligible}
        ranges = one.server.source_ranges
        assert bool(ranges) == bool(service.source_ranges), "ranges of a Service never vanish, nor appear"
        assert all(family_of(text) is family_of(one.server.key.address) for text in ranges)
