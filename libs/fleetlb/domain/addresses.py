"""IP addresses in one canonical spelling, and the names derived from them. Knows nothing of pools or owners."""

import enum
import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Family(enum.StrEnum):
    """Address family, spelled as in a Service's `ipFamilies`."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Protocol(enum.StrEnum):
    """Layer-4 protocol, spelled as in a Service's `ports[].protocol`."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


def parse_address(text: str) -> IPAddress:
    """Read an address strictly; forms with a zone, a mapped IPv4 or leading zeros are refused.

    Raises ValueError with a sentence that names the text.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:64]!r} is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        raise ValueError(f"{text[:64]!r} is a mapped or zoned IPv6 address; write the plain address")
    return address


def parse_network(text: str, *, strict: bool = True) -> IPNetwork:
    """Read a CIDR: no netmask in place of the prefix length, no zone, no mapped IPv4, and if `strict` no host bits.

    Raises ValueError with a sentence that names the text. A plain address is a network of one.
    """
    address, slash, length = text.partition("/")
    try:
        parse_address(address)
        if slash and not (length.isascii() and length.isdigit()):
            raise ValueError("write ADDRESS/LENGTH")
        return ipaddress.ip_network(text, strict=strict)
    except ValueError as problem:
        raise ValueError(f"{text[:64]!r} is not a CIDR: {str(problem)[:128]}") from None


def family_of(address: str) -> Family:
    """The family of a canonical address."""
    return Family.IPV6 if ":" in address else Family.IPV4


def claim_name(address: str) -> str:
    """The name of the AddressClaim of a canonical address: IPv4 as it is, IPv6 fully expanded with dashes."""
    if family_of(address) is Family.IPV4:
        return address
    return ipaddress.IPv6Address(address).exploded.replace(":", "-")


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1."""
    return ipaddress.ip_address(address).is_loopback
