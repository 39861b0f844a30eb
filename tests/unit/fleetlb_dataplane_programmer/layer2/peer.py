"""What another machine on the link sends and understands, written down a second time, from the RFCs alone."""

import ipaddress
import struct
from typing import NamedTuple

BROADCAST = bytes.fromhex("ffffffffffff")
ZERO = "00:00:00:00:00:00"


class Claim(NamedTuple):
    """A frame that says who has an address, in words."""

    kind: str
    """request, reply, or of an advertisement the flags that are set."""
    address: str
    mac: str
    to: str
    """The MAC that the frame goes to."""
    about: tuple[str, ...]
    """Of ARP: target MAC and address; of an advertisement: the destination."""


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def mac_of(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def arp(asker: str, wanted: str, mac: str, *, operation: int = 1, target_mac: str = ZERO, kind: int = 1) -> bytes:
    """An ARP packet to everybody; by default a request."""
    ethernet = BROADCAST + mac_of(mac) + b"\x08\x06"
    head = struct.pack("!HHBBH", kind, 0x0800, 6, 4, operation)
    return ethernet + head + mac_of(mac) + packed(asker) + mac_of(target_mac) + packed(wanted)


def solicitation(
    asker: str,
    wanted: str,
    mac: str,
    *,
    options: bytes | None = None,
    hops: int = 255,
    to: str = "",
    code: int = 0,
    icmp_type: int = 135,
    wrong: int = 0,
) -> bytes:
    """A neighbour solicitation; `wrong` is added to its checksum."""
    if options is None:
        options = b"" if asker == "::" else b"\x01\x01" + mac_of(mac)
    group = packed(to) if to else packed("ff02::1:ff00:0")[:13] + packed(wanted)[13:]
    body = struct.pack("!BBHI", icmp_type, code, 0, 0) + packed(wanted) + options
    checksum = (~words(packed(asker) + group + struct.pack("!II", len(body), 58) + body) & 0xFFFF) + wrong
    body = body[:2] + struct.pack("!H", checksum & 0xFFFF) + body[4:]
    ethernet = b"\x33\x33" + group[12:] + mac_of(mac) + b"\x86\xdd"
    return ethernet + struct.pack("!IHBB", 6 << 28, len(body), 58, hops) + packed(asker) + group + body


def words(data: bytes) -> int:
    """The sum in ones' complement, as RFC 1071 adds it up."""
    data += bytes(len(data) % 2)
    total = 0
    for (word,) in struct.iter_unpack("!H", data):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read_claim(frame: bytes) -> Claim:
    """Raises AssertionError for what no host would believe."""
    to, source, kind = frame[:6].hex(":"), frame[6:12].hex(":"), frame[12:14].hex()
    if kind == "0806":
        head, operation = frame[14:20].hex(), frame[20:22].hex()
        assert (head, len(frame)) == ("000108000604", 42)
        mac, address = frame[22:28].hex(":"), str(ipaddress.IPv4Address(frame[28:32]))
        assert mac == source
        about = (frame[32:38].hex(":"), str(ipaddress.IPv4Address(frame[38:42])))
        return Claim({"0001": "request", "0002": "reply"}[operation], address, mac, to, about)
    assert kind == "86dd"
    length, header, hops = int.from_bytes(frame[18:20], "big"), frame[20], frame[21]
    assert (frame[14] >> 4, header, hops, length, len(frame)) == (6, 58, 255, 32, 86)
    asked, body = str(ipaddress.IPv6Address(frame[38:54])), frame[54:]
    assert words(frame[22:54] + struct.pack("!II", length, 58) + body) == 0xFFFF
    assert (body[0], body[1], body[24], body[25]) == (136, 0, 2, 1)
    assert body[26:32].hex(":") == source
    named = ((0x80, "router"), (0x40, "solicited"), (0x20, "override"))
    flags = " ".join(name for bit, name in named if body[4] & bit)
    assert frame[22:38] == body[8:24]
    return Claim(flags, str(ipaddress.IPv6Address(body[8:24])), source, to, (asked,))
