"""What the kernel's IPVS in a namespace says of what goes over it."""

import itertools
from ipaddress import IPv4Address

from fleetlb.testkit.namespaces import Namespace


def connections(node: Namespace, vip: str) -> set[tuple[str, int]]:
    """The clients' ends of connections to a VIP."""
    rows = [line.split() for line in _read(node, "ip_vs_conn")[1:]]
    return {(_address(row[1]), int(row[2], 16)) for row in rows if _address(row[3]) == vip}


def packets(node: Namespace) -> int:
    """How many have come in for virtual servers. By processor, for the kernel adds them up every two seconds only."""
    rows = [line.split() for line in _read(node, "ip_vs_stats_percpu")[2:]]
    return sum(int(row[2], 16) for row in itertools.takewhile(lambda row: row[:1] != ["~"], rows))


def _read(node: Namespace, name: str) -> list[str]:
    with node.entered(), open(f"/proc/thread-self/net/{name}") as file:
        return file.read().splitlines()


def _address(text: str) -> str:
    return str(IPv4Address(int(text, 16)))
