import itertools

from msgspec.structs import replace

from fleetlb.contracts.objects import LoadBalancerSpec
from fleetlb.domain.allowances import bounds_of, objection_to
from fleetlb.domain.pool_networks import parse_pool_networks
from fleetlb.domain.services import ServicePort
from fleetlb.domain.tenancy import Grant, parse_node_networks
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_manager.allowances import decide_allowance, goes_beyond, is_kept
from fleetlb_manager.carried import CarriedPool
from tests.unit.fleetlb_manager.manager_world import a_key, a_load_balancer

GRANT = Grant(
    tenant="acme",
    node_networks=parse_node_networks(["10.1.0.0/16"]),
    pod_networks=parse_node_networks(["10.128.0.0/14"]),
    node_ports=range(30000, 32768),
)
POOLS = {
    "gold": parse_pool_networks("default", ["192.0.2.0/25"]),
    "other": parse_pool_networks("default", ["192.0.2.128-192.0.2.191"], ["192.0.2.130"]),
    "elsewhere": parse_pool_networks("edge", ["198.51.100.0/24"]),
}


def holding(*addresses: str, node_port: int = 30100, group: str = "default", pool: str = "gold") -> LoadBalancerSpec:
    spec = a_load_balancer(a_key(), *addresses).spec
    ports = (ServicePort(port=443, node_port=node_port),)
    return replace(spec, group=group, pool=pool, service=replace(spec.service, ports=ports))


def test_a_tenant_may_have_what_it_is_granted_and_the_pools_of_the_group() -> None:
    allowed = decide_allowance(GRANT, "default", POOLS, [holding("192.0.2.1")])
    assert (allowed.node_cidrs, allowed.pod_cidrs) == (("10.1.0.0/16",), ("10.128.0.0/14",))
    assert (allowed.node_port_range, allowed.more_node_ports) == ("30000-32767", ())
    assert allowed.prefixes[0] == "192.0.2.0/25"
    bounds = bounds_of(allowed)
    assert objection_to(bounds, a_virtual_server("192.0.2.191:80/tcp", ["10.1.2.3:30000"])) == ""
    for beyond in ("192.0.2.130", "192.0.2.192", "198.51.100.1"):
        assert "AddressPool" in objection_to(bounds, a_virtual_server(f"{beyond}:80/tcp", []))


def test_pools_and_groups_that_it_may_not_use_are_not_named() -> None:
    assert decide_allowance(replace(GRANT, pools=frozenset({"gold"})), "default", POOLS, []).prefixes == (
        "192.0.2.0/25",
    )
    assert decide_allowance(replace(GRANT, groups=frozenset({"edge"})), "default", POOLS, []).prefixes == ()


def test_what_it_holds_from_before_stays_named() -> None:
    held = [
        holding("203.0.113.9", "2001:db8::9", node_port=20000),
        holding("198.51.100.7", group="edge", node_port=20001),
        replace(holding(node_port=20002), addresses=()),
    ]
    allowed = decide_allowance(replace(GRANT, pools=frozenset({"gold"})), "default", POOLS, held)
    assert allowed.prefixes == ("192.0.2.0/25", "2001:db8::9/128", "203.0.113.9/32")
    assert allowed.more_node_ports == (20000,)


def test_order_does_not_matter() -> None:
    held = [holding(f"203.0.113.{number}", node_port=20000 + number) for number in range(3)]
    assert len({decide_allowance(GRANT, "default", POOLS, some) for some in itertools.permutations(held)}) == 1


def test_what_is_named_by_itself_goes_beyond_the_grant_and_nothing_else_does() -> None:
    assert not goes_beyond(GRANT, POOLS, holding("192.0.2.1"))
    assert not goes_beyond(GRANT, POOLS, holding("192.0.2.129", pool="gone"))
    assert not goes_beyond(GRANT, POOLS, holding("192.0.2.1", "192.0.2.129"))
    assert goes_beyond(GRANT, POOLS, holding("192.0.2.1", "192.0.2.130"))
    assert goes_beyond(GRANT, POOLS, holding("192.0.2.1", node_port=20000))
    assert goes_beyond(replace(GRANT, pools=frozenset({"other"})), POOLS, holding("192.0.2.1"))
    assert not goes_beyond(GRANT, POOLS, replace(holding(node_port=20000), addresses=()))


def test_a_pool_that_left_is_kept_where_something_of_it_is_left_and_nothing_of_it_goes_beyond() -> None:
    left = {**POOLS, "gold": replace(POOLS["gold"], group="edge")}
    assert is_kept(GRANT, left, CarriedPool("acme", "default", "gold"))
    assert not is_kept(GRANT, left, CarriedPool("acme", "edge", "gold"))
    assert not is_kept(GRANT, left, CarriedPool("acme", "default", "gone"))
    assert not is_kept(replace(GRANT, pools=frozenset({"other"})), left, CarriedPool("acme", "default", "gold"))
    assert not goes_beyond(GRANT, left, holding("192.0.2.1"))
    assert goes_beyond(GRANT, left, holding("203.0.113.1"))
    assert decide_allowance(GRANT, "default", left, [holding("192.0.2.1")]).prefixes[0] == "192.0.2.0/25"
