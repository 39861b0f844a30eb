"""Which nodes carry which VIP by their own words, and which of them comes first for each. Pure.

The first is the one with the highest weight of rendezvous hashing (Thaler and Ravishankar 1998): when a node comes or
goes, only those VIPs move that it gains or had.
"""

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from fleetlb.contracts.v1 import VipCarried


def weight(node: str, address: str) -> int:
    """Of a node for a VIP: the same on every machine and in every release."""
    return int.from_bytes(hashlib.blake2b(f"{address} {node}".encode(), digest_size=8).digest(), "big")


class Said(msgspec.Struct, frozen=True, gc=False):
    """What a node said last of a VIP, and where that stands in the stream."""

    carried: bool
    announced: bool
    order: tuple[int, str, int]
    sequence: int
    weight: int
    since: int = 0
    """When it began to announce it, or ended, by its own word."""


_NOBODY: Mapping[str, Said] = {}


class Carriers:
    """The last word of each node on each VIP. Words that come late, after a newer one, change nothing."""

    def __init__(self) -> None:
        """Nobody carries anything."""
        self._said: dict[str, dict[str, Said]] = {}

    def take(self, sequence: int, word: VipCarried) -> bool:
        """Whether the word is news: who carries the VIP has changed."""
        said = self._said.setdefault(word.address, {})
        before = said.get(word.node)
        order = (word.epoch, word.run, word.number)
        if before is not None and order < before.order:
            return False
        at = before.weight if before else weight(word.node, word.address)
        said[word.node] = Said(word.carried, word.announced, order, sequence, at, word.since)
        return word.carried is not (before is not None and before.carried)

    def said(self, address: str, node: str) -> Said | None:
        """What a node said last of a VIP."""
        return self._said.get(address, _NOBODY).get(node)

    def of(self, address: str) -> Iterator[tuple[str, Said]]:
        """The nodes that carry a VIP, in no order."""
        return ((node, said) for node, said in self._said.get(address, _NOBODY).items() if said.carried)

    def forget(self, address: str, node: str) -> None:
        """The word of a node that carries a VIP no more need not be kept."""
        said = self._said.get(address, {})
        if node in said and not said[node].carried:
            del said[node]
            if not said:
                del self._said[address]
