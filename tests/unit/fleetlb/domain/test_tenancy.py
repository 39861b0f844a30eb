import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import Pod, ServicePort, TenantNode, TenantService, TrafficPolicy
from fleetlb.domain.tenancy import (
    METADATA_ADDRESSES,
    Grant,
    Usage,
    backend_address,
    is_backend_allowed,
    is_ordinary,
    judge_wish,
    overlapping,
    parse_node_networks,
    parse_pod_networks,
    parse_port_range,
    pod_address,
)


def a_grant(*cidrs: str, **changes: object) -> Grant:
    """A grant of networks, with changes."""
    base = Grant(tenant="acme", node_networks=parse_node_networks(cidrs), node_ports=range(30000, 32768))
    return msgspec.structs.replace(base, **changes)


def a_service(*ports: tuple[int, int], **changes: object) -> TenantService:
    """A service with these (port, node port) pairs, with changes."""
    pairs = ports or ((80, 30080),)
    base = TenantService(namespace="n", name="s", ports=tuple(ServicePort(port=p, node_port=n) for p, n in pairs))
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30000-32767", range(30000, 32768)),
        ("1-65535", range(1, 65536)),
        ("80-80", range(80, 81)),
    ],
)
def test_port_ranges(text: str, expected: range) -> None:
    assert parse_port_range(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "0-5",
        "5-1",
        "1-65536",
        "a-b",
        "+1-2",
        " 1-2",
        "1-2\n",
        "1-2-3",
        "1_0-20",
        "１-２",
        "1" * 9999 + "-2",
    ],
    ids=lambda text: repr(text[:16]),
)
def test_a_bad_port_range_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write LOW-HIGH") as problem:
        parse_port_range(text)
    assert len(str(problem.value)) < 200


def test_node_networks_name_the_field() -> None:
    assert [str(n) for n in parse_node_networks(["10.1.0.0/16", "fd00::/48"])] == ["10.1.0.0/16", "fd00::/48"]
    assert parse_node_networks([]) == ()
    with pytest.raises(ValueError, match=r"^spec\.nodeCIDRs: '10\.1\.0\.1/16' is not a CIDR"):
        parse_node_networks(["10.1.0.0/16", "10.1.0.1/16"])


def test_pod_networks_name_their_own_field() -> None:
    assert [str(n) for n in parse_pod_networks(["10.244.0.0/16"])] == ["10.244.0.0/16"]
    with pytest.raises(ValueError, match=r"^spec\.podCIDRs: 'pods' is not a CIDR"):
        parse_pod_networks(["pods"])


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        (["10.1.0.0/16"], {}, None),
        (["10.1.0.0/16"], {"b": ["10.2.0.0/16"], "c": ["fd00::/8"]}, None),
        (["10.1.0.0/16"], {"b": ["10.0.0.0/8"]}, ("b", "10.1.0.0/16")),
        (["10.0.0.0/8"], {"b": ["10.2.3.4/32"]}, ("b", "10.0.0.0/8")),
        (["10.9.0.0/16", "fd00::/48"], {"b": ["10.1.0.0/16"], "c": ["fd00::/64"]}, ("c", "fd00::/48")),
        (["0.0.0.0/0"], {"b": ["::/0"]}, None),
        ([], {"b": ["10.0.0.0/8"]}, None),
    ],
    ids=["alone", "apart", "inside another", "around another", "second network", "families apart", "none"],
)
def test_overlaps(mine: list[str], others: dict[str, list[str]], expected: tuple[str, str] | None) -> None:
    found = overlapping(parse_node_networks(mine), {name: parse_node_networks(cidrs) for name, cidrs in others.items()})
    assert (found and (found[0], str(found[1]))) == expected


EVERYTHING = ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.10.0.5",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "::ffff:10.1.0.5",
        "fe80::1%eth0",
        "010.1.0.5",
        "10.1.0.5 ",
        "10.1.0.5:30000",
        "metadata.internal",
        "",
        *sorted(METADATA_ADDRESSES),
    ],
)
def test_addresses_with_a_meaning_of_their_own_are_no_backends_even_in_a_careless_network(address: str) -> None:
    assert not is_backend_allowed(a_grant(*EVERYTHING), address)
    assert pod_address(a_grant(pod_networks=parse_pod_networks(EVERYTHING)), Pod(address)) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.244.0.7", "10.244.0.7"), ("FD10:0::7", "fd10::7"), ("10.1.0.7", None), ("fd00::7", None)],
)
def test_pods_lie_in_their_own_networks_and_nodes_in_theirs(address: str, expected: str | None) -> None:
    grant = a_grant("10.1.0.0/16", "fd00::/64", pod_networks=parse_pod_networks(["10.244.0.0/16", "fd10::/64"]))
    assert pod_address(grant, Pod(address)) == expected
    assert is_backend_allowed(grant, address) is (expected is None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.0.0", True),
        ("10.1.255.255", True),
        ("10.2.0.0", False),
        ("10.0.255.255", False),
        ("fd00::5", True),
        ("fd01::5", False),
        ("::a01:5", False),
    ],
)
def test_backends_lie_in_the_tenants_networks(address: str, expected: bool) -> None:
    assert is_backend_allowed(a_grant("10.1.0.0/16", "fd00::/64"), address) is expected


@pytest.mark.parametrize("address", ["127.10.0.5", "::1"])
def test_loopback_needs_the_switch_and_the_network(address: str) -> None:
    assert is_backend_allowed(a_grant("127.10.0.0/16", "::1/128", allow_loopback=True), address)
    assert not is_backend_allowed(a_grant("127.10.0.0/16", "::1/128"), address)
    assert not is_backend_allowed(a_grant("10.1.0.0/16", allow_loopback=True), address)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "::", "fe80::1", "fd00:ec2::254"])
def test_the_switch_allows_loopback_alone(address: str) -> None:
    assert not is_backend_allowed(a_grant(*EVERYTHING, allow_loopback=True), address)


@given(st.ip_addresses())
def test_the_allow_list_agrees_with_plain_arithmetic(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    grant = a_grant("10.0.0.0/8", "128.0.0.0/1", "fd00::/8")
    value = int(address)
    tops = {10, *range(128, 256)} if address.version == 4 else {0xFD}
    inside = value >> (address.max_prefixlen - 8) in tops
    assert is_backend_allowed(grant, str(address)) == (inside and is_ordinary(address))


@pytest.mark.parametrize(
    ("addresses", "family", "expected"),
    [
        (("10.9.0.1", "10.1.0.7", "10.1.0.8"), Family.IPV4, "10.1.0.7"),
        (("fd00::7", "10.1.0.7"), Family.IPV4, "10.1.0.7"),
        (("10.1.0.7", "FD00:0::7"), Family.IPV6, "fd00::7"),
        (("10.9.0.1",), Family.IPV4, None),
        (("fd00::7",), Family.IPV4, None),
        ((), Family.IPV4, None),
        (("nonsense", "10.1.0.7"), Family.IPV4, "10.1.0.7"),
    ],
)
def test_the_first_allowed_address_of_the_family_is_used(
    addresses: tuple[str, ...], family: Family, expected: str | None
) -> None:
    grant = a_grant("10.1.0.0/16", "fd00::/64")
    assert backend_address(grant, TenantNode(name="n", addresses=addresses), family) == expected


@pytest.mark.parametrize(
    ("pools", "groups", "expected"),
    [((), (), True), (("p",), (), True), ((), ("g",), True), (("q",), (), False), (("p",), ("h",), False)],
)
def test_pools_are_granted_with_the_group_that_carries_them(
    pools: tuple[str, ...], groups: tuple[str, ...], expected: bool
) -> None:
    grant = a_grant(pools=frozenset(pools), groups=frozenset(groups))
    assert grant.may_use_pool("p", "g") is expected


def test_a_wish_within_everything_is_granted() -> None:
    grant = a_grant(max_load_balancers=3, max_addresses=3, max_ports=4)
    ranges = tuple(f"10.0.{n}.0/24" for n in range(256))
    service = a_service((80, 30000), (443, 32767), addresses=("10.0.0.1",), source_ranges=ranges)
    assert judge_wish(grant, service, Usage(load_balancers=2, addresses=2, ports=2)) is None
    assert judge_wish(a_grant(), service, Usage(load_balancers=10**6, addresses=10**6, ports=10**6)) is None


def test_NPT_1_without_a_node_port_it_needs_pods_that_are_reached_directly() -> None:
    service = a_service((80, 30080), (443, 0))
    refusal = judge_wish(a_grant("10.1.0.0/16"), service, Usage())
    assert refusal is not None
    assert refusal.reason is Reason.UNSUPPORTED
    for words in ("spec.ports: port 443 has no nodePort", "allocateLoadBalancerNodePorts to true", "podCIDRs"):
        assert words in refusal.message
    assert len(refusal.message) < 256
    assert judge_wish(a_grant(pod_networks=parse_pod_networks(["10.244.0.0/16"])), service, Usage()) is None


def test_NPT_2_a_node_port_must_be_in_range_where_pods_are_reached_directly_too() -> None:
    direct = a_grant(pod_networks=parse_pod_networks(["10.244.0.0/16"]))
    assert judge_wish(direct, a_service((80, 30080)), Usage()) is None
    refusal = judge_wish(direct, a_service((80, 29999)), Usage())
    assert refusal is not None
    assert refusal.reason is Reason.BACKEND_NOT_ALLOWED


def test_ETP_4_the_health_check_node_port_must_be_in_range_too() -> None:
    local = a_service(external_traffic_policy=TrafficPolicy.LOCAL, health_check_node_port=32000)
    assert judge_wish(a_grant(), local, Usage()) is None
    refusal = judge_wish(a_grant(), msgspec.structs.replace(local, health_check_node_port=10250), Usage())
    assert refusal is not None
    assert refusal.reason is Reason.BACKEND_NOT_ALLOWED
    assert refusal.message == "health check node port 10250 is outside the tenant's range 30000-32767"


@pytest.mark.parametrize(
    ("service", "usage", "reason", "message"),
    [
        (a_service((80, 29999)), Usage(), Reason.BACKEND_NOT_ALLOWED, "node port 29999 of port 80 is outside the"),
        (a_service((80, 30000), (81, 32768)), Usage(), Reason.BACKEND_NOT_ALLOWED, "range 30000-32767"),
        (a_service(), Usage(load_balancers=3), Reason.QUOTA_EXCEEDED, "quota loadBalancers: 3 of 3 used, 1 more"),
        (a_service(), Usage(addresses=4), Reason.QUOTA_EXCEEDED, "quota addresses: 4 of 4 used, 1 more"),
        (
            a_service(ip_families=(Family.IPV4, Family.IPV6)),
            Usage(addresses=3),
            Reason.QUOTA_EXCEEDED,
            "quota addresses: 3 of 4 used, 2 more",
        ),
        (a_service((1, 30001), (2, 30002)), Usage(ports=4), Reason.QUOTA_EXCEEDED, "quota ports: 4 of 5 used, 2 more"),
        (a_service((80, 30001), (80, 30002)), Usage(), Reason.INVALID, "spec.ports: a port and protocol stand there"),
        (a_service(ip_families=(Family.IPV4,) * 2), Usage(), Reason.INVALID, "spec.ipFamilies"),
        (a_service(addresses=("010.0.0.1",)), Usage(), Reason.INVALID, "addresses: '010.0.0.1' is not an IP address"),
        (a_service(addresses=("::ffff:1.2.3.4",)), Usage(), Reason.INVALID, "is a mapped or zoned"),
        (a_service(sharing_key="a\nb"), Usage(), Reason.INVALID, "fleetlb.dev/sharing-key: 'a\\nb' is no sharing key"),
        (a_service(addresses=("FD00::1",)), Usage(), Reason.INVALID, "is spelled fd00::1 in canonical form"),
        (a_service(addresses=("x" * 99999,)), Usage(), Reason.INVALID, "is not an IP address"),
        (a_service(health_check_node_port=32000), Usage(), Reason.INVALID, "spec.healthCheckNodePort: belongs to"),
        (a_service(source_ranges=("10.0.0.1/8",)), Usage(), Reason.INVALID, "Ranges: '10.0.0.1/8' is not in canonical"),
        (a_service(source_ranges=("everybody",)), Usage(), Reason.INVALID, "Ranges: 'everybody' is not a CIDR"),
        (a_service(source_ranges=("x" * 99999,)), Usage(), Reason.INVALID, "spec.loadBalancerSourceRanges: 'xxxx"),
        (a_service(source_ranges=("10.0.0.0/8",) * 2), Usage(), Reason.INVALID, "not in order, or one stands twice"),
        (a_service(source_ranges=("10.0.0.0/8", "9.0.0.0/8")), Usage(), Reason.INVALID, "not in order"),
        (
            a_service(source_ranges=tuple(f"10.{n // 256}.{n % 256}.0/24" for n in range(257))),
            Usage(),
            Reason.INVALID,
            "257 networks, at most 256",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_wish_is_refused_with_code_and_sentence(
    service: TenantService, usage: Usage, reason: Reason, message: str
) -> None:
    grant = a_grant(max_load_balancers=3, max_addresses=4, max_ports=5)
    refusal = judge_wish(grant, service, usage)
    assert refusal is not None
    assert refusal.reason is reason
    assert message in refusal.message
    assert len(refusal.message) < 256


def test_an_address_that_is_shared_counts_against_no_quota() -> None:
    grant, usage = a_grant("10.0.0.0/8", max_addresses=1), Usage(addresses=1)
    assert judge_wish(grant, a_service(), usage, addresses=0) is None
    refusal = judge_wish(grant, a_service(), usage)
    assert refusal is not None
    assert refusal.reason is Reason.QUOTA_EXCEEDED


def test_one_number_on_two_protocols_is_no_contradiction() -> None:
    ports = (
        ServicePort(port=53, node_port=30053),
        ServicePort(port=53, node_port=30054, protocol=Protocol.UDP),
    )
    assert judge_wish(a_grant(), a_service(ports=ports), Usage()) is None
