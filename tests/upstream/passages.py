"""What passed the balancer node's own IPVS table: `/proc/net/ip_vs_conn`, read. Pure, but for reading the file."""

import ipaddress
from pathlib import Path

import msgspec

FILE = Path("/proc/net/ip_vs_conn")


class Passage(msgspec.Struct, frozen=True):
    """One connection, as its client sees it."""

    client: str
    client_port: int
    vip: str


def read(file: Path = FILE) -> frozenset[Passage]:
    """Everything there now. Raises OSError where the kernel has no such table."""
    return parse(file.read_text())


def parse(text: str) -> frozenset[Passage]:
    """A line for each connection, after one of titles."""
    rows = (line.split() for line in text.splitlines()[1:])
    return frozenset(Passage(_address(row[1]), int(row[2], 16), _address(row[3])) for row in rows if len(row) > 3)


def _address(text: str) -> str:
    """IPv4 as eight digits; IPv6 in full, or in brackets."""
    if ":" in text:
        return str(ipaddress.IPv6Address(text.strip("[]")))
    return str(ipaddress.IPv4Address(int(text, 16)))
