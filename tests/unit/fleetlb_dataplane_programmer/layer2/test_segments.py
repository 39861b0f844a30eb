"""Calls past the kernel as bytes: what is sent a machine understands, and of what comes back only answers are heard."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.layer2 import filtering, segments
from fleetlb_dataplane_programmer.layer2.segments import Answer, Call, Claim
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import (
    BROADCAST,
    ZERO,
    arp,
    mac_of,
    packed,
    solicitation,
    words,
)
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
    assert passed(filtering.acknowledgements(0x0800, NUMBER >> 16), frame)


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
    assert not passed(filtering.acknowledgements(0x0800, NUMBER >> 16), frame)
    assert not passed(filtering.acknowledgements(0x0800, NUMBER >> 16), segment(SYN | ACK), TO_ANOTHER)
    assert not passed(filtering.arp_replies(), BROADCAST)


ME6, VIP6, GROUP = "fd10::2", "fd10::80", "ff02::1:ff00:80"
CALL6 = CALL._replace(address=packed(ME6), to_address=packed(VIP6))


def segment6(flags: int, acknowledged: int = NUMBER + 1, *, kind: int = 6) -> bytes:
    """What the owner sends back."""
    tcp = struct.pack("!HHIIBBHHH", 80, 61234, 7, acknowledged, 5 << 4, flags, 1000, 0, 0)
    head = struct.pack("!IHBB", 6 << 28, len(tcp), kind, 63) + packed(VIP6) + packed(ME6)
    return mac_of(OURS) + mac_of(OWNER) + b"\x86\xdd" + head + tcp


def advertisement(*, to: str = OURS, kind: int = 136, hops: int = 255, link: bytes = b"\x02\x01") -> bytes:
    """What who has the address answers; `link` introduces his MAC."""
    named = link + mac_of("02:00:00:00:00:0b") if link else b""
    body = struct.pack("!BBHI", kind, 0, 0, 0x60000000) + packed(VIP6) + named
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, hops) + packed(VIP6) + packed(ME6)
    return mac_of(to) + mac_of(OWNER) + b"\x86\xdd" + head + body


def test_of_ipv6_it_is_asked_who_has_the_address() -> None:
    assert segments.question(mac_of(OURS), packed(ME6), packed(VIP6)) == solicitation(ME6, VIP6, OURS)


@pytest.mark.parametrize(("link", "mac"), [(b"\x02\x01", "02:00:00:00:00:0b"), (b"", OWNER), (b"\x01\x01", OWNER)])
def test_an_advertisement_names_a_mac_or_its_sender_has_it(link: bytes, mac: str) -> None:
    frame = advertisement(link=link)
    assert segments.read_claim(frame, mac_of(OURS)) == Claim(packed(VIP6), mac_of(mac))
    assert passed(filtering.advertisements(), frame)


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(kind=135),
        advertisement(hops=64),
        advertisement(to="33:33:00:00:00:01"),
        advertisement()[:77],
        segment6(SYN | ACK),
    ],
    ids=["a question", "from afar", "to everybody", "cut short", "TCP"],
)
def test_no_other_is_an_answer(frame: bytes) -> None:
    assert segments.read_claim(frame, mac_of(OURS)) is None
    assert not passed(filtering.advertisements(), frame) or frame[:6] != mac_of(OURS) or len(frame) < 78


@pytest.mark.parametrize(("frame", "flags"), [(segments.opening(CALL6), SYN), (segments.abandoning(CALL6), RESET)])
def test_an_opening_over_ipv6_is_right(frame: bytes, flags: int) -> None:
    assert (frame[:6], frame[6:12], frame[12:14], frame[14] >> 4) == (mac_of(OWNER), mac_of(OURS), b"\x86\xdd", 6)
    body = frame[54:]
    assert (int.from_bytes(frame[18:20], "big"), frame[20]) == (len(body), socket.IPPROTO_TCP)
    assert (frame[22:38], frame[38:54], body[13]) == (packed(ME6), packed(VIP6), flags)
    assert words(frame[22:54] + struct.pack("!II", len(body), 6) + body) == 0xFFFF


@pytest.mark.parametrize(("flags", "is_open"), [(SYN | ACK, True), (RESET | ACK, False)])
def test_what_is_answered_over_ipv6_is_read(flags: int, is_open: bool) -> None:
    frame = segment6(flags)
    assert segments.read_answer(frame) == Answer(packed(VIP6), 80, packed(ME6), 61234, NUMBER, is_open)
    assert passed(filtering.acknowledgements(0x86DD, NUMBER >> 16), frame)


@pytest.mark.parametrize(
    "frame",
    [segment6(SYN), segment6(ACK), segment6(SYN | ACK, kind=17), segment6(SYN | ACK)[:73]],
    ids=["SYN", "data", "UDP", "cut"],
)
def test_nothing_else_is_read_of_ipv6(frame: bytes) -> None:
    assert segments.read_answer(frame) is None
    assert not passed(filtering.acknowledgements(0x86DD, 0x1234), frame)


@given(st.binary(max_size=80))
def test_no_bytes_break_anything(frame: bytes) -> None:
    segments.read_claim(frame, mac_of(OURS))
    segments.read_answer(frame)
    for kind in (b"\x08\x00", b"\x86\xdd", b"\x08\x06"):
        segments.read_answer(mac_of(OURS) + mac_of(OWNER) + kind + frame)
        segments.read_claim(mac_of(OURS) + mac_of(OWNER) + kind + frame, mac_of(OURS))


@given(st.integers(0, 2**32 - 2), st.integers(1, 65535), st.binary(min_size=4, max_size=4))
def test_checksums_are_right_whatever_is_called(number: int, port: int, address: bytes) -> None:
    frame = segments.opening(CALL._replace(number=number, to_port=port, to_address=address))
    assert words(frame[14:34]) == 0xFFFF
    assert words(frame[26:34] + struct.pack("!HH", 6, len(frame) - 34) + frame[34:]) == 0xFFFF
