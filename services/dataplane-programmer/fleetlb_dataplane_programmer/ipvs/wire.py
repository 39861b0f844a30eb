"""IPVS entries as generic-netlink attributes and back: the one place that knows the kernel's numbers. Pure.

Layout: include/uapi/linux/ip_vs.h. Addresses and ports are in network byte order, all else in the host's. The kernel
wants the whole of a service or destination with every change, or it falls back to defaults for what is left out.
It checks few numbers: what other tools put into its table may be none of ours, and must be readable all the same.
"""

import enum
import functools
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec

from fleetlb.domain.addresses import Family, Protocol
from fleetlb_dataplane_programmer.ipvs.entries import (
    Destination,
    DestinationKey,
    ForwardMethod,
    Info,
    Load,
    Service,
    ServiceFlag,
    ServiceKey,
    Timeouts,
    TunnelKind,
)
from fleetlb_dataplane_programmer.ipvs.netlink import (
    NESTED,
    Malformed,
    attribute_header,
    encode_attribute,
    read_attributes,
)

FAMILY_NAME = "IPVS"
FAMILY_VERSION = 1


class Command(enum.IntEnum):
    """`IPVS_CMD_*`, those that are used."""

    NEW_SERVICE = 1
    SET_SERVICE = 2
    DEL_SERVICE = 3
    GET_SERVICE = 4
    NEW_DESTINATION = 5
    SET_DESTINATION = 6
    DEL_DESTINATION = 7
    GET_DESTINATION = 8
    SET_CONFIG = 12
    GET_CONFIG = 13
    GET_INFO = 15
    FLUSH = 17


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One change of the table."""

    command: Command
    service: Service | ServiceKey | None = None
    destination: Destination | DestinationKey | None = None


_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_FAMILY_OF = {int(number): family for family, number in _FAMILIES.items()}
_PROTOCOLS = {
    Protocol.TCP: socket.IPPROTO_TCP,
    Protocol.UDP: socket.IPPROTO_UDP,
    Protocol.SCTP: socket.IPPROTO_SCTP,
}
_PROTOCOL_OF = {int(number): protocol for protocol, number in _PROTOCOLS.items()}
_METHOD_OF = {method.value: method for method in ForwardMethod}
_TUNNEL_OF = {kind.value: kind for kind in TunnelKind}
_FORWARD_MASK = 0x7
_ALL = 0xFFFFFFFF
_SERVICE, _DESTINATION = 1, 2
_U16, _U32, _BE16, _BE32 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct(">H"), struct.Struct(">I")

# The headers of attributes do not change, so they are packed once: by size and number.
_S_FAMILY, _S_PROTOCOL, _S_ADDRESS, _S_PORT, _S_MARK = (
    attribute_header(size, kind) for size, kind in ((2, 1), (2, 2), (16, 3), (2, 4), (4, 5))
)
_S_FLAGS, _S_TIMEOUT, _S_NETMASK = (attribute_header(size, kind) for size, kind in ((8, 7), (4, 8), (4, 9)))
_D_ADDRESS, _D_PORT, _D_FAMILY = (attribute_header(size, kind) for size, kind in ((16, 1), (2, 2), (2, 11)))
_D_FORWARD, _D_WEIGHT, _D_UPPER, _D_LOWER = (attribute_header(4, kind) for kind in (3, 4, 5, 6))
_D_KIND, _D_TUNNEL_PORT, _D_TUNNEL_FLAGS = (attribute_header(size, kind) for size, kind in ((1, 13), (2, 14), (2, 15)))

# family, protocol, address, port
_ADDRESS_KEY = struct.Struct("=4sH2x 4sH2x 4s16s 4s2s2x")
# family, firewall mark
_MARK_KEY = struct.Struct("=4sH2x 4sI")
# flags and their mask, timeout, netmask
_SERVICE_REST = struct.Struct("=4sII 4sI 4s4s")
# address, port, family
_DESTINATION_KEY = struct.Struct("=4s 4s16s 4s2s2x 4sH2x")
# and forward, weight, upper and lower threshold, tunnel kind, port and flags
_WHOLE_DESTINATION = struct.Struct(_DESTINATION_KEY.format + "4sI 4sI 4sI 4sI 4sB3x 4s2s2x 4sH2x")
_KEY_HEADER, _WHOLE_HEADER = (
    attribute_header(whole.size - 4, _DESTINATION | NESTED) for whole in (_DESTINATION_KEY, _WHOLE_DESTINATION)
)


def encode_operation(operation: Operation) -> bytes:
    """The attributes of a change."""
    encoded = b"" if operation.service is None else encode_service(operation.service)
    if operation.destination is not None:
        encoded += encode_destination(operation.destination)
    return encoded


def encode_service(service: Service | ServiceKey) -> bytes:
    """A service, or what names one."""
    if isinstance(service, ServiceKey):
        return _named_service(service)
    return encode_attribute(_SERVICE | NESTED, _service_key(service.key) + _service_rest(service))


def encode_destination(destination: Destination | DestinationKey) -> bytes:
    """A destination, or what names one."""
    if isinstance(destination, DestinationKey):
        family = _family_of(destination.address)
        address, port = socket.inet_pton(family, destination.address), _BE16.pack(destination.port)
        return _DESTINATION_KEY.pack(_KEY_HEADER, _D_ADDRESS, address, _D_PORT, port, _D_FAMILY, family)
    key = destination.key
    family = _family_of(key.address)
    return _WHOLE_DESTINATION.pack(
        _WHOLE_HEADER,
        _D_ADDRESS,
        socket.inet_pton(family, key.address),
        _D_PORT,
        _BE16.pack(key.port),
        _D_FAMILY,
        family,
        _D_FORWARD,
        destination.forward,
        _D_WEIGHT,
        destination.weight,
        _D_UPPER,
        destination.upper_threshold,
        _D_LOWER,
        destination.lower_threshold,
        _D_KIND,
        destination.tunnel,
        _D_TUNNEL_PORT,
        _BE16.pack(destination.tunnel_port),
        _D_TUNNEL_FLAGS,
        destination.tunnel_flags,
    )


def encode_timeouts(timeouts: Timeouts) -> bytes:
    """The attributes of SET_CONFIG; what is 0 is left out."""
    values = enumerate((timeouts.tcp, timeouts.tcp_fin, timeouts.udp), start=4)
    return b"".join(encode_attribute(kind, _U32.pack(value)) for kind, value in values if value)


def decode_service(body: memoryview) -> Service | None:
    """A service out of a dump; None: of a protocol that no ServiceKey can name. Raises Malformed."""
    return _guarded(_service, _nested(body, _SERVICE))


def decode_destination(body: memoryview) -> tuple[Destination, Load]:
    """A destination out of a dump, and how busy it is. Raises Malformed."""
    return _guarded(_destination, _nested(body, _DESTINATION))


def decode_timeouts(body: memoryview) -> Timeouts:
    """The answer to GET_CONFIG. Raises Malformed."""
    return _guarded(lambda found: Timeouts(*(_u32(found[kind]) for kind in (4, 5, 6))), read_attributes(body))


def decode_info(body: memoryview) -> Info:
    """The answer to GET_INFO. Raises Malformed."""

    def info(found: dict[int, memoryview]) -> Info:
        version = _u32(found[1])
        return Info((version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF), _u32(found[2]))

    return _guarded(info, read_attributes(body))


@functools.lru_cache(1024)  # the destinations of a service come one after the other
def _named_service(key: ServiceKey) -> bytes:
    return encode_attribute(_SERVICE | NESTED, _service_key(key))


def _service_key(key: ServiceKey) -> bytes:
    family = _FAMILIES[key.family]
    if key.firewall_mark or key.protocol is None:
        return _MARK_KEY.pack(_S_FAMILY, family, _S_MARK, key.firewall_mark)
    address, port = socket.inet_pton(family, key.address), _BE16.pack(key.port)
    protocol = _PROTOCOLS[key.protocol]
    return _ADDRESS_KEY.pack(_S_FAMILY, family, _S_PROTOCOL, protocol, _S_ADDRESS, address, _S_PORT, port)


def _service_rest(service: Service) -> bytes:
    scheduler = encode_attribute(6, service.scheduler.encode() + b"\0")
    netmask = _netmask(service.netmask, service.key.family)
    values = (_S_FLAGS, service.flags, _ALL, _S_TIMEOUT, service.timeout, _S_NETMASK, netmask)
    return scheduler + _SERVICE_REST.pack(*values)


def _netmask(length: int, family: Family) -> bytes:
    if family is Family.IPV6:
        return _U32.pack(length or 128)
    mask = ~length if length < 0 else _ALL << (32 - (length or 32)) & _ALL
    return _BE32.pack(mask)


def _family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


_Found = dict[int, memoryview]
_Entry = TypeVar("_Entry")


def _guarded(read: Callable[[_Found], _Entry], found: _Found) -> _Entry:
    try:
        return read(found)
    except (KeyError, struct.error, ValueError) as problem:
        raise Malformed(f"an IPVS entry cannot be read: {problem!r}") from None


def _nested(body: memoryview, kind: int) -> _Found:
    nested = read_attributes(body).get(kind)
    if nested is None:
        raise Malformed(f"an IPVS message without attribute {kind}")
    return read_attributes(nested)


def _service(found: _Found) -> Service | None:
    family = _FAMILY_OF[_u16(found[1])]
    if 5 in found and _u32(found[5]):
        key = ServiceKey(family, firewall_mark=_u32(found[5]))
    else:
        address, port, protocol = _address(found[3], family), _be16(found[4]), _PROTOCOL_OF.get(_u16(found[2]))
        if protocol is None:
            return None
        key = ServiceKey(family, address, port, protocol)
    return Service(
        key=key,
        scheduler=bytes(found[6]).partition(b"\0")[0].decode("ascii"),
        flags=ServiceFlag(_u32(found[7]) & ~ServiceFlag.HASHED.value),
        timeout=_u32(found[8]),
        netmask=_prefix_length(found[9], family),
    )


def _destination(found: _Found) -> tuple[Destination, Load]:
    family = _FAMILY_OF[_u16(found[11])]
    forward = _u32(found[3]) & _FORWARD_MASK
    tunnel = _u8(found[13]) if 13 in found else 0
    destination = Destination(
        key=DestinationKey(_address(found[1], family), _be16(found[2])),
        forward=_METHOD_OF.get(forward, forward),
        weight=_u32(found[4]),
        upper_threshold=_u32(found[5]),
        lower_threshold=_u32(found[6]),
        tunnel=_TUNNEL_OF.get(tunnel, tunnel),
        tunnel_port=_be16(found[14]) if 14 in found else 0,
        tunnel_flags=_u16(found[15]) if 15 in found else 0,
    )
    return destination, Load(_u32(found[7]), _u32(found[8]), _u32(found[9]))


def _address(payload: memoryview, family: Family) -> str:
    packed = bytes(payload[: 16 if family is Family.IPV6 else 4])
    text = socket.inet_ntop(_FAMILIES[family], packed)
    # The one form that differs from the canonical spelling: the dots in ::192.0.2.1.
    return str(ipaddress.IPv6Address(packed)) if family is Family.IPV6 and "." in text else text


def _prefix_length(payload: memoryview, family: Family) -> int:
    """The inverse of `_netmask`: 0 for the whole address, negative for what is no prefix."""
    if family is Family.IPV6:
        return _u32(payload) % 128
    mask = int(_BE32.unpack_from(payload)[0])
    length = mask.bit_count()
    return length % 32 if length and mask == _ALL << (32 - length) & _ALL else ~mask


def _u8(payload: memoryview) -> int:
    if not payload:
        raise ValueError("an attribute is empty")
    return payload[0]


def _u16(payload: memoryview) -> int:
    return int(_U16.unpack_from(payload)[0])


def _u32(payload: memoryview) -> int:
    return int(_U32.unpack_from(payload)[0])


def _be16(payload: memoryview) -> int:
    return int(_BE16.unpack_from(payload)[0])
