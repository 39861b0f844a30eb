"""The networks that a pool's addresses are routed with: those that its spec names, and of a range the fewest that make
it up. What is excluded is cut out: a balancer node that took its gateway's address for its own would be cut off. Must
not know who owns which address.
"""

import bisect
import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from fleetlb.domain.address_pools import Interval, lies_in, number_of, parse_interval, parse_intervals, spell, without
from fleetlb.domain.addresses import Family, parse_address
from fleetlb.domain.virtual_servers import Announcement

_BITS = {Family.IPV4: 32, Family.IPV6: 128}


class PoolRoute(NamedTuple):
    """How an address gets to balancer nodes: the network that it is routed with, and who tells the network so."""

    prefix: str = ""
    announcement: Announcement = Announcement.NONE
    attributes_pool: str = ""
    """The pool whose own attributes its route carries; empty: there are none."""


class PoolNetworks(msgspec.Struct, frozen=True):
    """A pool's networks in order, without those that lie in others; the balancer group that carries them, and how they
    are made known to the network."""

    group: str
    networks: tuple[Interval, ...]
    announcement: Announcement = Announcement.NONE
    attributes_pool: str = ""
    """The pool's name, if its routes carry attributes of their own."""

    def around(self, address: str) -> str:
        """The network that holds an address, as a CIDR; empty if none does. O(log n)."""
        family, value = number_of(parse_address(address))
        at = bisect.bisect_right(self.networks, Interval(family, value, 2**128)) - 1
        if at < 0 or not self.networks[at].has(family, value):
            return ""
        return _cidr(self.networks[at])

    def route_of(self, address: str) -> PoolRoute | None:
        """How an address gets to balancer nodes; None if no network holds it. O(log n)."""
        prefix = self.around(address)
        return PoolRoute(prefix, self.announcement, self.attributes_pool) if prefix else None

    def holds(self, group: str, address: str) -> bool:
        """Whether one of the networks holds an address of a group. O(log n)."""
        return (
            bool(self.networks) and self.group == group and lies_in(self.networks, *number_of(parse_address(address)))
        )

    def cidrs(self) -> list[str]:
        """All of them, in order."""
        return [_cidr(network) for network in self.networks]


def parse_pool_networks(
    group: str,
    texts: Iterable[str],
    excluded: Iterable[str] = (),
    announcement: Announcement = Announcement.NONE,
    attributes_pool: str = "",
) -> PoolNetworks:
    """Read a pool's CIDRs and `first-last` ranges, and what is excluded of them. Raises ValueError with a sentence that
    names the text.

    Networks are nested or apart, so of the sorted ones each lies in the one kept last or begins behind it.
    """
    holes = parse_intervals(excluded)
    pieces = [piece for text in texts for piece in without((parse_interval(text),), holes)]
    found = [network for piece in pieces for network in _cover(piece)]
    kept: list[Interval] = []
    for network in sorted(found, key=lambda each: (each.family, each.first, -each.last)):
        if not kept or not kept[-1].overlaps(network):
            kept.append(network)
    return PoolNetworks(group, tuple(kept), announcement, attributes_pool)


def only_in(one: PoolNetworks | None, other: PoolNetworks | None) -> PoolNetworks:
    """The networks of one that the other does not have: their addresses are routed otherwise by it, or not at all."""
    if one is None:
        return PoolNetworks("", ())
    is_alike = other is not None and replace(other, networks=()) == replace(one, networks=())
    known = frozenset(other.networks) if other is not None and is_alike else frozenset[Interval]()
    return replace(one, networks=tuple(network for network in one.networks if network not in known))


def _cidr(network: Interval) -> str:
    return f"{spell(network.family, network.first)}/{_BITS[network.family] - network.size.bit_length() + 1}"


def _cover(interval: Interval) -> Iterable[Interval]:
    """The fewest networks that make up an interval: one, if it is a network itself."""
    make = ipaddress.IPv4Address if interval.family is Family.IPV4 else ipaddress.IPv6Address
    for network in ipaddress.summarize_address_range(make(interval.first), make(interval.last)):
        yield Interval(interval.family, int(network.network_address), int(network.broadcast_address))
