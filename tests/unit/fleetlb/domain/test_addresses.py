import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, claim_name, family_of, is_loopback, parse_address, parse_network

STRANGE_ADDRESSES = [
    "",
    " ",
    "10.0.0.1 ",
    " 10.0.0.1",
    "10.0.0.1\n",
    "010.0.0.1",
    "1.2.3",
    "0x7f.1",
    "2130706433",
    "10.0.0.1.",
    "10.0.0.256",
    "10.0.0.-1",
    "10.0.0.1:80",
    "[::1]",
    "::1%eth0",
    "fe80::1%1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "g::1",
    "10.0.0.0/8",
    "１０.0.0.1",
    "localhost",
    "10.0.0.1\x00",
    "9" * 100_000,
]


@pytest.mark.parametrize("text", STRANGE_ADDRESSES, ids=lambda text: repr(text[:24]))
def test_strange_addresses_are_refused_by_a_sentence_that_names_them(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an IP address|is a mapped or zoned") as problem:
        parse_address(text)
    assert repr(text[:64]) in str(problem.value)
    assert len(str(problem.value)) < 256


@given(st.ip_addresses())
def test_every_other_address_reads_as_it_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return
    assert parse_address(str(address)) == address


@given(st.text(max_size=60))
def test_no_text_makes_parsing_fail_otherwise(text: str) -> None:
    for parse in (parse_address, parse_network):
        said = repr(text[:64])
        try:
            parse(text)
        except ValueError as problem:
            said = str(problem)
        assert repr(text[:64]) in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("10.1.2.2/31", "10.1.2.2/31"),
        ("FD00::/8", "fd00::/8"),
        ("fd00:0::0/127", "fd00::/127"),
        ("::/0", "::/0"),
    ],
)
def test_networks_are_read(text: str, expected: str) -> None:
    assert str(parse_network(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "10.1.0.1/16",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.255.255.255",
        "10.0.0.0/8/8",
        "10.0.0.0/８",
        "fe80::%eth0/64",
        "::ffff:10.0.0.0/104",
        "fd00::1/64",
        "fd00::/129",
        "/8",
        "10.0.0.0-10.0.0.9",
        "10.0.0.0/" + "9" * 10_000,
    ],
    ids=lambda text: text[:24],
)
def test_networks_with_host_bits_masks_zones_or_mapped_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CIDR") as problem:
        parse_network(text)
    assert len(str(problem.value)) < 300


def test_host_bits_are_cleared_where_they_are_allowed_and_nothing_else_is() -> None:
    assert str(parse_network("10.1.2.3/16", strict=False)) == "10.1.0.0/16"
    for text in ("10.0.0.0/255.0.0.0", "fe80::%eth0/64", "::ffff:10.0.0.1/104", "010.0.0.0/8", "10.0.0.0/33"):
        with pytest.raises(ValueError, match="is not a CIDR"):
            parse_network(text, strict=False)


def test_family_of_a_canonical_address() -> None:
    assert family_of("10.0.0.1") is Family.IPV4
    assert family_of("fd00::1") is Family.IPV6


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.77.0.5", "127.77.0.5"),
        ("::1", "0000-0000-0000-0000-0000-0000-0000-0001"),
        ("fd00:abcd::5", "fd00-abcd-0000-0000-0000-0000-0000-0005"),
    ],
)
def test_claim_names(address: str, name: str) -> None:
    assert claim_name(address) == name


@given(st.lists(st.ip_addresses(), unique=True, max_size=20))
def test_claim_names_are_unique_and_fit_an_object_name(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    names = [claim_name(str(address)) for address in addresses]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("0123456789abcdef.-") and len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.255.255.255", True), ("::1", True), ("10.0.0.1", False), ("::2", False)],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
