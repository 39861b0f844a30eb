import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetlb.contracts.tenants import AnnotationRules, Quotas, Tenant
from fleetlb.domain.addresses import IPNetwork
from fleetlb.domain.annotation_policy import parse_policy
from fleetlb.domain.conditions import Reason
from fleetlb.domain.tenancy import overlapping, parse_node_networks
from fleetlb.domain.virtual_servers import FailurePolicy
from fleetlb_manager.registering import grant_of, register
from tests.unit.fleetlb_manager.manager_world import a_tenant


def aged(name: str, *cidrs: str, created: str = "2026-11-25T12:00:00Z") -> Tenant:
    tenant = a_tenant(name, *cidrs)
    return replace(tenant, metadata=replace(tenant.metadata, creation_timestamp=created))


def test_a_grant_is_the_spec_parsed() -> None:
    tenant = a_tenant("acme", "10.1.0.0/16", quotas=Quotas(load_balancers=3), node_port_range="30000-30010")
    tenant = replace(tenant, spec=replace(tenant.spec, failure_policy=FailurePolicy.CLOSED))
    grant = grant_of(tenant, allow_loopback=False)
    assert (grant.max_load_balancers, grant.max_ports, grant.node_ports) == (3, None, range(30000, 30011))
    assert grant.failure_policy is FailurePolicy.CLOSED
    assert not grant.allow_loopback


def test_an_annotation_policy_is_granted_or_its_field_is_named() -> None:
    rules = AnnotationRules(deny=("pool",), default={"scheduler": "rr"})
    grant = grant_of(a_tenant("acme", "10.1.0.0/16", annotations=rules), allow_loopback=False)
    assert grant.annotations == parse_policy(None, ["pool"], {"scheduler": "rr"})
    wrong = a_tenant("acme", "10.1.0.0/16", annotations=AnnotationRules(allow=("poool",)))
    refusal = register([wrong], allow_loopback=False)["acme"].refusal
    assert refusal is not None
    assert refusal.message.startswith("spec.annotations.allow: 'poool' is no annotation")


def test_the_younger_of_two_overlapping_tenants_waits() -> None:
    tenants = [
        aged("b-younger", "10.1.7.0/24", created="2026-11-25T12:00:02Z"),
        aged("a-elder", "10.1.0.0/16", created="2026-11-25T12:00:01Z"),
        aged("c-apart", "10.2.0.0/16", created="2026-11-25T12:00:03Z"),
    ]
    registered = register(tenants, allow_loopback=False)
    assert [name for name, found in registered.items() if found.grant] == ["a-elder", "c-apart"]
    refusal = registered["b-younger"].refusal
    assert refusal is not None
    assert refusal.reason is Reason.OVERLAP
    assert "10.1.7.0/24" in refusal.message
    assert "a-elder" in refusal.message


def test_who_is_not_served_keeps_nobody_out() -> None:
    tenants = [
        aged("a", "10.1.0.0/16"),
        aged("b", "10.1.0.0/24", "10.9.0.0/16", created="2026-11-25T12:00:01Z"),
        aged("c", "10.9.0.0/24", created="2026-11-25T12:00:02Z"),
    ]
    registered = register(tenants, allow_loopback=False)
    assert [name for name, found in registered.items() if found.grant] == ["a", "c"]


def aged_with_pods(name: str, nodes: str, pods: str, second: int) -> Tenant:
    tenant = aged(name, nodes, created=f"2026-11-25T12:00:{second:02}Z")
    return replace(tenant, spec=replace(tenant.spec, pod_cidrs=(pods,)))


@pytest.mark.parametrize(
    ("elder", "younger", "field"),
    [
        (("10.1.0.0/16", "10.244.0.0/16"), ("10.2.0.0/16", "10.244.8.0/24"), "spec.podCIDRs: 10.244.8.0/24"),
        (("10.1.0.0/16", "10.244.0.0/16"), ("10.244.8.0/24", "10.245.0.0/16"), "spec.nodeCIDRs: 10.244.8.0/24"),
        (("10.1.0.0/16", "10.244.0.0/16"), ("10.2.0.0/16", "10.1.7.0/24"), "spec.podCIDRs: 10.1.7.0/24"),
    ],
    ids=["pods in pods", "nodes in pods", "pods in nodes"],
)
def test_no_network_of_nodes_or_pods_is_granted_twice(
    elder: tuple[str, str], younger: tuple[str, str], field: str
) -> None:
    registered = register([aged_with_pods("b", *younger, 2), aged_with_pods("a", *elder, 1)], allow_loopback=False)
    assert registered["a"].grant is not None
    refusal = registered["b"].refusal
    assert refusal is not None
    assert (refusal.reason, field in refusal.message) == (Reason.OVERLAP, True)


def test_a_tenants_own_nodes_and_pods_may_share_a_network() -> None:
    registered = register([aged_with_pods("a", "10.0.0.0/8", "10.244.0.0/16", 1)], allow_loopback=False)
    grant = registered["a"].grant
    assert grant is not None
    assert [str(network) for network in grant.pod_networks] == ["10.244.0.0/16"]


def test_pod_networks_that_cannot_be_read_are_named() -> None:
    refusal = register([aged_with_pods("a", "10.1.0.0/16", "10.244.0.1/16", 1)], allow_loopback=False)["a"].refusal
    assert refusal is not None
    assert (refusal.reason, "spec.podCIDRs" in refusal.message) == (Reason.INVALID, True)


def test_of_one_age_the_name_decides() -> None:
    registered = register([aged("b", "10.1.0.0/16"), aged("a", "10.1.0.0/16")], allow_loopback=False)
    assert registered["a"].grant is not None
    assert registered["b"].grant is None


def test_a_tenant_that_cannot_be_read_hurts_nobody() -> None:
    registered = register([aged("a", "10.1.0.5/16"), aged("b", "10.1.0.0/16")], allow_loopback=False)
    refusal = registered["a"].refusal
    assert refusal is not None
    assert refusal.reason is Reason.INVALID
    assert "nodeCIDRs" in refusal.message
    assert registered["b"].grant is not None


def test_a_tenants_own_networks_may_nest() -> None:
    registered = register(
        [aged("a", "10.1.0.0/24", "10.0.0.0/8"), aged("b", "10.200.0.0/16", created="2026-11-25T12:00:01Z")],
        allow_loopback=False,
    )
    assert registered["a"].grant is not None
    assert registered["b"].grant is None


_networks = st.lists(
    st.builds(
        lambda third, length: f"10.0.{third & ~((1 << (24 - length)) - 1) if length < 24 else third}.0/{length}",
        st.integers(0, 15),
        st.integers(20, 24),
    ),
    min_size=1,
    max_size=3,
)


@given(st.lists(_networks, max_size=6))
def test_it_agrees_with_comparing_everyone_with_everyone(networks: list[list[str]]) -> None:
    tenants = [aged(f"t{index}", *cidrs) for index, cidrs in enumerate(networks)]
    accepted: dict[str, tuple[IPNetwork, ...]] = {}
    for tenant in tenants:
        mine = parse_node_networks(tenant.spec.node_cidrs)
        if overlapping(mine, accepted) is None:
            accepted[tenant.metadata.name] = mine
    registered = register(reversed(tenants), allow_loopback=False)
    assert {name for name, found in registered.items() if found.grant} == set(accepted)
