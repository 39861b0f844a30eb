import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey, parse_key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (VirtualServerKey("127.77.0.5", 443, Protocol.TCP), "127.77.0.5:443/tcp"),
        (VirtualServerKey("::1", 53, Protocol.UDP), "[::1]:53/udp"),
        (VirtualServerKey("fd00:abcd::5", 65535, Protocol.SCTP), "[fd00:abcd::5]:65535/sctp"),
    ],
)
def test_one_string_form(key: VirtualServerKey, text: str) -> None:
    assert str(key) == text
    assert parse_key(text) == key


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(Protocol))
def test_reading_is_the_inverse_of_writing(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, protocol: Protocol
) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return
    key = VirtualServerKey(str(address), port, protocol)
    assert parse_key(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        ":/",
        "10.0.0.1",
        "10.0.0.1:443",
        "10.0.0.1/tcp",
        "10.0.0.1:443/TCP",
        "10.0.0.1:443/icmp",
        "10.0.0.1:0443/tcp",
        "10.0.0.1:+443/tcp",
        "10.0.0.1:4_43/tcp",
        "10.0.0.1: 443/tcp",
        "10.0.0.1:0/tcp",
        "10.0.0.1:65536/tcp",
        "10.0.0.1:-1/tcp",
        "[10.0.0.1]:443/tcp",
        "::1:443/tcp",
        "[::0]:443/tcp",
        "[FD00::1]:443/tcp",
        "[::1%lo]:443/tcp",
        "[::ffff:10.0.0.1]:443/tcp",
        "[[::1]]:443/tcp",
        "example.org:443/tcp",
        "10.0.0.1:443/tcp\n",
        "x" * 10_000,
    ],
    ids=lambda text: repr(text[:32]),
)
def test_nothing_else_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="is no virtual server") as problem:
        parse_key(text)
    assert len(str(problem.value)) < 300


def test_keys_sort_and_count_as_values() -> None:
    one, two = VirtualServerKey("10.0.0.1", 1, Protocol.TCP), VirtualServerKey("10.0.0.1", 2, Protocol.TCP)
    assert sorted([two, one]) == [one, two]
    assert len({one, two, VirtualServerKey("10.0.0.1", 1, Protocol.TCP)}) == 2
    assert len({one, VirtualServerKey("10.0.0.1", 1, Protocol.UDP)}) == 2


def test_a_virtual_server_is_a_value() -> None:
    key = VirtualServerKey("10.0.0.1", 1, Protocol.TCP)
    one, two = (VirtualServer(key=key, real_servers=(RealServer("10.1.0.1", 30000),)) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
