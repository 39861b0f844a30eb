"""ARP and neighbour discovery on Ethernet as bytes: who asks for an address, and what is said of one. Pure.

Sources: RFC 826 and RFC 5227 (ARP), RFC 4861 (neighbour discovery), RFC 2464 (IPv6 on Ethernet), RFC 5944 4.6 (both
gratuitous forms). Addresses are packed, 4 or 16 bytes; a MAC is 6. Frames carry no VLAN tag.
"""

import struct
from typing import NamedTuple

_ARP_KIND = b"\x08\x06\x00\x01\x08\x00\x06\x04"  # EtherType, then: Ethernet, IPv4, and the lengths of their addresses
_ARP = struct.Struct("!6s6s8sH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_BROADCAST, _NO_MAC = b"\xff" * 6, bytes(6)

_IPV6 = struct.Struct("!6s6sHIHBB16s16s")
_NEIGHBOUR = struct.Struct("!BBHI16s")
_ETHERTYPE_IPV6, _ICMPV6, _HOP_LIMIT = 0x86DD, 58, 255
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_LINK, _TARGET_LINK = 1, 2
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
_UNSPECIFIED = bytes(16)
_ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


class Question(NamedTuple):
    """Somebody on the link asks who has an address."""

    wanted: bytes
    asker: bytes
    """Zero: whoever asks has no address yet and wants to know whether this one is free."""
    mac: bytes
    """Where the answer goes; never a group."""


def solicited_node(address: bytes) -> bytes:
    """The multicast group at which questions for an IPv6 address arrive."""
    return _SOLICITED_NODE + address[-3:]


def frames_of(address: bytes) -> int:
    """How many frames tell of an address, unasked."""
    return 2 if len(address) == 4 else 1


def gratuitous(address: bytes, mac: bytes) -> tuple[bytes, ...]:
    """What tells everybody on the link, unasked, that this MAC has an address: there are hosts that heed only one of
    ARP's two forms."""
    if len(address) == 4:
        return (
            _arp(_REQUEST, mac, address, _BROADCAST, _NO_MAC, address),
            # Linux takes a reply for gratuitous only if it names the same MAC twice, as RFC 5944 wants it.
            _arp(_REPLY, mac, address, _BROADCAST, mac, address),
        )
    return (_advertisement(address, mac, _ALL_NODES, _ALL_NODES_MAC, _OVERRIDE),)


def answer(question: Question, mac: bytes) -> bytes:
    """That this MAC has the address which is asked for."""
    wanted, asker, to = question
    if len(wanted) == 4:
        return _arp(_REPLY, mac, wanted, to, to, asker)
    if asker == _UNSPECIFIED:
        return _advertisement(wanted, mac, _ALL_NODES, _ALL_NODES_MAC, _OVERRIDE)
    return _advertisement(wanted, mac, asker, to, _SOLICITED | _OVERRIDE)


def read_question(frame: bytes) -> Question | None:
    """The question in a frame, whatever bytes it holds; None if there is none, or one that must not be heard.

    Who names the wanted address for its own tells of it and does not ask.
    """
    found = _read_arp(frame) if frame[12:14] == _ARP_KIND[:2] else _read_solicitation(frame)
    if found is None or found.asker == found.wanted or found.mac[0] & 1 or found.mac == _NO_MAC:
        return None
    return found


def _read_arp(frame: bytes) -> Question | None:
    if len(frame) < _ARP.size:
        return None
    _, _, kind, operation, sender_mac, sender, _, target = _ARP.unpack_from(frame)
    return Question(target, sender, sender_mac) if kind == _ARP_KIND and operation == _REQUEST else None


def _read_solicitation(frame: bytes) -> Question | None:
    if len(frame) < _IPV6.size + _NEIGHBOUR.size:
        return None
    _, source_mac, kind, version, length, next_header, hops, asker, group = _IPV6.unpack_from(frame)
    body = frame[_IPV6.size : _IPV6.size + length]
    if (kind, version >> 28, next_header, hops) != (_ETHERTYPE_IPV6, 6, _ICMPV6, _HOP_LIMIT):
        return None
    if not _NEIGHBOUR.size <= length == len(body) or asker[0] == 0xFF or _remainder(asker, group, body):
        return None
    kind, code, _, _, wanted = _NEIGHBOUR.unpack_from(body)
    if (kind, code) != (_SOLICITATION, 0) or wanted[0] == 0xFF:
        return None
    named = _source_link(body[_NEIGHBOUR.size :])
    if named is None or (asker == _UNSPECIFIED and (named or group != solicited_node(wanted))):
        return None
    return Question(wanted, asker, named or source_mac)


def _source_link(options: bytes) -> bytes | None:
    """The MAC that a solicitation names, empty if it names none; None if its options are malformed."""
    found, offset = b"", 0
    while offset < len(options):
        option = options[offset : offset + 8 * options[offset + 1]] if offset + 1 < len(options) else b""
        if not option or len(option) != 8 * option[1] or (option[0] == _SOURCE_LINK and len(option) != 8):
            return None
        if option[0] == _SOURCE_LINK:
            found = option[2:]
        offset += len(option)
    return found


def _arp(operation: int, mac: bytes, sender: bytes, to: bytes, target_mac: bytes, target: bytes) -> bytes:
    return _ARP.pack(to, mac, _ARP_KIND, operation, mac, sender, target_mac, target)


def _advertisement(address: bytes, mac: bytes, to: bytes, to_mac: bytes, flags: int) -> bytes:
    link = bytes((_TARGET_LINK, 1)) + mac
    length = _NEIGHBOUR.size + len(link)
    blank = _NEIGHBOUR.pack(_ADVERTISEMENT, 0, 0, flags, address) + link
    checksum = 0xFFFF - _remainder(address, to, blank)
    header = _IPV6.pack(to_mac, mac, _ETHERTYPE_IPV6, 6 << 28, length, _ICMPV6, _HOP_LIMIT, address, to)
    return header + _NEIGHBOUR.pack(_ADVERTISEMENT, 0, checksum, flags, address) + link


def _remainder(source: bytes, destination: bytes, body: bytes) -> int:
    """0 if the checksum in a body of ICMPv6 is right (RFC 4443 2.3).

    A sum in ones' complement of 16-bit words is the remainder by 65535, since 65536 leaves 1.
    """
    pseudo = source + destination + struct.pack("!II", len(body), _ICMPV6)
    return int.from_bytes(pseudo + body + bytes(len(body) % 2), "big") % 0xFFFF
