"""Who answers for a VIP on layer 2: at every instant one node of a group at most, whatever the bus does. Pure.

All nodes read the same words in the same order, though not at the same time. A word of a node, its presence, renews
its lease and says how far it has read, *and acted upon*, the stream. A node answers for a VIP if

1. its lease stands: it has read a presence of its own that it sent less than a lease ago;
2. it has read its own word that it carries the VIP, and no rival comes before it: no other node that carries it and is
   not dead (nodes that drain come last, then rendezvous hashing decides);
3. each rival has read the words by which this node came to carry the VIP and to take part, so by (2) it has stopped
   answering before it said so.

Another is dead once nothing was read of it for a lease, and after that a presence of one's own was sent and read back:
whatever the other had said before it was read, then. Who cannot renew has stopped by (1) earlier, and takes part anew
with its next presence, which is a word that (3) speaks of. Clocks are compared with themselves alone; only their rates
must agree, within `Lease.margin`. Why that suffices, and figures: ADR 15.

Each word costs O(1), or O(VIPs that it concerns); only a change of who is alive looks at every VIP that is carried.
"""

from collections.abc import Collection

import msgspec

from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb_dataplane_programmer.ownership.carriers import Carriers
from fleetlb_dataplane_programmer.ownership.living import Living, Me


class Changes(msgspec.Struct, frozen=True):
    """VIPs for which the node must answer from now on, and those for which it must not."""

    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Ownership:
    """The part of one node in it. `now` is everywhere a clock in seconds that never stands, also not in a pause."""

    def __init__(self, me: Me, now: float) -> None:
        """Nothing was read yet."""
        self._me = me
        self.living = Living(me, now)
        self.carriers = Carriers()
        self.owned: dict[str, None] = {}
        self._wanted: dict[str, int] = {}
        """What this node carries by its own will, and from which number on its words say so."""
        self._since: dict[str, int] = {}
        self._denied: set[str] = set()
        """VIPs of which this life has said that it does not carry them, and nothing else since."""
        self._numbers = 0
        self._read = 0
        self._dirty: dict[str, None] = {}
        self._all_dirty = False
        self._waiting: dict[str, dict[str, None]] = {}
        self._nudge = False

    def carry(self, address: str) -> None:
        """The node carries a VIP: it is programmed, read back, and has a usable real server."""
        if address in self._wanted:
            return
        said = self.carriers.said(address, self._me.node)
        self._wanted[address] = self._next_number()
        # From an earlier life, the others hold it already; unless they have been told otherwise since.
        if said is not None and said.carried and address not in self._denied:
            self._since[address] = said.sequence
            self._dirty[address] = None

    def drop(self, address: str) -> None:
        """The node is about to carry a VIP no more. To be said only after `settle`."""
        self._wanted.pop(address, None)
        self._since.pop(address, None)
        self._dirty[address] = None

    def drain(self, draining: bool) -> None:
        """Give way to every other node, or no more. To be said only after `settle`."""
        if draining is not self.living.is_draining:
            self.living.drain(draining)
            self._all_dirty = self._nudge = True

    @property
    def run(self) -> str:
        """Of this life of the node, as its words say."""
        return self._me.run

    @property
    def carried(self) -> Collection[str]:
        """The VIPs that this node carries by its own will."""
        return self._wanted.keys()

    def needs_word_on(self, address: str) -> bool:
        """Whether the others do not hold of a VIP what this node would say."""
        said = self.carriers.said(address, self._me.node)
        if address in self._wanted:
            return address not in self._since or said is None or said.announced is not (address in self.owned)
        return said is not None and said.carried

    def word_on(self, address: str) -> VipCarried:
        """What this node has to say of a VIP. Another number than of the word that was said before."""
        carries = address in self._wanted
        if not carries:
            self._denied.add(address)
        return VipCarried(
            node=self._me.node,
            group=self._me.group,
            address=address,
            epoch=self.living.epoch,
            run=self._me.run,
            number=self._next_number(),
            carried=carries,
            announced=address in self.owned,
        )

    def presence(self, now: float) -> NodePresent:
        """What this node has to say of itself now; what it says binds it from here on. After `settle` alone."""
        self._nudge = False
        return self.living.presence(self._next_number(), self._read, now)

    def owes_word(self) -> bool:
        """Whether another node waits for this one's presence: it should not wait for the next renewal."""
        return self._nudge

    def take_present(self, sequence: int, word: NodePresent, now: float) -> None:
        """A presence was read."""
        self._read = sequence
        if word.node == self._me.node:
            self._all_dirty = self.living.take_own(sequence, word, now) or self._all_dirty
        elif self.living.take_other(word, now):
            self._all_dirty = self._nudge = True
        else:
            self._dirty.update(self._waiting.pop(word.node, {}))

    def take_carried(self, sequence: int, word: VipCarried) -> None:
        """A node's word on a VIP was read."""
        self._read = sequence
        address = word.address
        is_news = self.carriers.take(sequence, word)
        if word.node == self._me.node:
            self._take_own_on(sequence, word, is_news)
        elif is_news:
            self._dirty[address] = None
            self._nudge = self._nudge or address in self._wanted
            if not word.carried:
                self.carriers.forget(address, word.node)

    def take_position(self, sequence: int) -> None:
        """Something else was read."""
        self._read = sequence

    def settle(self, now: float) -> Changes:
        """What follows from all that was read and from the time. Must be done before anything is said."""
        if self.living.settle(now):
            self._all_dirty = self._nudge = True
        looked_at = [*self._wanted, *self.owned] if self._all_dirty else [*self._dirty]
        self._all_dirty, self._dirty = False, {}
        gained, lost = [], []
        for address in looked_at:
            mine = self._is_mine(address, now)
            if mine and address not in self.owned:
                self.owned[address] = None
                gained.append(address)
            elif not mine and address in self.owned:
                del self.owned[address]
                lost.append(address)
        return Changes(tuple(gained), tuple(lost))

    def _take_own_on(self, sequence: int, word: VipCarried, is_news: bool) -> None:
        address, said = word.address, self.carriers.said(word.address, self._me.node)
        if said is None or said.sequence != sequence:
            return  # late
        if is_news and not word.carried:
            self._since.pop(address, None)
        if word.carried and address in self._wanted and self._says_my_will(word):
            self._since.setdefault(address, sequence)
            self._denied.discard(address)
        if not word.carried and address not in self._wanted:
            self.carriers.forget(address, self._me.node)
        self._dirty[address] = None

    def _says_my_will(self, word: VipCarried) -> bool:
        """Whether nothing that this node has said after it, and others may have read, says otherwise."""
        if word.run == self._me.run:
            return word.number >= self._wanted[word.address]
        return word.address not in self._denied

    def _is_mine(self, address: str, now: float) -> bool:
        since, standing_since = self._since.get(address), self.living.standing_since
        mine = self.carriers.said(address, self._me.node)
        if since is None or standing_since is None or mine is None or not mine.carried:
            return False
        if not self.living.takes_part(now):
            return False
        rivals = [(name, said.weight) for name, said in self.carriers.of(address) if self.living.is_rival(name, now)]
        my_place = (not self.living.is_draining, mine.weight, self._me.node)
        if any((not self.living.word_of(name).draining, at, name) > my_place for name, at in rivals):
            return False
        needed = max(since, standing_since)
        for name, _ in rivals:
            if self.living.word_of(name).read < needed:
                self._waiting.setdefault(name, {})[address] = None
                return False
        return True

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers
