import msgspec
import pytest

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.gating import MAX_REAL_SERVERS, objection_to


def _forwarding_to(address: str, port: int = 31000, weight: int = 1) -> VirtualServer:
    return msgspec.structs.replace(a_virtual_server(), real_servers=(RealServer(address, port, weight),))


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.7.9", "100.64.0.1", "203.0.113.9", "fd00::9", "2a00:1450::1"])
def test_ordinary_addresses_pass(address: str) -> None:
    assert objection_to(_forwarding_to(address), allow_loopback=False) == ""


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("0.1.2.3", "reserved"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "mapped"),
        ("::ffff:10.0.0.1", "mapped"),
        ("::127.0.0.1", "reserved"),
        ("64:ff9b::7f00:1", "reserved"),
        ("2002:7f00:1::", "reserved"),
        ("2001:0:5ef5:79fd::1", "reserved"),
        ("fe80::1%eth0", "zone"),
        ("010.0.0.1", "not an IP address"),
        ("0x7f.1", "not an IP address"),
        ("2130706433", "not an IP address"),
        ("10.0.0.1 ", "not an IP address"),
        ("10.0.0.1:80", "not an IP address"),
        ("node-1", "not an IP address"),
        ("", "not an IP address"),
    ],
)
def test_addresses_with_a_meaning_of_their_own_are_refused(address: str, word: str) -> None:
    assert word in objection_to(_forwarding_to(address), allow_loopback=False)


def test_loopback_needs_the_explicit_switch_and_the_switch_allows_nothing_else() -> None:
    assert objection_to(_forwarding_to("127.10.0.1"), allow_loopback=True) == ""
    assert objection_to(_forwarding_to("::1"), allow_loopback=True) == ""
    assert "link-local" in objection_to(_forwarding_to("169.254.169.254"), allow_loopback=True)
    assert "FLEETLB_ALLOW_LOOPBACK_BACKENDS" in objection_to(_forwarding_to("127.10.0.1"), allow_loopback=False)


@pytest.mark.parametrize("port", [0, -1, 65536, 2**40])
def test_ports_out_of_range_are_refused(port: int) -> None:
    assert "port" in objection_to(_forwarding_to("10.0.0.1", port=port), allow_loopback=False)
    key = VirtualServerKey("192.0.2.1", port, Protocol.TCP)
    assert "port" in objection_to(VirtualServer(key=key), allow_loopback=False)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_health_check_port_out_of_range_is_refused(port: int) -> None:
    server = a_virtual_server()
    assert objection_to(msgspec.structs.replace(server, health_check_port=32000), allow_loopback=False) == ""
    problem = objection_to(msgspec.structs.replace(server, health_check_port=port), allow_loopback=False)
    assert "health check port" in problem


@pytest.mark.parametrize("weight", [-1, 65536])
def test_weights_out_of_range_are_refused(weight: int) -> None:
    assert "weight" in objection_to(_forwarding_to("10.0.0.1", weight=weight), allow_loopback=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "224.0.0.5", "169.254.1.1", "::"])
def test_the_address_that_clients_dial_is_checked_too(address: str) -> None:
    server = VirtualServer(key=VirtualServerKey(address, 80, Protocol.TCP))
    assert objection_to(server, allow_loopback=False).startswith("the node refuses the address")


def test_one_bad_real_server_refuses_the_whole() -> None:
    server = a_virtual_server(real_servers=["10.0.0.1:31000", "169.254.169.254:80"])
    assert "169.254.169.254 port 80" in objection_to(server, allow_loopback=False)


def test_too_many_real_servers_are_refused() -> None:
    many = tuple(RealServer("10.0.0.1", 31000) for _ in range(MAX_REAL_SERVERS + 1))
    assert "at most" in objection_to(VirtualServer(key=a_virtual_server().key, real_servers=many), allow_loopback=False)
