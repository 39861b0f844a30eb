"""Whether this node may speak at all, and which others are alive: leases by presences that all read in one order. Pure.

See `electing` for what follows, and why. `now` is everywhere a clock in seconds that never stands, also not in a pause.
"""

import msgspec

from fleetlb.contracts.v1 import NodePresent

MAX_MEMBERS = 64


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `margin`: how much earlier its holder stops than the others take it for dead."""

    seconds: float = 1.5
    margin: float = 0.15

    @property
    def renewal(self) -> float:
        """How often it is renewed: two renewals may be lost."""
        return self.seconds / 3


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Of which node, in which of its lives, the words are."""

    node: str
    group: str
    run: str
    lease: Lease = Lease()


class _Member(msgspec.Struct):
    word: NodePresent
    heard_at: float

    def expires_at(self) -> float:
        return self.heard_at + self.word.lease_ms / 1000


class _Sent(msgspec.Struct, frozen=True):
    at: float
    members: tuple[str, ...]
    draining: bool


class Living:
    """This node's lease, and the presences of the others."""

    def __init__(self, me: Me, now: float) -> None:
        """Nothing was read yet. Nothing is answered before one lease has passed: whoever answered by a stream that is
        no more must have ended before."""
        self._me = me
        self.epoch = 1
        """Of this life; higher than any that was read of this node before it spoke."""
        self.is_fenced = False
        """Another process says of itself to be this node, and began later."""
        self.standing_since: int | None = None
        """From which word on this node takes part, without a break; None: it does not."""
        self.is_draining = False
        self._namesake_until, self._namesake_epoch = now, 0
        self._members: dict[str, _Member] = {}
        self._sent: dict[int, _Sent] = {}
        self._has_spoken = False
        self._pledged: tuple[str, ...] = ()
        """Whom this node took for alive when it sent the last presence that it has read back."""
        self._valid_until = now
        self._listens_until: float | None = now + me.lease.seconds
        self._living: tuple[str, ...] = ()

    @property
    def alive(self) -> tuple[tuple[str, bool], ...]:
        """The other nodes that were alive when it was last settled, each with whether it gives way."""
        return tuple((name, self._members[name].word.draining) for name in self._living)

    def holds(self, now: float) -> bool:
        """Whether the lease stands. To be asked before everything that is answered."""
        return now < self._valid_until and not self.is_fenced

    def takes_part(self, now: float) -> bool:
        """Whether this node may answer for anything."""
        return self.standing_since is not None and self._listens_until is None and self.holds(now)

    def drain(self, draining: bool) -> None:
        """Give way to every other node, or no more: then others go before it until they have read so."""
        self.is_draining = draining
        if not draining:
            self.standing_since = None

    def presence(self, number: int, read: int, now: float) -> NodePresent:
        """What this node has to say of itself; what it says binds it from here on."""
        alive = sorted({self._me.node, *(name for name in self._members if self.is_alive(name, now))})[:MAX_MEMBERS]
        self._sent[number], self._has_spoken = _Sent(now, tuple(alive), self.is_draining), True
        return NodePresent(
            node=self._me.node,
            group=self._me.group,
            epoch=self.epoch,
            run=self._me.run,
            number=number,
            lease_ms=round(self._me.lease.seconds * 1000),
            members=tuple(alive),
            read=read,
            draining=self.is_draining,
        )

    def take_own(self, sequence: int, word: NodePresent, now: float) -> bool:
        """A presence under this node's name was read. Whether anything but the lease has changed."""
        if word.run != self._me.run:
            self._take_namesake(word, now)
            return True
        if word.number not in self._sent:
            return False  # late
        if not self.holds(now):
            self._lapse()
        sent, before = self._sent[word.number], (self._pledged, self.standing_since)
        self._pledged = sent.members
        for number in [number for number in self._sent if number <= word.number]:
            del self._sent[number]
        self._valid_until = max(self._valid_until, sent.at + self._me.lease.seconds - self._me.lease.margin)
        if self.standing_since is None and sent.draining is self.is_draining:
            self.standing_since = sequence
        return before != (self._pledged, self.standing_since)

    def take_other(self, word: NodePresent, now: float) -> bool:
        """Another node's presence was read. Whether anything but its lease and its place has changed."""
        known = self._members.get(word.node)
        if known is not None and _order(word) < _order(known.word):
            return False
        self._members[word.node] = _Member(word, now)
        return known is None or known.word.draining is not word.draining

    def settle(self, now: float) -> bool:
        """What follows from the time. Whether anything does."""
        before = self.is_fenced, self.standing_since, self._living, self._listens_until
        if self.is_fenced and now >= self._namesake_until:  # a late word of an earlier life, or that process has ended
            self.is_fenced, self.epoch = False, self._namesake_epoch + 1
        if not self.holds(now):
            self._lapse()
        if self._listens_until is not None and now >= self._listens_until:
            self._listens_until = None
        self._living = tuple(sorted(name for name in self._members if self.is_alive(name, now)))
        return before != (self.is_fenced, self.standing_since, self._living, self._listens_until)

    def wakes_at(self, now: float) -> float:
        """The first moment at which `settle` may find something though nothing was read."""
        moments = [member.expires_at() for member in self._members.values()] + [self._valid_until]
        if self._listens_until is not None:
            moments.append(self._listens_until)
        if self.is_fenced:
            moments.append(self._namesake_until)
        return min((moment for moment in moments if moment > now), default=now + self._me.lease.seconds)

    def is_alive(self, name: str, now: float) -> bool:
        """Whether another node was heard within its lease."""
        member = self._members.get(name)
        return member is not None and now < member.expires_at()

    def is_rival(self, name: str, now: float) -> bool:
        """Whether a node other than this one has to be reckoned with."""
        if name == self._me.node or name not in self._members:
            return False
        return self.is_alive(name, now) or name in self._pledged

    def word_of(self, name: str) -> NodePresent:
        """The last presence of a node that was heard."""
        return self._members[name].word

    def _take_namesake(self, word: NodePresent, now: float) -> None:
        """An earlier life of this node, or another process that thinks that it is this node: the later one counts."""
        if not self._has_spoken:
            self.epoch = max(self.epoch, word.epoch + 1)
        elif (word.epoch, word.run) > (self.epoch, self._me.run):
            self.is_fenced = True
            self._namesake_until, self._namesake_epoch = now + word.lease_ms / 1000, word.epoch
            self._sent.clear()

    def _lapse(self) -> None:
        """The lease has ended; with the next one the node takes part anew."""
        self.standing_since = None


def _order(word: NodePresent) -> tuple[int, str, int]:
    return word.epoch, word.run, word.number
