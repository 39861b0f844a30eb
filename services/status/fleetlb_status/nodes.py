"""Balancer nodes as integrations are told of them: what they said, whether they are in their group, what changed."""

from collections.abc import Callable
from typing import Any

import msgspec

from fleetlb.contracts import events
from fleetlb.contracts.events import NodeEvent
from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.told import NodeStanding, NodeTold
from fleetlb.contracts.v1 import NodeRealized

NodeKey = tuple[str, str]
"""A BalancerGroup and a node."""


class Nodes:
    """What groups and nodes have said, folded; `on_change` is called with every node of which that may be news."""

    def __init__(self, on_change: Callable[[NodeKey], None]) -> None:
        """Nothing is known yet."""
        self._on_change = on_change
        self._groups: dict[str, tuple[str, ...]] = {}
        self._complete: set[str] = set()
        self._words: dict[NodeKey, NodeRealized] = {}

    def set_group(self, group: BalancerGroup) -> None:
        """A group is there or has changed."""
        self._set(group.metadata.name, group.spec.nodes)

    def drop_group(self, group: BalancerGroup) -> None:
        """A group is gone."""
        self._set(group.metadata.name, ())

    def complete_group(self, name: str) -> None:
        """All that a group's nodes have ever said is known."""
        self._complete.add(name)
        for node in self._groups.get(name, ()):
            self._on_change((name, node))

    def fold(self, word: NodeRealized) -> None:
        """A node has said what it is."""
        key = word.group, word.node
        self._words[key] = word
        self._on_change(key)

    def known(self) -> tuple[NodeKey, ...]:
        """Every node of every group."""
        return tuple((group, node) for group, nodes in self._groups.items() for node in nodes)

    def standing(self, key: NodeKey, before: NodeStanding | None) -> NodeStanding | None:
        """How a node stands; None: there is nothing of it, or not all that was said is known yet."""
        group, node = key
        if node not in self._groups.get(group, ()):
            self._words.pop(key, None)
            return msgspec.structs.replace(before, ready=False, gone=True) if before and not before.gone else None
        word = self._words.get(key)
        if word is None or group not in self._complete:
            return None
        return NodeStanding(engine=word.engine, version=word.version, ready=word.ready, repairs=word.repairs)

    def _set(self, name: str, nodes: tuple[str, ...]) -> None:
        before = self._groups.get(name, ())
        self._groups[name] = nodes
        for node in {*before} ^ {*nodes}:
            self._on_change((name, node))


class NodeNews:
    """See `fleetlb_status.telling.Matter`."""

    def __init__(self, nodes: Nodes) -> None:
        """By what they said."""
        self._nodes = nodes

    def wait(self, key: NodeKey) -> float:
        """A node knows how it is."""
        return 0.0

    def look(self, key: NodeKey, told: NodeTold | None, at: str) -> NodeTold | None:
        """What would be told now."""
        before = told.now if told else None
        now = self._nodes.standing(key, before)
        if now is None:
            return None
        return NodeTold(generation=0, revision=0, at=at, before=before, now=now)

    def again(self, told: NodeTold, at: str) -> NodeTold:
        """All that stands."""
        return msgspec.structs.replace(told, at=at, before=None)

    def events(self, key: NodeKey, told: NodeTold) -> tuple[NodeEvent, ...]:
        """Between two standings."""
        before, now, (group, node) = told.before or NodeStanding(repairs=told.now.repairs), told.now, key
        shared: dict[str, Any] = {
            "revision": told.revision, "group": group, "node": node, "engine": now.engine, "version": now.version,
        }  # fmt: skip
        found: list[NodeEvent] = []
        if now.ready != before.ready:
            found.append((events.NodeJoined if now.ready else events.NodeLost)(**shared))
        # A smaller count than before is that of a new process.
        if repairs := now.repairs - (before.repairs if now.repairs >= before.repairs else 0):
            found.append(events.DriftRepaired(**shared, repairs=repairs))
        return tuple(found)

    def name(self, key: NodeKey) -> str:
        """Group and node."""
        return ".".join(key)

    def forget(self, key: NodeKey) -> None:
        """Nothing of it is kept."""
