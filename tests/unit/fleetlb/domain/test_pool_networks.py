import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.address_pools import lies_in, number_of, parse_interval, parse_intervals
from fleetlb.domain.pool_networks import PoolRoute, only_in, parse_pool_networks
from fleetlb.domain.virtual_servers import Announcement


def around(address: str, *texts: str) -> str:
    return parse_pool_networks("g", texts).around(address)


@pytest.mark.parametrize(
    ("address", "texts", "expected"),
    [
        ("192.0.2.7", ("192.0.2.0/24",), "192.0.2.0/24"),
        ("192.0.2.7", ("192.0.2.0/29", "192.0.2.8/29"), "192.0.2.0/29"),
        ("192.0.2.8", ("192.0.2.0/29", "192.0.2.8/29"), "192.0.2.8/29"),
        ("192.0.2.255", ("192.0.2.0/24",), "192.0.2.0/24"),
        ("192.0.3.0", ("192.0.2.0/24",), ""),
        ("192.0.1.255", ("192.0.2.0/24",), ""),
        ("192.0.2.7", ("192.0.2.7",), "192.0.2.7/32"),
        ("192.0.2.7", ("192.0.2.7-192.0.2.7",), "192.0.2.7/32"),
        ("192.0.2.7", ("192.0.2.5-192.0.2.20",), "192.0.2.6/31"),
        ("192.0.2.5", ("192.0.2.5-192.0.2.20",), "192.0.2.5/32"),
        ("192.0.2.12", ("192.0.2.5-192.0.2.20",), "192.0.2.8/29"),
        ("192.0.2.4", ("192.0.2.5-192.0.2.20",), ""),
        ("192.0.2.12", ("192.0.2.12", "192.0.2.5-192.0.2.20", "192.0.2.8/30"), "192.0.2.8/29"),
        ("192.0.2.8", ("192.0.2.5-192.0.2.20", "192.0.2.0/28"), "192.0.2.0/28"),
        ("2001:db8::7", ("192.0.2.0/24", "2001:db8::/64"), "2001:db8::/64"),
        ("2001:db8::7", ("::/0",), "::/0"),
        ("192.0.2.7", ("::/0",), ""),
        ("255.255.255.255", ("0.0.0.0/0",), "0.0.0.0/0"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",), "8000::/1"),
    ],
)
def test_an_address_is_routed_with_the_largest_network_of_its_pool(
    address: str, texts: tuple[str, ...], expected: str
) -> None:
    assert around(address, *texts) == around(address, *reversed(texts)) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", ""),
        ("192.0.2.255", ""),
        ("192.0.2.2", "192.0.2.2/31"),
        ("192.0.2.77", "192.0.2.64/26"),
        ("192.0.2.200", "192.0.2.192/27"),
        ("192.0.3.7", "192.0.3.0/24"),
        ("2001:db8::1", ""),
        ("2001:db8::ffff:0:0:1", "2001:db8:0:0:8000::/65"),
    ],
)
def test_what_is_excluded_is_routed_with_no_network(address: str, expected: str) -> None:
    excluded = ["192.0.2.0-192.0.2.1", "192.0.2.255", "2001:db8::1", "203.0.113.0/24"]
    texts = ["192.0.2.0/24", "192.0.3.0/24", "192.0.2.0/25", "2001:db8::/64"]
    assert parse_pool_networks("g", texts, excluded).around(address) == expected


def test_what_is_no_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"'192\.0\.2\.1/24'"):
        parse_pool_networks("g", ["192.0.2.1/24"])


def test_pools_compare_by_what_they_route_and_who_carries_it() -> None:
    halves, whole = ("192.0.2.0/25", "192.0.2.128/25"), ("192.0.2.0/24",)
    assert parse_pool_networks("g", halves) != parse_pool_networks("g", whole)
    assert parse_pool_networks("g", (*whole, *halves)) == parse_pool_networks("g", whole)
    assert parse_pool_networks("g", whole) != parse_pool_networks("h", whole)


def test_networks_that_are_announced_otherwise_are_others() -> None:
    whole = ("192.0.2.0/24", "198.51.100.0/24")
    quiet, told = parse_pool_networks("g", whole), parse_pool_networks("g", whole, (), Announcement.LAYER2)
    assert only_in(told, quiet) == told
    assert only_in(told, told).networks == ()
    own = parse_pool_networks("g", whole, (), Announcement.LAYER2, "gold")
    assert only_in(own, told) == own
    assert own.route_of("192.0.2.9") == PoolRoute("192.0.2.0/24", Announcement.LAYER2, "gold")
    assert own.route_of("203.0.113.9") is None


blocks = st.tuples(st.integers(0, 255), st.integers(24, 32)).map(
    lambda pair: str(ipaddress.ip_network((0xC0000200 | pair[0], pair[1]), strict=False))
)
spans = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(lambda pair: f"192.0.2.{min(pair)}-192.0.2.{max(pair)}")


@given(st.lists(blocks | spans, max_size=6), st.lists(blocks | spans, max_size=4))
def test_exactly_what_a_pool_may_give_out_is_routed(texts: list[str], excluded: list[str]) -> None:
    networks = parse_pool_networks("g", texts, excluded)
    wanted = parse_intervals(texts, excluded)
    for last in range(256):
        address = f"192.0.2.{last}"
        assert bool(networks.around(address)) is lies_in(wanted, *number_of(ipaddress.ip_address(address)))


@given(st.lists(blocks | spans, max_size=6), st.integers(0, 255))
def test_the_network_lies_inside_the_pool_and_holds_the_address(texts: list[str], last: int) -> None:
    address = ipaddress.ip_address(f"192.0.2.{last}")
    intervals = [parse_interval(text) for text in texts]
    found = around(str(address), *texts)
    assert bool(found) == any(i.first <= int(address) <= i.last for i in intervals)
    if found:
        network = ipaddress.IPv4Network(found)
        assert address in network
        assert all(any(i.first <= int(each) <= i.last for i in intervals) for each in network)
        named = [ipaddress.IPv4Network(text) for text in texts if "/" in text]
        assert not any(each.overlaps(network) and each.prefixlen < network.prefixlen for each in named)
