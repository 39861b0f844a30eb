"""Generic netlink as bytes: messages, attributes, acknowledgements and the end of dumps. Knows no socket and no IPVS.

Layout: include/uapi/linux/netlink.h and genetlink.h; everything is in the host's byte order and padded to 4 bytes.
Replies are read as if they came from anybody: whatever is too short, too long or cut is a Malformed, never a crash.
"""

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from fleetlb.domain.errors import FleetlbError

GENL_ID_CTRL = 0x10
_NLMSG_ERROR, _NLMSG_DONE, _NLMSG_OVERRUN = 2, 3, 4
_CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 3, 1, 2
_ATTRIBUTE_KIND = 0x3FFF  # without the flags for nesting and byte order
NESTED = 0x8000
_EXTENDED_ACK_TEXT = 1
_HEADER = struct.Struct("=IHHIIBBxx")
_PREFIX = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
_U16 = struct.Struct("=H")


class Flag(enum.IntFlag):
    """`NLM_F_*`."""

    REQUEST = 0x01
    MULTI = 0x02
    ACK = 0x04
    DUMP_INTERRUPTED = 0x10
    CAPPED = 0x100
    EXTENDED_ACK = 0x200
    DUMP = 0x300


# Plain numbers: an IntFlag costs more than the rest of a message.
_INTERRUPTED, _CAPPED, _EXPLAINED = Flag.DUMP_INTERRUPTED.value, Flag.CAPPED.value, Flag.EXTENDED_ACK.value


class Malformed(FleetlbError):
    """The kernel's reply cannot be read."""


class Frame(NamedTuple):
    """One message with content: its sequence number, whether a dump was interrupted, and its attributes."""

    sequence: int
    is_interrupted: bool
    body: memoryview


class Acknowledgement(NamedTuple):
    """The end of a request or of a dump. `error` is an errno, 0: done; `text` is the kernel's own explanation."""

    sequence: int
    error: int
    text: str = ""
    is_interrupted: bool = False


def encode_message(family: int, command: int, flags: int, sequence: int, attributes: bytes, version: int = 1) -> bytes:
    """One generic-netlink message."""
    return _HEADER.pack(_HEADER.size + len(attributes), family, flags, sequence, 0, command, version) + attributes


def attribute_header(size: int, kind: int) -> bytes:
    """What stands before a payload of so many bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + size, kind)


def encode_attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    return attribute_header(len(payload), kind) + payload + bytes(-len(payload) % 4)


def family_request(name: str, sequence: int) -> bytes:
    """Asks for the number of a generic-netlink family, which differs from boot to boot."""
    attribute = encode_attribute(_CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
    return encode_message(GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, Flag.REQUEST | Flag.ACK, sequence, attribute)


def family_number(body: memoryview) -> int:
    """The number in the answer to `family_request`. Raises Malformed."""
    payload = read_attributes(body).get(_CTRL_ATTR_FAMILY_ID, memoryview(b""))
    if len(payload) < 2:
        raise Malformed("the kernel's answer names no family")
    return int(_U16.unpack_from(payload)[0])


def read_datagram(datagram: memoryview) -> Iterator[Frame | Acknowledgement]:
    """The messages in what one receive gave. Raises Malformed."""
    offset = 0
    while offset < len(datagram):
        if len(datagram) - offset < _PREFIX.size:
            raise Malformed("a netlink message ends in its header")
        length, kind, flags, sequence, _ = _PREFIX.unpack_from(datagram, offset)
        if length < _PREFIX.size or length > len(datagram) - offset:
            raise Malformed(f"a netlink message of {length} bytes in a datagram of {len(datagram) - offset}")
        message = datagram[offset : offset + length]
        offset += (length + 3) & ~3
        if kind == _NLMSG_OVERRUN:
            raise Malformed("the kernel lost replies")
        if kind in (_NLMSG_ERROR, _NLMSG_DONE):
            yield _acknowledgement(message, kind, flags, sequence)
        elif length < _HEADER.size:
            raise Malformed("a generic-netlink message ends in its header")
        else:
            yield Frame(sequence, bool(flags & _INTERRUPTED), message[_HEADER.size :])


def read_attributes(body: memoryview) -> dict[int, memoryview]:
    """Attribute number to payload; of a number that stands there twice, the last. Raises Malformed."""
    found: dict[int, memoryview] = {}
    offset, end = 0, len(body)
    while offset < end:
        if end - offset < _ATTRIBUTE.size:
            raise Malformed("a netlink attribute ends in its header")
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size or length > end - offset:
            raise Malformed(f"a netlink attribute of {length} bytes in a message of {end - offset}")
        found[kind & _ATTRIBUTE_KIND] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _acknowledgement(message: memoryview, kind: int, flags: int, sequence: int) -> Acknowledgement:
    """An error message, or the end of a dump, which carries an error number too."""
    error = 0
    if len(message) >= _PREFIX.size + _INT.size:
        error = -_INT.unpack_from(message, _PREFIX.size)[0]
    elif kind == _NLMSG_ERROR:
        raise Malformed("a netlink error without its number")
    if error < 0:
        raise Malformed(f"a netlink error of {-error}, which is none")
    text = _explanation(message, kind, flags) if error and flags & _EXPLAINED else ""
    return Acknowledgement(sequence, error, text, bool(flags & _INTERRUPTED))


def _explanation(message: memoryview, kind: int, flags: int) -> str:
    """The text of an extended acknowledgement, which follows the error and, unless capped, the request."""
    start = _PREFIX.size + _INT.size
    if kind == _NLMSG_ERROR:
        if len(message) < start + _PREFIX.size:
            raise Malformed("a netlink error without the header of its request")
        echoed = _PREFIX.size if flags & _CAPPED else _PREFIX.unpack_from(message, start)[0]
        start += (echoed + 3) & ~3
    text = read_attributes(message[start:]).get(_EXTENDED_ACK_TEXT, memoryview(b""))
    return bytes(text).rstrip(b"\0").decode("ascii", "backslashreplace")
