"""What the kernel's IPVS in a namespace says of what goes over it."""

import itertools
from collections.abc import Iterable
from ipaddress import IPv4Address

from fleetlb.testkit.namespaces import Namespace


def connections(node: Namespace, vip: str) -> set[tuple[str, int]]:
    """The clients' ends of connections to a VIP."""
    rows = [line.split() for line in _read(node, "ip_vs_conn")[1:]]
    return {(_address(row[1]), int(row[2], 16)) for row in rows if _address(row[3]) == vip}


def virtual_servers(node: Namespace) -> dict[str, tuple[str, ...]]:
    """Each VIP of IPv4 that there is a virtual server for, and its real servers: `10.20.0.21 weight 1`."""
    return virtual_servers_of(_read(node, "ip_vs")[3:])


def virtual_servers_of(rows: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The same, of the lines of the kernel's table below its head."""
    found: dict[str, list[str]] = {}
    vip = ""
    for words in map(str.split, rows):
        host = words[1].rpartition(":")[0]
        if words[0] != "->":
            is_known = words[0] in ("TCP", "UDP", "SCTP") and "[" not in host
            vip = _address(host) if is_known else ""
            found.setdefault(vip, [])
        elif vip:
            found[vip].append(f"{_address(host)} weight {words[3]}")
    return {address: tuple(sorted(servers)) for address, servers in found.items() if address}


def packets(node: Namespace) -> int:
    """How many have come in for virtual servers. By processor, for the kernel adds them up every two seconds only."""
    rows = [line.split() for line in _read(node, "ip_vs_stats_percpu")[2:]]
    return sum(int(row[2], 16) for row in itertools.takewhile(lambda row: row[:1] != ["~"], rows))


def _read(node: Namespace, name: str) -> list[str]:
    with node.entered(), open(f"/proc/thread-self/net/{name}") as file:
        return file.read().splitlines()


def _address(text: str) -> str:
    return str(IPv4Address(int(text, 16)))
