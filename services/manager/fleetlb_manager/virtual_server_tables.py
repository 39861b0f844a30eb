"""What the streams `desired` and `realized` hold, as far as the manager needs it: no server is kept, only its digest.

Highest (generation, revision) wins in both. An entry of a lower generation that arrives later was written by a manager
that had lost its lease: its subject must be written again. Pure; every operation is O(1).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from fleetlb.contracts.v1 import (
    LoadBalancerRevision,
    NodeRealized,
    Owner,
    Probe,
    RealizedState,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.services import digest_of
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_manager.identities import Slot

_EMPTY: Mapping[str, "Acknowledged"] = {}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a message of `desired` says, without its place in the order."""

    owner: Owner
    server: VirtualServer
    reason: str = ""
    load_balancer: LoadBalancerRevision | None = None

    @property
    def digest(self) -> str:
        """Equal contents, equal digests, also after a restart."""
        return digest_of((self.owner, self.server, self.reason, self.load_balancer))


class Published(NamedTuple):
    """The last message of one slot; `digest` is empty for a tombstone, or when the stream no longer holds it."""

    generation: int
    revision: int
    digest: str
    removed: bool = False
    sequence: int = 0
    """Of its stream; what comes later is of somebody else."""


class Acknowledged(NamedTuple):
    """What one node last said of one slot."""

    generation: int
    revision: int
    state: RealizedState
    sequence: int = 0
    """Of the last message about the slot, this one or an older one that came late."""
    is_answered: bool = False
    """Whether a backend answered when the node dialled the address."""

    def let_go_of(self, published: Published) -> bool:
        """Whether the node has removed what a tombstone asked it to remove."""
        reached = (self.generation, self.revision) >= (published.generation, published.revision)
        return self.state is RealizedState.REMOVED and reached


class _ByAddress:
    """Slots by their address."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[Slot, None]] = {}

    def add(self, slot: Slot) -> None:
        self._slots.setdefault(slot.key.address, {})[slot] = None

    def discard(self, slot: Slot) -> None:
        slots = self._slots.get(slot.key.address, {})
        slots.pop(slot, None)
        if not slots:
            self._slots.pop(slot.key.address, None)

    def at(self, address: str) -> Iterable[Slot]:
        return self._slots.get(address, ())


class DesiredTable:
    """The manager's own output."""

    def __init__(self) -> None:
        """Nothing published."""
        self._published: dict[Slot, Published] = {}
        self._by_address = _ByAddress()
        self._unconfirmed: dict[str, dict[Slot, None]] = {}
        self._highest_revision = 0
        self._read: dict[str, int] = {}

    def get(self, slot: Slot) -> Published | None:
        """The last message of a slot."""
        return self._published.get(slot)

    def slots(self) -> Iterable[Slot]:
        """Every slot with a message."""
        return self._published

    def at(self, address: str) -> Iterable[Slot]:
        """Slots of an address that have a message."""
        return self._by_address.at(address)

    def next_revision(self) -> int:
        """A revision above every one seen or given out, of whatever slot."""
        self._highest_revision += 1
        return self._highest_revision

    def see(self, revision: int) -> None:
        """A revision exists somewhere: later ones are higher."""
        self._highest_revision = max(self._highest_revision, revision)

    def read_through(self, group: str) -> int:
        """The highest sequence that was read of a group's stream since it was last read from the start."""
        return self._read.get(group, 0)

    def note(self, slot: Slot, published: Published) -> bool:
        """The stream holds this message. False if a newer one was known, which it no longer holds."""
        self.see(published.revision)
        for slots in self._unconfirmed.values():
            slots.pop(slot, None)
        known = self._published.get(slot)
        if known is not None and published[:2] < known[:2]:
            if published.generation < known.generation:
                self._published[slot] = known._replace(digest="", removed=False, sequence=published.sequence)
                return False
            return True  # the echo of an earlier message of this manager
        self._published[slot] = published
        self._by_address.add(slot)
        return True

    def note_message(self, slot: Slot, message: VirtualServerDesired, sequence: int = 0) -> bool:
        """Like `note`, for a message of the stream, where it has this sequence."""
        self._read[slot.group] = max(sequence, self._read.get(slot.group, 0))
        digest = ""
        if message.server is not None:
            content = Content(
                owner=message.owner,
                server=message.server,
                reason=message.reason,
                load_balancer=message.load_balancer,
            )
            digest = content.digest
        order = message.generation, message.revision
        return self.note(slot, Published(*order, digest, message.server is None, sequence))

    def forget(self, slot: Slot) -> None:
        """The slot's subject was purged."""
        self._published.pop(slot, None)
        self._by_address.discard(slot)

    def restart(self, group: str) -> None:
        """A group's stream is replayed from the start: what does not come again is lost."""
        self._read.pop(group, None)
        self._unconfirmed[group] = {slot: None for slot in self._published if slot.group == group}

    def replayed(self, group: str) -> list[Slot]:
        """The replay is complete. Slots whose message was lost; they count as never published."""
        lost = list(self._unconfirmed.pop(group, ()))
        for slot in lost:
            self.forget(slot)
        return lost


class RealizedTable:
    """What the balancer nodes say."""

    def __init__(self) -> None:
        """Nothing heard."""
        self._acknowledged: dict[Slot, dict[str, Acknowledged]] = {}
        self._by_address = _ByAddress()
        self._nodes: dict[str, dict[str, NodeRealized]] = {}

    def get(self, slot: Slot) -> Mapping[str, Acknowledged]:
        """Node to what it last said of a slot."""
        return self._acknowledged.get(slot, _EMPTY)

    def slots(self) -> Iterable[Slot]:
        """Every slot that a node spoke of."""
        return self._acknowledged

    def at(self, address: str) -> Iterable[Slot]:
        """Slots of an address that a node spoke of."""
        return self._by_address.at(address)

    def note(self, group: str, message: VirtualServerRealized, sequence: int = 0) -> Slot:
        """A node spoke of a slot; its highest (generation, revision) stays. `sequence`: of the stream."""
        slot = Slot(group, message.key)
        nodes = self._acknowledged.setdefault(slot, {})
        answered = message.probe is Probe.ANSWERED
        said = Acknowledged(message.generation, message.revision, message.state, sequence, answered)
        known = nodes.get(message.node)
        is_old = known is not None and said[:2] < known[:2]
        nodes[message.node] = known._replace(sequence=sequence) if known is not None and is_old else said
        self._by_address.add(slot)
        return slot

    def forget(self, slot: Slot, node: str, said: Acknowledged) -> None:
        """The word of a node was purged; one that came meanwhile stays."""
        nodes = self._acknowledged.get(slot, {})
        if nodes.get(node) is said:
            del nodes[node]
        if not nodes:
            self._acknowledged.pop(slot, None)
            self._by_address.discard(slot)

    def note_node(self, group: str, message: NodeRealized) -> bool:
        """A node spoke of itself. False if it said nothing new."""
        nodes = self._nodes.setdefault(group, {})
        if nodes.get(message.node) == message:
            return False
        nodes[message.node] = message
        return True

    def nodes(self, group: str) -> Mapping[str, NodeRealized]:
        """A group's nodes as last heard."""
        return self._nodes.get(group, {})
