"""Calls past the kernel as bytes: what is sent a machine understands, and of what comes back only answers are heard."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.layer2 import filtering, segments
from fleetlb_dataplane_programmer.layer2.segments import Answer, Call, Claim
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import BROADCAST, ZERO, arp, mac_of, packed, words
from tests.unit.fleetlb_dataplane_programmer.layer2.test_filtering import TO_ANOTHER
from tests.unit.fleetlb_dataplane_programmer.layer2.test_filtering import given as passed

OURS, OWNER = "02:00:00:00:00:01", "02:00:00:00:00:0a"
ME, VIP = "10.10.0.2", "10.10.0.129"
NUMBER = 0x5A5A0001
CALL = Call(mac_of(OURS), packed(ME), 61234, mac_of(OWNER), packed(VIP), 80, NUMBER)
SYN, RESET, ACK, FIN = 0x02, 0x04, 0x10, 0x01


def segment(flags: int, acknowledged: int = NUMBER + 1, *, options: int = 0, fragment: int = 0, kind: int = 6) -> bytes:
    """What the owner sends back."""
    tcp = struct.pack("!HHIIBBHHH", 80, 61234, 7, acknowledged, 5 << 4, flags, 1000, 0, 0)
    length = 20 + options + len(tcp)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45 + options // 4, 0, length, 1, fragment, 63, kind, 0, packed(VIP), packed(ME)
    )
    return mac_of(OURS) + mac_of(OWNER) + b"\x08\x00" + head + bytes(options) + tcp


def read(frame: bytes) -> tuple[int, int, int, int]:
    """(sequence number, acknowledged, flags, destination port) of a segment; raises AssertionError for a bad one."""
    assert (frame[:6], frame[6:12], frame[12:14]) == (mac_of(OWNER), mac_of(OURS), b"\x08\x00")
    header, body = frame[14:34], frame[34:]
    assert words(header) == 0xFFFF
    assert (header[0], header[9], header[12:16], header[16:]) == (0x45, socket.IPPROTO_TCP, packed(ME), packed(VIP))
    assert int.from_bytes(header[2:4], "big") == len(frame) - 14
    assert words(header[12:] + struct.pack("!HH", 6, len(body)) + body) == 0xFFFF
    port, to_port, number, acknowledged, size, flags = struct.unpack_from("!HHIIBB", body)
    assert (port, (size >> 4) * 4) == (61234, len(body))
    return number, acknowledged, flags, to_port


def test_who_has_the_address_is_asked_of_everybody_in_ones_own_name() -> None:
    assert segments.question(mac_of(OURS), packed(ME), packed(VIP)) == arp(ME, VIP, OURS)


def test_the_answer_to_it_is_read() -> None:
    reply = arp(VIP, ME, OWNER, operation=2, target_mac=OURS)
    assert segments.read_claim(reply, mac_of(OURS)) == Claim(packed(VIP), mac_of(OWNER))
    assert passed(filtering.arp_replies(), reply)


@pytest.mark.parametrize(
    "frame",
    [
        arp(VIP, ME, OWNER, target_mac=OURS),
        arp(VIP, ME, OWNER, operation=2, target_mac=OWNER),
        arp(VIP, ME, "03:00:00:00:00:0a", operation=2, target_mac=OURS),
        arp(VIP, ME, ZERO, operation=2, target_mac=OURS),
        arp(VIP, ME, OWNER, operation=2, target_mac=OURS, kind=6),
        arp(VIP, ME, OWNER, operation=2, target_mac=OURS)[:41],
        b"",
    ],
    ids=["a question", "to another", "of a group", "of nobody", "not of Ethernet", "cut short", "nothing"],
)
def test_nothing_else_is_an_answer(frame: bytes) -> None:
    assert segments.read_claim(frame, mac_of(OURS)) is None


def test_an_opening_asks_for_a_connection_and_is_abandoned() -> None:
    assert read(segments.opening(CALL)) == (NUMBER, 0, SYN, 80)
    assert read(segments.abandoning(CALL)) == (NUMBER + 1, 0, RESET, 80)


@pytest.mark.parametrize(("flags", "is_open"), [(SYN | ACK, True), (RESET | ACK, False)])
def test_what_is_answered_to_an_opening_is_read(flags: int, is_open: bool) -> None:
    frame = segment(flags)
    assert segments.read_answer(frame) == Answer(packed(VIP), 80, packed(ME), 61234, NUMBER, is_open)
    assert segments.read_answer(frame + bytes(6)) is not None, "Ethernet pads what is short"
    assert passed(filtering.acknowledgements(NUMBER >> 16), frame)


@pytest.mark.parametrize(
    "frame",
    [
        segment(SYN),
        segment(ACK),
        segment(FIN | ACK),
        segment(RESET),
        segment(SYN | ACK, 0),
        segment(SYN | ACK, fragment=0x2000),
        segment(SYN | ACK, fragment=1),
        segment(SYN | ACK, kind=17),
        segment(SYN | ACK, options=4),
        segment(SYN | ACK)[:53],
        b"",
    ],
    ids=[
        "SYN",
        "data",
        "FIN",
        "RST of old",
        "of nothing",
        "a part",
        "a later part",
        "UDP",
        "options",
        "cut",
        "nothing",
    ],
)
def test_nothing_else_is_read(frame: bytes) -> None:
    assert segments.read_answer(frame) is None


@pytest.mark.parametrize(
    "frame",
    [segment(SYN | ACK, 0x5A5B0002), segment(SYN | ACK, kind=17), segment(SYN | ACK, options=4), b""],
    ids=["of another", "UDP", "options", "nothing"],
)
def test_the_filter_lets_nothing_else_through(frame: bytes) -> None:
    assert not passed(filtering.acknowledgements(NUMBER >> 16), frame)
    assert not passed(filtering.acknowledgements(NUMBER >> 16), segment(SYN | ACK), TO_ANOTHER)
    assert not passed(filtering.arp_replies(), BROADCAST)


@given(st.binary(max_size=80))
def test_no_bytes_break_anything(frame: bytes) -> None:
    segments.read_claim(frame, mac_of(OURS))
    segments.read_answer(frame)
    segments.read_answer(mac_of(OURS) + mac_of(OWNER) + b"\x08\x00" + frame)


@given(st.integers(0, 2**32 - 2), st.integers(1, 65535), st.binary(min_size=4, max_size=4))
def test_checksums_are_right_whatever_is_called(number: int, port: int, address: bytes) -> None:
    frame = segments.opening(CALL._replace(number=number, to_port=port, to_address=address))
    assert words(frame[14:34]) == 0xFFFF
    assert words(frame[26:34] + struct.pack("!HH", 6, len(frame) - 34) + frame[34:]) == 0xFFFF
