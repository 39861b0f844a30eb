"""The first half of a TCP handshake on Ethernet as bytes, and who has an address as a client asks it. Pure.

By these a node calls a VIP of another node past its own kernel, to which every VIP is its own. Addresses are packed, 4
or 16 bytes; a MAC is 6.

Sources: RFC 826 (ARP), RFC 4861 (neighbour discovery), RFC 791 and 8200 (IPv4, IPv6), RFC 9293 (TCP), RFC 1071 (their
checksums), RFC 894 and 2464 (Ethernet).
"""

import struct
from typing import NamedTuple

from fleetlb_dataplane_programmer.layer2.frames import solicited_node

_ARP_KIND = b"\x08\x06\x00\x01\x08\x00\x06\x04"  # EtherType, then: Ethernet, IPv4, and the lengths of their addresses
_ARP = struct.Struct("!6s6s8sH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_BROADCAST, _NO_MAC = b"\xff" * 6, bytes(6)

_ETHERNET = struct.Struct("!6s6sH")
_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_PLAIN_HEADER, _DO_NOT_FRAGMENT, _HOPS, _TCP_NUMBER = 0x45, 0x4000, 64, 6
_FRAGMENT = 0x3FFF
_IPV6 = struct.Struct("!IHBB16s16s")
_NEIGHBOUR = struct.Struct("!BBHI16s")
_ICMPV6, _ON_LINK = 58, 255
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_LINK, _TARGET_LINK = 1, 2
_TCP = struct.Struct("!HHIIBBHHH")
_LARGEST_SEGMENT = struct.pack("!BBH", 2, 4, 1460)
_WINDOW = 64240
_SYN, _RESET, _ACKNOWLEDGES = 0x02, 0x04, 0x10
_MEANING = _SYN | _RESET | _ACKNOWLEDGES | 0x01
_AT_IP = _ETHERNET.size


class Claim(NamedTuple):
    """Somebody answers that he has an address."""

    address: bytes
    mac: bytes


class Call(NamedTuple):
    """Whom a segment goes to, and from whom."""

    mac: bytes
    address: bytes
    port: int
    to_mac: bytes
    to_address: bytes
    to_port: int
    number: int
    """Sequence number of the opening, by which its answer is known; below 2**32 - 1."""


class Answer(NamedTuple):
    """What came back to an opening."""

    address: bytes
    port: int
    to_address: bytes
    to_port: int
    number: int
    """That of the opening."""
    is_open: bool
    """Whether the connection was taken; otherwise it was refused."""


def question(mac: bytes, asker: bytes, wanted: bytes) -> bytes:
    """Who has an address?"""
    if len(wanted) == 4:
        return _ARP.pack(_BROADCAST, mac, _ARP_KIND, _REQUEST, mac, asker, _NO_MAC, wanted)
    group, link = solicited_node(wanted), bytes((_SOURCE_LINK, 1)) + mac
    length = _NEIGHBOUR.size + len(link)
    blank = _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, wanted) + link
    checksum = _checksum(_pseudo(asker, group, _ICMPV6, length) + blank)
    head = _ETHERNET.pack(b"\x33\x33" + group[-4:], mac, _ETHERTYPE_IPV6)
    head += _IPV6.pack(6 << 28, length, _ICMPV6, _ON_LINK, asker, group)
    return head + _NEIGHBOUR.pack(_SOLICITATION, 0, checksum, 0, wanted) + link


def read_claim(frame: bytes, mac: bytes) -> Claim | None:
    """The answer to this MAC in a frame, whatever bytes it holds; None if there is none."""
    found = _read_reply(frame, mac) if frame[12:14] == _ARP_KIND[:2] else _read_advertisement(frame, mac)
    return None if found is None or found.mac[0] & 1 or found.mac == _NO_MAC else found


def _read_reply(frame: bytes, mac: bytes) -> Claim | None:
    if len(frame) < _ARP.size:
        return None
    _, _, kind, operation, sender_mac, sender, target_mac, _ = _ARP.unpack_from(frame)
    is_answer = kind == _ARP_KIND and operation == _REPLY and target_mac == mac
    return Claim(sender, sender_mac) if is_answer else None


def _read_advertisement(frame: bytes, mac: bytes) -> Claim | None:
    """One that goes to this MAC alone, from whom its frame comes or whom it names."""
    at = _AT_IP + _IPV6.size
    if len(frame) < at + _NEIGHBOUR.size or frame[:6] != mac or frame[12:14] != _ETHERTYPE_IPV6.to_bytes(2, "big"):
        return None
    _, _, header, hops, _, _ = _IPV6.unpack_from(frame, _AT_IP)
    kind, code, _, _, wanted = _NEIGHBOUR.unpack_from(frame, at)
    if (header, hops, kind, code) != (_ICMPV6, _ON_LINK, _ADVERTISEMENT, 0):
        return None
    named = frame[at + _NEIGHBOUR.size : at + _NEIGHBOUR.size + 8]
    return Claim(wanted, named[2:] if len(named) == 8 and named[:2] == bytes((_TARGET_LINK, 1)) else frame[6:12])


def opening(call: Call) -> bytes:
    """Asks for a connection."""
    return _segment(call, call.number, _SYN, _LARGEST_SEGMENT)


def abandoning(call: Call) -> bytes:
    """Wants none any more, once the opening was answered: nobody waits for the rest of the handshake."""
    return _segment(call, call.number + 1, _RESET, b"")


def read_answer(frame: bytes) -> Answer | None:
    """The answer to an opening in a frame, whatever bytes it holds; None if there is none.

    Checksums are not looked at: a card or another namespace of this kernel may leave them to the receiver.
    """
    found = _read_ipv4(frame) or _read_ipv6(frame)
    if found is None or len(frame) < found[0] + _TCP.size:
        return None
    at, address, to_address = found
    port, to_port, _, acknowledged, _, flags, _, _, _ = _TCP.unpack_from(frame, at)
    if flags & _MEANING not in (_SYN | _ACKNOWLEDGES, _RESET | _ACKNOWLEDGES) or not acknowledged:
        return None
    return Answer(address, port, to_address, to_port, acknowledged - 1, bool(flags & _SYN))


def _read_ipv4(frame: bytes) -> tuple[int, bytes, bytes] | None:
    """Where the segment in a packet begins, from whom it is and to whom."""
    if len(frame) < _AT_IP + _IPV4.size or frame[12:14] != _ETHERTYPE_IPV4.to_bytes(2, "big"):
        return None
    header, _, _, _, fragment, _, protocol, _, address, to_address = _IPV4.unpack_from(frame, _AT_IP)
    if header != _PLAIN_HEADER or protocol != _TCP_NUMBER or fragment & _FRAGMENT:
        return None
    return _AT_IP + _IPV4.size, address, to_address


def _read_ipv6(frame: bytes) -> tuple[int, bytes, bytes] | None:
    if len(frame) < _AT_IP + _IPV6.size or frame[12:14] != _ETHERTYPE_IPV6.to_bytes(2, "big"):
        return None
    _, _, header, _, address, to_address = _IPV6.unpack_from(frame, _AT_IP)
    return (_AT_IP + _IPV6.size, address, to_address) if header == _TCP_NUMBER else None


def _segment(call: Call, number: int, flags: int, options: bytes) -> bytes:
    length = _TCP.size + len(options)
    words = length // 4 << 4
    blank = _TCP.pack(call.port, call.to_port, number, 0, words, flags, _WINDOW, 0, 0) + options
    checksum = _checksum(_pseudo(call.address, call.to_address, _TCP_NUMBER, length) + blank)
    tcp = _TCP.pack(call.port, call.to_port, number, 0, words, flags, _WINDOW, checksum, 0) + options
    return _head(call, length) + tcp


def _head(call: Call, length: int) -> bytes:
    """Of a frame with a segment of so many bytes."""
    ends = (call.address, call.to_address)
    if len(call.to_address) == 16:
        head = _ETHERNET.pack(call.to_mac, call.mac, _ETHERTYPE_IPV6)
        return head + _IPV6.pack(6 << 28, length, _TCP_NUMBER, _HOPS, *ends)
    head = _ETHERNET.pack(call.to_mac, call.mac, _ETHERTYPE_IPV4)
    fixed = (_PLAIN_HEADER, 0, _IPV4.size + length, 0, _DO_NOT_FRAGMENT, _HOPS, _TCP_NUMBER)
    return head + _IPV4.pack(*fixed, _checksum(_IPV4.pack(*fixed, 0, *ends)), *ends)


def _pseudo(address: bytes, to_address: bytes, protocol: int, length: int) -> bytes:
    """What checksums cover beside the segment. The sum is the same in both families, wherever the zeros stand."""
    return address + to_address + struct.pack("!HH", protocol, length)


def _checksum(data: bytes) -> int:
    """Of an even number of bytes. A sum in ones' complement of 16-bit words is the remainder by 65535."""
    return 0xFFFF - int.from_bytes(data, "big") % 0xFFFF
