import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain import address_pools
from fleetlb.domain.address_pools import (
    AddressRange,
    Interval,
    is_buggy,
    lies_in,
    number_of,
    overlap,
    parse_interval,
    parse_intervals,
    size_of,
    spell,
)
from fleetlb.domain.addresses import Family

V4, V6 = Family.IPV4, Family.IPV6
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def interval(first: str, last: str) -> Interval:
    family, low = number_of(ipaddress.ip_address(first))
    return Interval(family, low, number_of(ipaddress.ip_address(last))[1])


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10.0.0.0/30", "10.0.0.0", "10.0.0.3"),
        ("10.0.0.7", "10.0.0.7", "10.0.0.7"),
        ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
        ("10.0.0.6/31", "10.0.0.6", "10.0.0.7"),
        ("10.0.0.5-10.0.1.4", "10.0.0.5", "10.0.1.4"),
        ("10.0.0.5 - 10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("fd00::/126", "fd00::", "fd00::3"),
        ("fd00::-fd00::f", "fd00::", "fd00::f"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_intervals_are_read(text: str, first: str, last: str) -> None:
    assert parse_interval(text) == interval(first, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "10.0.0.1-",
        "-10.0.0.1",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-fd00::1",
        "10.0.0.1-10.0.0.2-10.0.0.3",
        "10.0.0.0/8-10.1.0.0/16",
        "10.0.0.1/24",
        "10.0.0.1-9",
        "::ffff:10.0.0.1-::ffff:10.0.0.2",
        "fe80::1%eth0-fe80::2%eth0",
        "pool",
    ],
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'"):
        parse_interval(text)


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_cidr_reads_as_the_standard_library_reads_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    length = min(length, address.max_prefixlen)
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        return
    read = parse_interval(str(network))
    assert (read.first, read.last, read.size) == (int(network[0]), int(network[-1]), network.num_addresses)


def test_intervals_are_merged_and_sorted() -> None:
    texts = ["10.0.0.8/30", "fd00::/64", "10.0.0.0/29", "10.0.0.2-10.0.0.3", "fd00:0:0:1::/64", "10.0.0.14", "fd01::1"]
    assert parse_intervals(texts) == (
        interval("10.0.0.0", "10.0.0.11"),
        interval("10.0.0.14", "10.0.0.14"),
        interval("fd00::", "fd00::1:ffff:ffff:ffff:ffff"),
        interval("fd01::1", "fd01::1"),
    )
    assert parse_intervals([]) == ()


def test_the_families_never_merge_though_their_numbers_touch() -> None:
    assert len(parse_intervals(["0.0.0.0/0", "::1:0:0-::1:0:f"])) == 2


spans = st.tuples(st.integers(0, 300), st.integers(0, 40))


@given(st.lists(spans, max_size=8))
def test_merging_keeps_the_set_of_addresses(pairs: list[tuple[int, int]]) -> None:
    merged = parse_intervals(f"{spell(V4, low)}-{spell(V4, low + length)}" for low, length in pairs)
    expected = {value for low, length in pairs for value in range(low, low + length + 1)}
    assert [value for i in merged for value in range(i.first, i.last + 1)] == sorted(expected)
    assert all(one.last + 1 < two.first for one, two in itertools.pairwise(merged))


def texts_of(pairs: list[tuple[int, int]]) -> list[str]:
    return [f"{spell(V4, low)}-{spell(V4, low + length)}" for low, length in pairs]


def values_of(pairs: list[tuple[int, int]]) -> set[int]:
    return {value for low, length in pairs for value in range(low, low + length + 1)}


@given(st.lists(spans, max_size=6), st.lists(spans, max_size=6))
def test_excluding_takes_exactly_the_excluded_away(
    pairs: list[tuple[int, int]], excluded: list[tuple[int, int]]
) -> None:
    left = parse_intervals(texts_of(pairs), texts_of(excluded))
    expected = values_of(pairs) - values_of(excluded)
    assert [value for i in left for value in range(i.first, i.last + 1)] == sorted(expected)
    assert all(one.last + 1 < two.first for one, two in itertools.pairwise(left))
    assert {value for value in range(345) if lies_in(left, V4, value)} == expected
    assert not any(lies_in(left, V6, value) for value in range(345))
    assert overlap(left, parse_intervals(texts_of(excluded))) is False


@given(st.lists(spans, max_size=6), st.lists(spans, max_size=6))
def test_sets_of_intervals_overlap_if_they_share_an_address(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    one, two = parse_intervals([*texts_of(some), "fd00::/64"]), parse_intervals(texts_of(others))
    assert overlap(one, two) is overlap(two, one) is bool(values_of(some) & values_of(others))


def test_networks_ranges_and_single_addresses_of_both_families_are_excluded_without_walking_them() -> None:
    excluded = ["fd00::/65", "10.0.0.0", "10.0.0.4-10.0.0.6", "10.0.0.254/31", "192.0.2.1", "::/96"]
    assert parse_intervals(["10.0.0.0/24", "fd00::/64"], excluded) == (
        interval("10.0.0.1", "10.0.0.3"),
        interval("10.0.0.7", "10.0.0.253"),
        interval("fd00::8000:0:0:0", "fd00::ffff:ffff:ffff:ffff"),
    )
    assert parse_intervals(["10.0.0.0/30"], ["0.0.0.0/0"]) == ()
    with pytest.raises(ValueError, match=r"^'10\.0\.0\.1/8'"):
        parse_intervals(["10.0.0.0/30"], ["10.0.0.1/8"])


def test_a_look_into_a_pool_of_many_pieces_costs_a_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = parse_intervals(["10.0.0.0/16"], [f"10.0.{n}.1" for n in range(255)])
    steps, original = [0], address_pools._beginning

    def counting(piece: Interval) -> tuple[Family, int]:
        steps[0] += 1
        return original(piece)

    monkeypatch.setattr(address_pools, "_beginning", counting)
    assert lies_in(pieces, V4, pieces[99].last)
    assert not lies_in(pieces, V4, pieces[99].last + 1)
    assert (len(pieces), steps[0] <= 2 * 9) == (256, True)


@given(st.lists(spans, max_size=6), st.booleans())
def test_size_counts_what_may_be_given_out(pairs: list[tuple[int, int]], avoid_buggy: bool) -> None:
    merged = parse_intervals(f"{spell(V4, low + 200)}-{spell(V4, low + 200 + length)}" for low, length in pairs)
    pool = AddressRange(name="p", intervals=merged, avoid_buggy=avoid_buggy)
    values = [value for i in merged for value in range(i.first, i.last + 1)]
    assert size_of(pool, V4) == sum(not (avoid_buggy and value % 256 in (0, 255)) for value in values)
    assert size_of(pool, V6) == 0


@pytest.mark.parametrize(
    ("texts", "avoid_buggy", "v4", "v6"),
    [
        (["10.0.0.0/8"], False, 2**24, 0),
        (["10.0.0.0/8"], True, 2**24 - 2**17, 0),
        (["0.0.0.0/0"], True, 2**32 - 2**25, 0),
        (["fd00::/64"], True, 0, 2**64),
        (["::/0"], False, 0, 2**128),
        (["10.0.0.0"], True, 0, 0),
        (["10.0.0.255-10.0.1.0"], True, 0, 0),
    ],
)
def test_huge_pools_are_counted_without_being_walked(texts: list[str], avoid_buggy: bool, v4: int, v6: int) -> None:
    pool = AddressRange(name="p", intervals=parse_intervals(texts), avoid_buggy=avoid_buggy)
    assert (size_of(pool, V4), size_of(pool, V6)) == (v4, v6)


@given(st.ip_addresses())
def test_spelling_is_the_inverse_of_numbering(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert spell(*number_of(address)) == str(address)


def test_an_interval_has_its_ends_and_its_family_only() -> None:
    one = interval("10.0.0.1", "10.0.0.3")
    first = one.first
    assert [one.has(V4, first + step) for step in (-1, 0, 2, 3)] == [False, True, True, False]
    assert not one.has(V6, first)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("10.0.0.4", "10.0.0.9"), True),
        (("10.0.0.0", "10.0.0.1"), True),
        (("10.0.0.2", "10.0.0.3"), True),
        (("10.0.0.5", "10.0.0.9"), False),
        (("10.0.0.0", "10.0.0.0"), False),
        (("::a00:1", "::a00:4"), False),
    ],
)
def test_overlap_is_symmetric(other: tuple[str, str], expected: bool) -> None:
    one, two = interval("10.0.0.1", "10.0.0.4"), interval(*other)
    assert one.overlaps(two) is expected
    assert two.overlaps(one) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.0.0.0", True), ("10.0.0.255", True), ("10.0.0.1", False), ("10.0.255.254", False), ("fd00::", False)],
)
def test_buggy_addresses(address: str, expected: bool) -> None:
    assert is_buggy(*number_of(ipaddress.ip_address(address))) is expected
