import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb.testkit.wishes import a_virtual_server, a_wish
from fleetlb_dataplane_programmer.records import FORMAT, Header, Record, encode_line, parse_file

RECORDS = [
    Record(desired=a_wish("192.0.2.1:80/tcp")),
    Record(desired=a_wish("[2001:db8::1]:53/udp", None, generation=3, revision=9), has_let_go=True),
    Record(desired=a_wish("192.0.2.3:80/tcp", ["169.254.169.254:80"]), held=a_virtual_server("192.0.2.3:80/tcp")),
]


def _file(records: list[Record], *, announced: int | None = None, node: str = "node-1", version: int = FORMAT) -> bytes:
    count = len(records) if announced is None else announced
    header = Header(format=version, node=node, group="default", records=count)
    return encode_line(header) + b"".join(map(encode_line, records))


def test_what_is_written_is_read() -> None:
    recovered = parse_file(_file(RECORDS), Record, node="node-1", group="default")
    assert list(recovered.records) == RECORDS
    assert (recovered.damage, recovered.is_torn) == ("", False)


def test_lines_may_be_appended() -> None:
    recovered = parse_file(_file(RECORDS, announced=1), Record, node="node-1", group="default")
    assert list(recovered.records) == RECORDS
    assert recovered.damage == ""


@pytest.mark.parametrize("let_go_last", [True, False])
def test_of_several_lines_of_a_key_the_last_counts(let_go_last: bool) -> None:
    standing = Record(desired=a_wish("192.0.2.1:80/tcp", generation=2))
    let_go = Record(desired=a_wish("192.0.2.1:80/tcp", None, revision=2), has_let_go=True)
    lines = [standing, let_go] if let_go_last else [let_go, standing]
    recovered = parse_file(_file([*lines, RECORDS[1]], announced=1), Record, node="node-1", group="default")
    assert list(recovered.records) == [lines[-1], RECORDS[1]]
    assert recovered.damage == ""


@pytest.mark.parametrize(
    ("data", "word"),
    [
        pytest.param(b"", "first line", id="empty"),
        pytest.param(b"\0" * 4096, "first line", id="zeroes"),
        pytest.param(b"[]\n", "first line", id="something else"),
        pytest.param(_file(RECORDS, node="node-2"), "belongs to node", id="another node"),
        pytest.param(_file(RECORDS, version=99), "format", id="another version"),
        pytest.param(_file(RECORDS[:2], announced=3), "cut after 2 of 3", id="cut at the end of a line"),
        pytest.param(_file(RECORDS).replace(b"10.0.0.1", b"10.0.0.9"), "not readable", id="edited by hand"),
    ],
)
def test_damage_is_named(data: bytes, word: str) -> None:
    assert word in parse_file(data, Record, node="node-1", group="default").damage


def test_records_of_another_node_or_version_are_not_used() -> None:
    assert parse_file(_file(RECORDS, node="node-2"), Record, node="node-1", group="default").records == ()
    assert parse_file(_file(RECORDS, version=99), Record, node="node-1", group="default").records == ()


def test_intact_records_of_a_damaged_file_are_saved() -> None:
    data = _file(RECORDS).replace(b'"192.0.2.1"', b'"192.0.2.7"')
    assert list(parse_file(data, Record, node="node-1", group="default").records) == RECORDS[1:]


def test_an_appended_line_may_be_torn_without_damage() -> None:
    data = _file(RECORDS, announced=2)
    for end in range(len(_file(RECORDS[:2])) + 1, len(data)):
        recovered = parse_file(data[:end], Record, node="node-1", group="default")
        assert (list(recovered.records), recovered.damage, recovered.is_torn) == (RECORDS[:2], "", True)


def test_a_cut_anywhere_in_what_was_written_in_one_go_is_damage() -> None:
    data = _file(RECORDS)
    for end in range(len(data)):
        assert parse_file(data[:end], Record, node="node-1", group="default").damage, end


@settings(max_examples=500)
@given(place=st.integers(0, len(_file(RECORDS)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_damage_or_a_torn_end(place: int, bit: int) -> None:
    data = bytearray(_file(RECORDS))
    data[place] ^= 1 << bit
    recovered = parse_file(bytes(data), Record, node="node-1", group="default")
    assert recovered.damage
    assert all(record in RECORDS for record in recovered.records)


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    recovered = parse_file(data, Record, node="node-1", group="default")
    assert recovered.damage
    assert recovered.records == ()
