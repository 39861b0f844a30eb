"""What the kernel lets through to our packet sockets, as classic BPF programs: who asks for an address, and who answers
our own calls. Pure.

Everything else that arrives on the interface costs some instructions and no copy. What passes is still not trusted.
Sources: linux/filter.h and Documentation/networking/filter.rst of the kernel.
"""

import struct

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
FRAME_BYTES = 2048
"""No more of a frame is given."""

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_OTHER_HOST = 3

_ARP_OPERATION = (_LOAD_HALF, 20, 1)
_ARP_ANSWERS = (_LOAD_HALF, 20, 2)
_IPV4_WITHOUT_OPTIONS = (_LOAD_BYTE, 14, 0x45)
_IPV4_TCP = (_LOAD_BYTE, 23, 6)
_IPV6_TCP = (_LOAD_BYTE, 20, 6)
_IPV4_ACKNOWLEDGED, _IPV6_ACKNOWLEDGED = 42, 62
_IPV6_HOP_LIMIT = (_LOAD_BYTE, 21, 255)
_IPV6_NEXT_HEADER = (_LOAD_BYTE, 20, 58)
_ICMPV6_TYPE = (_LOAD_BYTE, 54, 135)
_ICMPV6_ANSWERS = (_LOAD_BYTE, 54, 136)


def arp_requests() -> bytes:
    """Of ARP: the requests."""
    return _program(_ARP_OPERATION)


def arp_replies() -> bytes:
    """Of ARP: the answers."""
    return _program(_ARP_ANSWERS)


def advertisements() -> bytes:
    """Of IPv6: neighbour advertisements that no router has passed on."""
    return _program(_IPV6_NEXT_HEADER, _IPV6_HOP_LIMIT, _ICMPV6_ANSWERS)


def acknowledgements(ethertype: int, upper_half: int) -> bytes:
    """Of TCP over IPv4 or IPv6: what acknowledges a sequence number with this upper half. A node that forwards much has
    to look at none of that."""
    if ethertype == ETHERTYPE_IPV6:
        return _program(_IPV6_TCP, (_LOAD_HALF, _IPV6_ACKNOWLEDGED, upper_half))
    return _program(_IPV4_WITHOUT_OPTIONS, _IPV4_TCP, (_LOAD_HALF, _IPV4_ACKNOWLEDGED, upper_half))


def solicitations() -> bytes:
    """Of IPv6: neighbour solicitations that no router has passed on."""
    return _program(_IPV6_NEXT_HEADER, _IPV6_HOP_LIMIT, _ICMPV6_TYPE)


def _program(*conditions: tuple[int, int, int]) -> bytes:
    """Lets through what meets all conditions: how to load, from where, what it must be.

    What was sent to another MAC, as a promiscuous interface hears it, or in a VLAN that has an interface of its own or
    none, is never for us.
    """
    lines = [(_LOAD_WORD, 0, 0, _PACKET_TYPE), (_JUMP_IF_EQUAL, 2 * len(conditions) + 1, 0, _OTHER_HOST)]
    for done, (load, offset, wanted) in enumerate(conditions):
        left = len(conditions) - done - 1
        lines += [(load, 0, 0, offset), (_JUMP_IF_EQUAL, 0, 2 * left + 1, wanted)]
    lines += [(_RETURN, 0, 0, FRAME_BYTES), (_RETURN, 0, 0, 0)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
