"""The first half of a TCP handshake on Ethernet as bytes, and ARP as a client asks it. IPv4. Pure.

By these a node calls a VIP of another node past its own kernel, to which every VIP is its own.

Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 9293 (TCP), RFC 1071 (their checksums), RFC 894 (IPv4 on Ethernet).
"""

import struct
from typing import NamedTuple

_ARP_KIND = b"\x08\x06\x00\x01\x08\x00\x06\x04"  # EtherType, then: Ethernet, IPv4, and the lengths of their addresses
_ARP = struct.Struct("!6s6s8sH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_BROADCAST, _NO_MAC = b"\xff" * 6, bytes(6)

_ETHERNET = struct.Struct("!6s6sH")
_ETHERTYPE_IPV4 = 0x0800
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_PLAIN_HEADER, _DO_NOT_FRAGMENT, _HOPS, _TCP_NUMBER = 0x45, 0x4000, 64, 6
_FRAGMENT = 0x3FFF
_TCP = struct.Struct("!HHIIBBHHH")
_LARGEST_SEGMENT = struct.pack("!BBH", 2, 4, 1460)
_WINDOW = 64240
_SYN, _RESET, _ACKNOWLEDGES = 0x02, 0x04, 0x10
_MEANING = _SYN | _RESET | _ACKNOWLEDGES | 0x01
_AT_IPV4, _AT_TCP = _ETHERNET.size, _ETHERNET.size + _IPV4.size


class Claim(NamedTuple):
    """Somebody answers that he has an address. Both packed."""

    address: bytes
    mac: bytes


class Call(NamedTuple):
    """Whom a segment goes to, and from whom. Addresses are packed."""

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
    return _ARP.pack(_BROADCAST, mac, _ARP_KIND, _REQUEST, mac, asker, _NO_MAC, wanted)


def read_claim(frame: bytes, mac: bytes) -> Claim | None:
    """The answer to this MAC in a frame, whatever bytes it holds; None if there is none."""
    if len(frame) < _ARP.size:
        return None
    _, _, kind, operation, sender_mac, sender, target_mac, _ = _ARP.unpack_from(frame)
    if kind != _ARP_KIND or operation != _REPLY or target_mac != mac or sender_mac[0] & 1 or sender_mac == _NO_MAC:
        return None
    return Claim(sender, sender_mac)


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
    if len(frame) < _AT_TCP + _TCP.size or frame[12:14] != _ETHERTYPE_IPV4.to_bytes(2, "big"):
        return None
    header, _, _, _, fragment, _, protocol, _, address, to_address = _IPV4.unpack_from(frame, _AT_IPV4)
    if header != _PLAIN_HEADER or protocol != _TCP_NUMBER or fragment & _FRAGMENT:
        return None
    port, to_port, _, acknowledged, _, flags, _, _, _ = _TCP.unpack_from(frame, _AT_TCP)
    if flags & _MEANING not in (_SYN | _ACKNOWLEDGES, _RESET | _ACKNOWLEDGES) or not acknowledged:
        return None
    return Answer(address, port, to_address, to_port, acknowledged - 1, bool(flags & _SYN))


def _segment(call: Call, number: int, flags: int, options: bytes) -> bytes:
    ethernet = _ETHERNET.pack(call.to_mac, call.mac, _ETHERTYPE_IPV4)
    length = _TCP.size + len(options)
    words = length // 4 << 4
    blank = _TCP.pack(call.port, call.to_port, number, 0, words, flags, _WINDOW, 0, 0) + options
    pseudo = call.address + call.to_address + struct.pack("!HH", _TCP_NUMBER, length)
    checksum = _checksum(pseudo + blank)
    tcp = _TCP.pack(call.port, call.to_port, number, 0, words, flags, _WINDOW, checksum, 0) + options
    return ethernet + _header(call, length) + tcp


def _header(call: Call, length: int) -> bytes:
    ends = (call.address, call.to_address)
    fixed = (_PLAIN_HEADER, 0, _IPV4.size + length, 0, _DO_NOT_FRAGMENT, _HOPS, _TCP_NUMBER)
    return _IPV4.pack(*fixed, _checksum(_IPV4.pack(*fixed, 0, *ends)), *ends)


def _checksum(data: bytes) -> int:
    """Of an even number of bytes. A sum in ones' complement of 16-bit words is the remainder by 65535."""
    return 0xFFFF - int.from_bytes(data, "big") % 0xFFFF
