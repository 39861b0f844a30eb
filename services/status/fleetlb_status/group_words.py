"""What the nodes of one group said of who announces addresses on layer 2, folded."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb.domain.announcing import Saying
from fleetlb.kube.holding import SKEW_SECONDS


class _Presence(msgspec.Struct):
    word: NodePresent
    heard: float
    """By this process's clock: until the hub has shown that nothing came later, the node is believed."""
    is_silent: bool = False


class _Carrying(msgspec.Struct, frozen=True):
    word: VipCarried
    heard: float


class GroupWords:
    """All times are of one clock that never jumps, in seconds."""

    def __init__(self) -> None:
        """Nothing was said."""
        self._present: dict[str, _Presence] = {}
        self._carried: defaultdict[str, dict[str, _Carrying]] = defaultdict(dict)
        """Address to node to what it said."""

    def take_present(self, word: NodePresent, now: float) -> bool:
        """A node takes part. Whether that is news: a lease is renewed all the time."""
        known = self._present.get(word.node)
        self._present[word.node] = _Presence(word, now)
        return known is None or known.is_silent or _part(known.word) != _part(word)

    def take_carried(self, word: VipCarried, now: float) -> bool:
        """A node says whether it carries, and announces, an address. Whether that is news."""
        known = self._carried[word.address].get(word.node)
        self._carried[word.address][word.node] = _Carrying(word, now)
        return known is None or _shown(known.word) != _shown(word)

    def unheard(self, now: float) -> list[str]:
        """Nodes whose lease may have ended, as nothing was heard of them for so long."""
        return [
            node
            for node, presence in self._present.items()
            if not presence.is_silent and now - presence.heard > presence.word.lease_ms / 1000 + SKEW_SECONDS
        ]

    def note_last(self, node: str, word: NodePresent | None) -> bool:
        """What the hub has last of a node; None: nothing. Whether the node is silent: it is not if it has said
        something since, which is about to be heard here."""
        presence = self._present.get(node)
        if presence is None or (word is not None and word != presence.word):
            return False
        presence.is_silent = True
        return True

    def of_node(self, node: str) -> list[str]:
        """The addresses of which a node has said anything. O(addresses)."""
        return [address for address, said in self._carried.items() if node in said]

    def on(self, address: str, nodes: Iterable[str]) -> tuple[Saying, ...]:
        """What these nodes said of an address, those that did."""
        found = self._carried.get(address, {})
        return tuple(_saying(found[node], self._present.get(node)) for node in nodes if node in found)


def _saying(said: _Carrying, presence: _Presence | None) -> Saying:
    word = said.word
    return Saying(
        node=word.node,
        carried=word.carried,
        announced=word.announced,
        is_heard=presence is not None and not presence.is_silent,
        draining=presence is not None and presence.word.draining,
        to=word.to,
        since=word.since,
        at=said.heard,
        # What an earlier life of the node found, this one may never look at again.
        reached=word.reached if presence is not None and presence.word.run == word.run else None,
    )


def _part(word: NodePresent) -> tuple[object, ...]:
    return word.draining, word.run


def _shown(word: VipCarried) -> tuple[object, ...]:
    return word.carried, word.announced, word.to, word.since, word.reached
