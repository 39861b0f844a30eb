"""Which routers each balancer node tells by BGP, as the nodes say, folded. Performs nothing.

A node tells of every VIP that it carries, so one word of a node stands for all of them.
"""

from collections import defaultdict
from collections.abc import Iterable

from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.announcing import Telling, telling, telling_of, untold


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

    def tellers(self, group: str, nodes: Iterable[str]) -> tuple[Telling, ...]:
        """The nodes that tell a router, and which."""
        return telling(self._of(group, nodes))

    def lack(self, group: str, nodes: Iterable[str], address: str) -> str:
        """Why no router is told, in words."""
        return untold(address, self._of(group, nodes))

    def _of(self, group: str, nodes: Iterable[str]) -> list[Telling]:
        said = self._said.get(group, {})
        return [said.get(node, Telling(node=node)) for node in nodes]
