"""Which routers each balancer node tells by BGP, as the nodes say, folded. Performs nothing.

A node tells of every VIP that it carries, so one word of a node stands for all of them; which routers hear of them
is said by who asks.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.announcing import Telling, among, telling, telling_of, untold


class Routers:
    """Of all groups."""

    def __init__(self) -> None:
        """Nothing was said."""
        self._said: defaultdict[str, dict[str, Telling]] = defaultdict(dict)

    def fold(self, word: NodeRealized) -> bool:
        """A node has said how its sessions are. Whether that is news."""
        said = telling_of(word.node, word.sessions, draining=word.draining)
        if self._said[word.group].get(word.node, Telling(node=word.node)) == said:
            return False
        self._said[word.group][word.node] = said
        return True

    def tellers(self, group: str, nodes: Iterable[str], peers: Collection[str] = ()) -> tuple[Telling, ...]:
        """The nodes that tell one of these routers, and which; without any, of all."""
        return telling(self._of(group, nodes, peers))

    def lack(self, group: str, nodes: Iterable[str], address: str, peers: Collection[str] = ()) -> str:
        """Why none of them is told, in words."""
        return untold(address, self._of(group, nodes, peers))

    def _of(self, group: str, nodes: Iterable[str], peers: Collection[str]) -> list[Telling]:
        said = self._said.get(group, {})
        return [among(said.get(node, Telling(node=node)), peers) for node in nodes]
