"""ARP and neighbour discovery as bytes: what a machine asks is understood and answered, everything else is nothing."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.layer2 import frames
from fleetlb_dataplane_programmer.layer2.frames import Question, read_question
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import (
    ZERO,
    Claim,
    arp,
    mac_of,
    packed,
    read_claim,
    solicitation,
)

ALICE, OURS = "02:00:00:00:00:0a", "02:00:00:00:00:01"
VIP4, VIP6 = "10.77.0.1", "fd77::1:2:3"
ASKER4, ASKER6 = "10.5.0.2", "fe80::a"
EVERYBODY = "33:33:00:00:00:01"
REQUEST = arp(ASKER4, VIP4, ALICE)
SOLICITATION = solicitation(ASKER6, VIP6, ALICE)

macs = st.binary(min_size=6, max_size=6).map(lambda mac: bytes((mac[0] & 0xFE, *mac[1:5], mac[5] | 1)).hex(":"))
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str).filter(lambda address: not address.startswith("ff"))


def answered(frame: bytes) -> Claim:
    question = read_question(frame)
    assert question is not None
    return read_claim(frames.answer(question, mac_of(OURS)))


def test_an_arp_request_is_answered_to_who_asks_alone() -> None:
    assert read_question(REQUEST) == Question(packed(VIP4), packed(ASKER4), mac_of(ALICE))
    assert answered(REQUEST) == Claim("reply", VIP4, OURS, ALICE, (ALICE, ASKER4))


def test_a_probe_of_arp_is_answered() -> None:
    """RFC 5227: a machine that is about to take the address learns that it is taken."""
    assert answered(arp("0.0.0.0", VIP4, ALICE)) == Claim("reply", VIP4, OURS, ALICE, (ALICE, "0.0.0.0"))


def test_a_solicitation_is_answered_to_who_asks_alone() -> None:
    assert read_question(SOLICITATION) == Question(packed(VIP6), packed(ASKER6), mac_of(ALICE))
    assert answered(SOLICITATION) == Claim("solicited override", VIP6, OURS, ALICE, (ASKER6,))


def test_a_solicitation_that_names_no_mac_is_answered_to_where_it_came_from() -> None:
    """A host that verifies what it knows sends it so, and to the address itself."""
    asked = solicitation(ASKER6, VIP6, ALICE, options=b"", to=VIP6)
    assert answered(asked) == Claim("solicited override", VIP6, OURS, ALICE, (ASKER6,))


def test_a_solicitation_is_answered_to_the_mac_that_it_names() -> None:
    named = "02:00:00:00:00:0b"
    asked = solicitation(ASKER6, VIP6, ALICE, options=b"\x0e\x01nonce." + b"\x01\x01" + mac_of(named))
    assert answered(asked).to == named


def test_who_has_no_address_yet_is_answered_before_everybody() -> None:
    """Duplicate address detection: the answer cannot go to an address that is not there."""
    assert answered(solicitation("::", VIP6, ALICE)) == Claim("override", VIP6, OURS, EVERYBODY, ("ff02::1",))


def test_what_is_told_of_a_vip_unasked() -> None:
    request, reply = map(read_claim, frames.gratuitous(packed(VIP4), mac_of(OURS)))
    assert request == Claim("request", VIP4, OURS, "ff:ff:ff:ff:ff:ff", (ZERO, VIP4))
    assert reply == Claim("reply", VIP4, OURS, "ff:ff:ff:ff:ff:ff", (OURS, VIP4))
    (told,) = map(read_claim, frames.gratuitous(packed(VIP6), mac_of(OURS)))
    assert told == Claim("override", VIP6, OURS, EVERYBODY, ("ff02::1",))
    for vip in (VIP4, VIP6):
        assert frames.frames_of(packed(vip)) == len(frames.gratuitous(packed(vip), mac_of(OURS)))


@pytest.mark.parametrize("frame", frames.gratuitous(packed(VIP4), mac_of(ALICE)))
def test_what_another_node_tells_unasked_is_no_question(frame: bytes) -> None:
    assert read_question(frame) is None


def test_the_group_of_an_address() -> None:
    assert frames.solicited_node(packed("fd77::12ab:cdef")) == packed("ff02::1:ffab:cdef")


def test_bytes_behind_the_end_are_padding() -> None:
    assert read_question(REQUEST + bytes(18)) == read_question(REQUEST)
    assert read_question(SOLICITATION + b"padding") == read_question(SOLICITATION)


BAD = {
    "no frame": b"",
    "a reply": arp(ASKER4, VIP4, ALICE, operation=2),
    "no Ethernet": arp(ASKER4, VIP4, ALICE, kind=6),
    "an answer to everybody is wished for": arp(ASKER4, VIP4, "ff:ff:ff:ff:ff:ff"),
    "an answer to a group is wished for": arp(ASKER4, VIP4, "01:00:5e:00:00:01"),
    "an answer to nobody is wished for": arp(ASKER4, VIP4, ZERO),
    "a request cut short": REQUEST[:-1],
    "an advertisement": solicitation(ASKER6, VIP6, ALICE, icmp_type=136),
    "code 1": solicitation(ASKER6, VIP6, ALICE, code=1),
    "a router passed it on": solicitation(ASKER6, VIP6, ALICE, hops=254),
    "a wrong checksum": solicitation(ASKER6, VIP6, ALICE, wrong=1),
    "the solicitation of a group": solicitation(ASKER6, "ff02::1", ALICE),
    "a group that asks": solicitation("ff02::1", VIP6, ALICE),
    "who has the address asks": solicitation(VIP6, VIP6, ALICE),
    "no address yet, and a MAC": solicitation("::", VIP6, ALICE, options=b"\x01\x01" + mac_of(ALICE)),
    "no address yet, and asked of one": solicitation("::", VIP6, ALICE, to=VIP6),
    "an option of no length": solicitation(ASKER6, VIP6, ALICE, options=bytes(8)),
    "an option beyond the end": solicitation(ASKER6, VIP6, ALICE, options=b"\x0e\x02" + bytes(6)),
    "half an option": solicitation(ASKER6, VIP6, ALICE, options=b"\x0e"),
    "a MAC of 14 bytes": solicitation(ASKER6, VIP6, ALICE, options=b"\x01\x02" + bytes(14)),
    "an answer to a group is wished for, over IPv6": solicitation(
        ASKER6, VIP6, ALICE, options=b"\x01\x01" + mac_of(EVERYBODY)
    ),
    "a solicitation cut short": SOLICITATION[:-1],
    "a length beyond the end": SOLICITATION[:18] + b"\0\x28" + SOLICITATION[20:],
    "IPv4 under IPv6's number": SOLICITATION[:14] + b"\x40" + SOLICITATION[15:],
    "another protocol": SOLICITATION[:20] + b"\x11" + SOLICITATION[21:],
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD)
def test_what_is_no_question_to_be_heard_is_none(frame: bytes) -> None:
    assert read_question(frame) is None


@given(st.binary(max_size=200))
@example(REQUEST[:14])
@example(SOLICITATION[:54])
def test_no_bytes_raise(frame: bytes) -> None:
    read_question(frame)


@given(st.sampled_from((REQUEST, SOLICITATION)), st.integers(0, 85), st.binary(max_size=100))
def test_no_bytes_that_begin_like_a_question_raise(question: bytes, kept: int, rest: bytes) -> None:
    read_question(question[:kept] + rest)


@given(st.binary(max_size=64))
def test_no_options_raise(options: bytes) -> None:
    """Behind a right checksum, where noise never comes."""
    asked = solicitation(ASKER6, VIP6, ALICE, options=options)
    found = read_question(asked)
    assert found is None or found.wanted == packed(VIP6)


@given(macs, v4, v4, macs)
def test_every_arp_request_comes_back_as_its_answer(mac: str, asker: str, wanted: str, ours: str) -> None:
    question = read_question(arp(asker, wanted, mac))
    if asker == wanted:
        assert question is None
        return
    assert question == Question(packed(wanted), packed(asker), mac_of(mac))
    assert read_claim(frames.answer(question, mac_of(ours))) == Claim("reply", wanted, ours, mac, (mac, asker))


@given(macs, v6, v6, macs)
def test_every_solicitation_comes_back_as_its_answer(mac: str, asker: str, wanted: str, ours: str) -> None:
    question = read_question(solicitation(asker, wanted, mac))
    if asker == wanted:
        assert question is None
        return
    assert question == Question(packed(wanted), packed(asker), mac_of(mac))
    claim = read_claim(frames.answer(question, mac_of(ours)))
    assert (claim.address, claim.mac) == (wanted, ours)
    assert claim.to == (mac if ipaddress.ip_address(asker) != ipaddress.IPv6Address("::") else EVERYBODY)


@given(v6, macs)
def test_every_address_is_told_of_with_a_right_checksum(address: str, ours: str) -> None:
    (frame,) = frames.gratuitous(packed(address), mac_of(ours))
    assert read_claim(frame) == Claim("override", address, ours, EVERYBODY, ("ff02::1",))
