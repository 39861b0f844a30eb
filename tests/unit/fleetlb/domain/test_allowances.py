import pytest

from fleetlb.domain.allowances import Allowance, bounds_of, objection_to
from fleetlb.domain.virtual_servers import Forwarding, RealServer, VirtualServer, parse_key

ALLOWANCE = Allowance(
    node_cidrs=("10.1.0.0/16", "2001:db8:1::/64"),
    pod_cidrs=("10.128.0.0/14",),
    node_port_range="30000-31999",
    more_node_ports=(32111,),
    prefixes=("192.0.2.0/24", "198.51.100.7/32", "2001:db8:f::/64"),
)


def server(
    *real_servers: RealServer,
    key: str = "192.0.2.1:443/tcp",
    forwarding: Forwarding = Forwarding.MASQUERADE,
    health_check_port: int = 0,
) -> VirtualServer:
    return VirtualServer(
        key=parse_key(key), real_servers=real_servers, forwarding=forwarding, health_check_port=health_check_port
    )


def objection(wanted: VirtualServer) -> str:
    return objection_to(bounds_of(ALLOWANCE), wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(server(), id="nobody"),
        pytest.param(server(RealServer("10.1.0.0", 30000), RealServer("10.1.255.255", 31999)), id="edges"),
        pytest.param(server(RealServer("10.1.2.3", 32111)), id="a port from before the range was narrowed"),
        pytest.param(server(RealServer("10.131.255.255", 8080)), id="a pod at any port"),
        pytest.param(server(RealServer("2001:db8:1::5", 30000), key="[2001:db8:f::1]:443/tcp"), id="IPv6"),
        pytest.param(server(RealServer("10.1.2.3", 30000), key="198.51.100.7:443/tcp"), id="a VIP that was kept"),
        pytest.param(server(RealServer("10.1.2.3", 30000), health_check_port=30001), id="health check port"),
        pytest.param(
            server(RealServer("10.1.2.3", 443, check_port=30000), forwarding=Forwarding.DIRECT),
            id="the port is kept, the node port only looked at",
        ),
        pytest.param(server(RealServer("10.1.2.3", 443), forwarding=Forwarding.IPIP), id="no node port is used"),
    ],
)
def test_what_is_granted_is_served(wanted: VirtualServer) -> None:
    assert objection(wanted) == ""


@pytest.mark.parametrize(
    ("wanted", "cure"),
    [
        pytest.param(server(RealServer("10.2.0.0", 30000)), "spec.nodeCIDRs", id="behind the end"),
        pytest.param(server(RealServer("10.0.255.255", 30000)), "spec.nodeCIDRs", id="before the beginning"),
        pytest.param(server(RealServer("2001:db8:2::5", 30000)), "spec.nodeCIDRs", id="IPv6"),
        pytest.param(server(RealServer("10.1.2.3", 29999)), "spec.nodePortRange", id="no node port"),
        pytest.param(server(RealServer("10.1.2.3", 32000)), "30000-31999", id="above the range"),
        pytest.param(server(RealServer("192.0.2.9", 30000)), "address for VIPs", id="a VIP"),
        pytest.param(server(key="198.51.100.8:443/tcp"), "spec.pools", id="another address as VIP"),
        pytest.param(server(health_check_port=22), "health check port 22", id="health check port"),
        pytest.param(
            server(RealServer("10.1.2.3", 443, check_port=22), forwarding=Forwarding.DIRECT), "range", id="check port"
        ),
        pytest.param(
            server(RealServer("10.1.2.3", 30000), RealServer("10.9.0.1", 30000)), "10.9.0.1 port 30000", id="one of two"
        ),
    ],
)
def test_what_is_not_granted_is_refused_with_its_cure(wanted: VirtualServer, cure: str) -> None:
    assert cure in objection(wanted)


def test_a_vip_is_no_backend_though_careless_networks_hold_it() -> None:
    careless = bounds_of(Allowance(node_cidrs=("0.0.0.0/0",), pod_cidrs=("0.0.0.0/0",), prefixes=("192.0.2.0/24",)))
    assert "address for VIPs" in objection_to(careless, server(RealServer("192.0.2.7", 30000)))
    assert objection_to(careless, server(RealServer("192.0.3.7", 1))) == ""


@pytest.mark.parametrize(
    "allowance",
    [
        Allowance(node_cidrs=("10.1.0.0/33",)),
        Allowance(pod_cidrs=("::ffff:10.0.0.0/104",)),
        Allowance(prefixes=("192.0.2.0-192.0.2.9",)),
        Allowance(node_port_range="9-1"),
    ],
)
def test_what_cannot_be_read_is_no_allowance(allowance: Allowance) -> None:
    with pytest.raises(ValueError, match=r"CIDR|nodePortRange"):
        bounds_of(allowance)
