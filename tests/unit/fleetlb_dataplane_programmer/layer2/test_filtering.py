"""What the filter in the kernel lets through, as a machine for classic BPF runs it."""

import struct

import pytest

from fleetlb_dataplane_programmer.layer2 import filtering
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import arp, solicitation

ALICE = "02:00:00:00:00:0a"
REQUEST, SOLICITATION = arp("10.5.0.2", "10.77.0.1", ALICE), solicitation("fe80::a", "fd77::1", ALICE)
TO_US, TO_ALL, TO_GROUP, TO_ANOTHER = 0, 1, 2, 3


def given(program: bytes, frame: bytes, packet_type: int = TO_US) -> int:
    """How many bytes of a frame the program lets through."""
    lines = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = lines[at]
        at += 1
        if code == 0x06:
            return int(operand)
        if code == 0x15:
            at += if_true if accumulator == operand else if_false
        elif operand >= 0xFFFFF000:
            accumulator = {0xFFFFF004: packet_type}[operand]
        else:
            size = {0x28: 2, 0x30: 1}[code]
            if operand + size > len(frame):
                return 0
            accumulator = int.from_bytes(frame[operand : operand + size], "big")


@pytest.mark.parametrize("packet_type", [TO_US, TO_ALL, TO_GROUP])
def test_questions_pass(packet_type: int) -> None:
    assert given(filtering.arp_requests(), REQUEST, packet_type) == filtering.FRAME_BYTES
    assert given(filtering.solicitations(), SOLICITATION, packet_type) == filtering.FRAME_BYTES


def test_what_goes_to_another_machine_does_not() -> None:
    assert not given(filtering.arp_requests(), REQUEST, TO_ANOTHER)
    assert not given(filtering.solicitations(), SOLICITATION, TO_ANOTHER)


@pytest.mark.parametrize(
    "frame",
    [
        arp("10.5.0.2", "10.77.0.1", ALICE, operation=2),
        REQUEST[:21],
        b"",
    ],
    ids=["a reply", "cut short", "nothing"],
)
def test_of_arp_nothing_else_passes(frame: bytes) -> None:
    assert not given(filtering.arp_requests(), frame)


@pytest.mark.parametrize(
    "frame",
    [
        solicitation("fe80::a", "fd77::1", ALICE, icmp_type=136),
        solicitation("fe80::a", "fd77::1", ALICE, hops=64),
        SOLICITATION[:20] + b"\x11" + SOLICITATION[21:],
        SOLICITATION[:54],
        b"",
    ],
    ids=["an advertisement", "from afar", "UDP", "cut short", "nothing"],
)
def test_of_ipv6_nothing_else_passes(frame: bytes) -> None:
    assert not given(filtering.solicitations(), frame)
