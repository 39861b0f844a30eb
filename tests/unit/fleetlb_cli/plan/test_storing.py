"""What an API server fills in, as far as it concerns load balancers."""

from typing import Any

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.kube.service_objects import Service, ServiceMeta, ServicePortSpec, ServiceSpec
from fleetlb_cli.plan.manifests import ServiceWritten
from fleetlb_cli.plan.storing import Surroundings, as_stored, without_dry_ports

V4, V6 = Family.IPV4, Family.IPV6
PORTS = (ServicePortSpec(port=80), ServicePortSpec(port=81))


def stored(
    *, allocates: bool = True, standing: TenantService | None = None, families: tuple[Family, ...] = (V4,), **spec: Any
) -> ServiceSpec:
    meta = ServiceMeta(name="web", namespace="shop", uid="")
    service = Service(metadata=meta, spec=ServiceSpec(**{"type": "LoadBalancer", "ports": PORTS} | spec))
    around = Surroundings(node_ports=range(30000, 32768), families=families, standing=standing)
    return as_stored(ServiceWritten(service, allocates), around)


def a_standing(**wish: Any) -> TenantService:
    ports = (ServicePort(port=81, node_port=30000), ServicePort(port=90, node_port=30001))
    return TenantService(**{"namespace": "shop", "name": "web", "ports": ports} | wish)


def node_ports(spec: ServiceSpec) -> list[int]:
    return [port.node_port for port in spec.ports or ()]


def test_node_ports_are_of_the_tenants_range_and_each_is_another() -> None:
    assert node_ports(stored()) == [30000, 30001]
    assert node_ports(stored(ports=(ServicePortSpec(port=80), ServicePortSpec(port=1, node_port=30000)))) == [
        30001,
        30000,
    ]
    assert node_ports(stored(allocates=False)) == [0, 0]


def test_a_port_that_is_there_keeps_its_node_port() -> None:
    assert node_ports(stored(standing=a_standing())) == [30002, 30000]


def test_a_range_that_is_used_up_leaves_none() -> None:
    meta = ServiceMeta(name="web", namespace="shop", uid="")
    service = Service(metadata=meta, spec=ServiceSpec(type="LoadBalancer", ports=PORTS))
    spec = as_stored(ServiceWritten(service), Surroundings(node_ports=range(30000, 30001)))
    assert node_ports(spec) == [30000, 0]


@pytest.mark.parametrize(
    ("given", "health"),
    [
        ({}, 0),
        ({"external_traffic_policy": "Local"}, 30002),
        ({"external_traffic_policy": "Local", "health_check_node_port": 31000}, 31000),
        ({"external_traffic_policy": "Local", "standing": a_standing(health_check_node_port=30555)}, 30555),
    ],
)
def test_a_health_check_node_port_goes_with_the_policy_local(given: dict[str, Any], health: int) -> None:
    assert stored(**given).health_check_node_port == health


@pytest.mark.parametrize(
    ("given", "families"),
    [
        ({}, ("IPv4",)),
        ({"families": (V6,)}, ("IPv6",)),
        ({"families": (V4, V6)}, ("IPv4",)),
        ({"ip_families": ("IPv6",)}, ("IPv6",)),
        ({"ip_family_policy": "PreferDualStack"}, ("IPv4",)),
        ({"ip_family_policy": "PreferDualStack", "families": (V4, V6)}, ("IPv4", "IPv6")),
        ({"ip_family_policy": "PreferDualStack", "families": (V4, V6), "ip_families": ("IPv6",)}, ("IPv6", "IPv4")),
        ({"ip_family_policy": "RequireDualStack"}, ("IPv4", "IPv6")),
        ({"standing": a_standing(ip_families=(V6, V4))}, ("IPv6",)),
        ({"standing": a_standing(ip_families=(V6, V4)), "ip_family_policy": "RequireDualStack"}, ("IPv6", "IPv4")),
    ],
)
def test_families_are_filled_in_by_policy_and_cluster(given: dict[str, Any], families: tuple[str, ...]) -> None:
    assert stored(**given).ip_families == families


def test_what_a_dry_run_allocated_is_only_for_show() -> None:
    meta = ServiceMeta(name="web", namespace="shop", uid="")
    asked = (ServicePortSpec(port=80), ServicePortSpec(port=81, node_port=30081))
    shown = (ServicePortSpec(port=80, node_port=1), ServicePortSpec(port=81, node_port=30081, name="b"))
    written = ServiceWritten(Service(metadata=meta, spec=ServiceSpec(ports=asked)))
    full = Service(metadata=meta, spec=ServiceSpec(ports=shown, ip_families=("IPv6",), health_check_node_port=2))
    spec = without_dry_ports(written, full).service.spec
    assert (node_ports(spec), spec.ip_families, spec.health_check_node_port) == ([0, 30081], ("IPv6",), 0)


def test_what_is_no_load_balancer_is_left_alone() -> None:
    assert stored(type="ClusterIP").ports == PORTS
