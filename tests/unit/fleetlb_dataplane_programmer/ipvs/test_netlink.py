"""Generic netlink as bytes: what is sent is what the headers say, what comes is read or refused, never trusted."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.ipvs.netlink import (
    Acknowledgement,
    Flag,
    Frame,
    Malformed,
    encode_attribute,
    encode_message,
    family_number,
    family_request,
    read_attributes,
    read_datagram,
)
from tests.unit.fleetlb_dataplane_programmer.ipvs.golden_bytes import FAMILY, REPLIES, REQUESTS, SEQUENCE

ERROR, DONE, OVERRUN = 2, 3, 4
POLICY = "Attribute failed policy validation"


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload


def read(datagram: bytes) -> list[Frame | Acknowledgement]:
    return list(read_datagram(memoryview(datagram)))


def test_a_family_is_asked_for_by_name() -> None:
    assert family_request("IPVS", SEQUENCE) == REQUESTS["family"]


def test_the_kernel_names_the_family() -> None:
    frame, end = (read(datagram)[0] for datagram in REPLIES["family"])
    assert isinstance(frame, Frame)
    assert family_number(frame.body) == FAMILY
    assert end == Acknowledgement(1, 0)


def test_an_answer_that_names_no_family_is_malformed() -> None:
    for body in (b"", encode_attribute(1, b"\x17"), encode_attribute(2, b"IPVS\0")):
        with pytest.raises(Malformed, match="names no family"):
            family_number(memoryview(body))


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("no such family", [Acknowledgement(2, 2)]),
        ("destinations of none", [Acknowledgement(12, 0)]),
        ("no service", [Acknowledgement(14, 3)]),
        ("timeouts set", [Acknowledgement(17, 0)]),
        ("refused with a text", [Acknowledgement(18, 34, POLICY)]),
        ("flushed", [Acknowledgement(30, 0)]),
    ],
)
def test_ends_of_conversations_are_read(recorded: str, expected: list[Acknowledgement]) -> None:
    assert [found for datagram in REPLIES[recorded] for found in read(datagram)] == expected


def test_messages_that_share_a_datagram_are_told_apart() -> None:
    joined = b"".join(REPLIES["batch"])
    assert [(found.sequence, found.error) for found in read(joined) if isinstance(found, Acknowledgement)] == [
        (20, 17),
        (21, 2),
        (22, 3),
        (24, 34),
        (25, 22),
        (26, 2),
        (27, 0),
    ]


def test_the_end_of_a_dump_may_be_an_error() -> None:
    assert read(message(DONE, Flag.MULTI, 5, struct.pack("=i", -105))) == [Acknowledgement(5, 105)]


def test_the_end_of_a_dump_may_have_no_number() -> None:
    assert read(message(DONE, Flag.MULTI, 5, b"")) == [Acknowledgement(5, 0)]


def test_the_end_of_a_dump_may_have_a_text() -> None:
    payload = struct.pack("=i", -22) + encode_attribute(1, b"no\0")
    assert read(message(DONE, Flag.MULTI | Flag.EXTENDED_ACK, 5, payload)) == [Acknowledgement(5, 22, "no")]


@pytest.mark.parametrize("kind", [FAMILY, DONE])
def test_an_interrupted_dump_says_so_in_any_of_its_messages(kind: int) -> None:
    [found] = read(message(kind, Flag.MULTI | Flag.DUMP_INTERRUPTED, 5, bytes(4)))
    assert found.is_interrupted


def test_a_text_stands_behind_the_whole_request_if_that_is_echoed() -> None:
    request = encode_message(FAMILY, 1, Flag.REQUEST, 9, encode_attribute(4, b"\1\2"))
    text = encode_attribute(1, "ungültig\0".encode("latin-1"))
    payload = struct.pack("=i", -22) + request + text
    whole = message(ERROR, Flag.EXTENDED_ACK, 9, payload)
    assert read(whole) == [Acknowledgement(9, 22, r"ung\xfcltig")]


def test_a_text_that_is_not_announced_is_not_looked_for() -> None:
    payload = struct.pack("=i", -22) + message(FAMILY, 1, 9, b"") + encode_attribute(1, b"no\0")
    assert read(message(ERROR, Flag.CAPPED, 9, payload)) == [Acknowledgement(9, 22)]


def test_an_extended_acknowledgement_needs_no_text() -> None:
    payload = struct.pack("=i", -22) + message(FAMILY, 1, 9, b"") + encode_attribute(2, bytes(4))
    assert read(message(ERROR, Flag.CAPPED | Flag.EXTENDED_ACK, 9, payload)) == [Acknowledgement(9, 22)]


GOOD = message(FAMILY, Flag.MULTI, 5, bytes(4) + encode_attribute(1, b"abc"))


@pytest.mark.parametrize(
    ("datagram", "word"),
    [
        pytest.param(bytes(15), "ends in its header", id="half a header"),
        pytest.param(GOOD + bytes(3), "ends in its header", id="half a header behind a message"),
        pytest.param(bytes(16), "of 0 bytes", id="no length, which would be read for ever"),
        pytest.param(struct.pack("=IHHII", 15, 3, 0, 1, 0), "of 15 bytes", id="shorter than a header"),
        pytest.param(GOOD[:-1], "of 28 bytes in a datagram of 27", id="cut"),
        pytest.param(struct.pack("=IHHII", 0xFFFFFFFF, 3, 0, 1, 0), "of 4294967295 bytes", id="endless"),
        pytest.param(message(OVERRUN, 0, 5, b""), "lost", id="overrun"),
        pytest.param(message(ERROR, 0, 5, bytes(3)), "without its number", id="an error of three bytes"),
        pytest.param(message(ERROR, 0, 5, struct.pack("=i", 17)), "which is none", id="an error that is positive"),
        pytest.param(message(FAMILY, 0, 5, bytes(3)), "ends in its header", id="half a generic header"),
        pytest.param(
            message(ERROR, Flag.EXTENDED_ACK, 5, struct.pack("=i", -1) + bytes(15)), "without the header", id="no echo"
        ),
        pytest.param(
            message(ERROR, Flag.EXTENDED_ACK | Flag.CAPPED, 5, struct.pack("=i", -1) + bytes(16) + b"\x09\0\1\0"),
            "attribute of 9 bytes",
            id="a text that is cut",
        ),
    ],
)
def test_what_cannot_be_read_is_named(datagram: bytes, word: str) -> None:
    with pytest.raises(Malformed, match=word):
        read(datagram)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"\x04\0\x01", "ends in its header"),
        (b"\x03\0\x01\0", "of 3 bytes"),
        (b"\0\0\0\0", "of 0 bytes"),
        (b"\x09\0\x01\0abcd", "of 9 bytes in a message of 8"),
    ],
)
def test_attributes_that_cannot_be_read_are_named(body: bytes, word: str) -> None:
    with pytest.raises(Malformed, match=word):
        read_attributes(memoryview(body))


def test_the_last_attribute_needs_no_padding() -> None:
    assert read_attributes(memoryview(b"\x05\0\x01\0a")) == {1: b"a"}


def test_the_flags_of_an_attribute_are_not_its_number() -> None:
    assert read_attributes(memoryview(encode_attribute(0x8001, b"a") + encode_attribute(0x4002, b"b"))) == {
        1: b"a",
        2: b"b",
    }


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_that_are_written_are_read(attributes: dict[int, bytes]) -> None:
    body = b"".join(encode_attribute(kind, payload) for kind, payload in attributes.items())
    assert len(body) % 4 == 0
    assert read_attributes(memoryview(body)) == attributes


@given(
    st.lists(
        st.tuples(st.integers(0x10, 0xFFFF), st.integers(0, 255), st.integers(0, 0xFFFFFFFF), st.binary(max_size=40)),
        max_size=5,
    )
)
def test_messages_that_are_written_are_read(messages: list[tuple[int, int, int, bytes]]) -> None:
    datagram = b"".join(
        encode_message(family, command, Flag.MULTI, sequence, encode_attribute(1, payload))
        for family, command, sequence, payload in messages
    )
    found = read(datagram)
    assert [(frame.sequence, bytes(read_attributes(frame.body)[1])) for frame in found if isinstance(frame, Frame)] == [
        (sequence, payload) for _, _, sequence, payload in messages
    ]
