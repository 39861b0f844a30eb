"""A node's part in who answers for VIPs on layer 2, on the bus: reads all words, renews its lease, says its own.

What follows from the words is decided by `Ownership`; this does it at once, before the next word is sent. Nothing is
sent while the node carries no VIP of such a pool. Must not know what a link is made of.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import prometheus_client
import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb.domain.announcing import VipReached
from fleetlb.domain.errors import FleetlbError, Poison, Transient
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.ownership.duties import Announced, to_be_called
from fleetlb_dataplane_programmer.ownership.electing import Ownership
from fleetlb_dataplane_programmer.ownership.living import Lease, Me
from fleetlb_dataplane_programmer.ownership.reach_words import ReachWords

RENEWALS = prometheus_client.Counter(
    "fleetlb_announcement_lease_renewals_total", "Attempts to renew the lease for answering on layer 2.", ["outcome"]
)
OWNED = prometheus_client.Gauge("fleetlb_announced_vips", "VIPs that this node announces.", ["announcement"])
_LAYER2 = OWNED.labels(Announcement.LAYER2)

_NUDGE_SECONDS = 0.05
"""Between two presences that somebody waits for: what is asked meanwhile is answered together."""
_RESTART_PATIENCE_SECONDS = 5.0
"""How long a node that begins anew may take to carry what it carried before, as the others believe that it does."""
_READ_BACK_SECONDS = 1.0
_CALM_SECONDS = 0.2
"""A change of who announces is said so much later: it may be changing again."""
_RETRY = Backoff(initial=0.05, cap=2.0, factor=2.0, jitter=0.3)


def boot_seconds() -> float:
    """A clock that never stands and is never set, also over a suspend: a lease must end in that time, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Link(Protocol):
    """An interface on which VIPs are answered for."""

    def own(self, address: str) -> None:
        """Begin to answer."""

    def disown(self, address: str) -> None:
        """Answer no more from this call on."""


class Participant:
    """One node of a group. All methods but `follow` and `run` return at once."""

    def __init__(
        self,
        node: str,
        group: str,
        links: Sequence[Link] = (),
        *,
        names: tuple[str, ...] = (),
        lease: Lease = Lease(),  # noqa: B008 (frozen)
        now: Callable[[], float] = boot_seconds,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`names`: of the interfaces, for people. `wall`: seconds since 1970, for people too."""
        self._node, self._group, self._names, self._lease = node, group, names, lease
        self.links = links
        """To be set before `follow`."""
        self._now, self._wall = now, wall
        self._ownership = self._begin()
        self._carried: dict[str, None] = {}
        """What the node carries, also while it is out."""
        self._is_out = False
        self._since: dict[str, int] = {}
        self._awaited: set[str] = set()
        """What this node carried in an earlier life, and not yet in this one."""
        self._reasons: set[str] = set()
        """Why it gives way to every other node."""
        self.on_news: Callable[[str], None] = lambda _: None
        """Hears of each VIP for which who announces it, or who else carries it, may have changed. To be set before
        `follow`."""
        self._reaches = ReachWords()
        self._part: tuple[object, ...] = ()
        self._joins_at: float | None = None
        self._renews_at = 0.0
        self._said_at = 0.0
        self._bus: Bus | None = None
        self._wake = asyncio.Event()
        self._words = Reconciler(self._say, name="announced", concurrency=16, backoff=_RETRY)
        self._log = structlog.get_logger()

    @property
    def owned(self) -> tuple[str, ...]:
        """The VIPs that this node answers for."""
        return tuple(self._ownership.owned)

    @property
    def is_fenced(self) -> bool:
        """Whether another process under this node's name began later."""
        return self._ownership.living.is_fenced

    def may_answer(self) -> bool:
        """Whether the lease stands at this very moment."""
        return self._ownership.living.holds(self._now())

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """See `VipAnnouncer`: whether this node answers for it depends on the others."""
        self.carry(address)

    async def withdraw(self, address: str) -> None:
        """See `VipAnnouncer`."""
        self.drop(address)

    async def complete(self) -> None:
        """See `VipAnnouncer`: nobody goes on answering for what this process was not told to."""

    def carry(self, address: str) -> None:
        """This node carries a VIP."""
        self._carried[address] = None
        if self._is_out:
            return
        self._ownership.carry(address)
        self._awaited.discard(address)
        self._settle()
        self._words.add(address)
        self._wake.set()
        self.on_news(address)

    def drop(self, address: str) -> None:
        """This node is about to carry a VIP no more; it is not answered for from this call on."""
        self._carried.pop(address, None)
        self._drop(address)

    def to_be_called(self, address: str) -> Announced | None:
        """At whom this node is to call a VIP."""
        ownership = self._ownership
        return to_be_called(self._node, address, ownership.carriers, ownership.living, self._now())

    def say_reached(self, address: str, found: VipReached | None) -> None:
        """What was found of a VIP that another node announces; None: nothing that can be said."""
        if self._reaches.find(address, found):
            self._words.add(address)

    def stay_out(self, is_out: bool) -> None:
        """Say and act as if the node carried nothing, for it is none of its group; or take part again."""
        if is_out is self._is_out:
            return
        self._is_out = is_out
        for address in self._carried:
            (self._drop if is_out else self.carry)(address)

    def _drop(self, address: str) -> None:
        self._ownership.drop(address)
        self._since.pop(address, None)
        self._settle()
        self._words.add(address)
        self.on_news(address)

    def give_way(self, reason: str, is_so: bool) -> None:
        """Give way to every other node, for a reason; or for that reason no more."""
        if is_so:
            self._reasons.add(reason)
        else:
            self._reasons.discard(reason)
        self._ownership.drain(bool(self._reasons))
        self._settle()
        self._wake.set()

    async def follow(self, bus: Bus) -> None:
        """Read what the nodes of the group say, for ever."""
        self._bus = bus
        await bus.replay_and_follow(
            announced_stream(self._group).name,
            subjects.announced_of(self._group),
            self._on_message,
            on_replayed=self._on_replayed,
            on_restart=self._on_restart,
        )

    async def run(self) -> None:
        """Renew the lease and say what there is to say, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._words.run(), name="announced")
            tasks.create_task(self._renew_for_ever(), name="announcement lease")

    def _begin(self) -> Ownership:
        me = Me(node=self._node, group=self._group, run=secrets.token_hex(4), lease=self._lease)
        return Ownership(me, self._now())

    def _on_restart(self) -> None:
        """Whether the stream is still the same, nobody knows: what was read of it counts no more."""
        before, self._ownership = self._ownership, self._begin()
        for address in before.owned:
            self._change(address, owns=False)
        for address in before.carried:
            self._ownership.carry(address)
        self._ownership.drain(bool(self._reasons))
        self._joins_at = None

    def _on_replayed(self) -> None:
        self._joins_at = self._now() + (_RESTART_PATIENCE_SECONDS if self._awaited else 0.0)
        for address in self._ownership.carried:
            self._words.add(address)
        self._wake.set()

    def _on_message(self, message: Message) -> None:
        now, sequence = self._now(), message.stream_sequence
        word = self._read(message) if message.data else None
        match word:
            case NodePresent():
                self._ownership.take_present(sequence, word, now)
            case VipCarried():
                self._ownership.take_carried(sequence, word)
                self._heed(word)
                self.on_news(word.address)
            case None:
                self._ownership.take_position(sequence)
        self._settle()
        if self._ownership.owes_word():
            self._wake.set()

    def _read(self, message: Message) -> NodePresent | VipCarried | None:
        """A word; None: it cannot be read, or is of a node about another, which the subject shows."""
        try:
            is_of_vip = ".vip." in message.subject
            word = codec.decode(VipCarried, message.data) if is_of_vip else codec.decode(NodePresent, message.data)
            if message.subject == _subject_of(word, self._group):
                return word
            self._log.warning("a node speaks for another", subject=message.subject[:256], node=word.node[:64])
        except (Poison, ValueError) as problem:
            self._log.warning("what a node announces is not readable", problem=str(problem))
        return None

    def _heed(self, word: VipCarried) -> None:
        if word.node != self._node:
            return
        if word.carried and self._joins_at is None and word.address not in self._ownership.carried:
            self._awaited.add(word.address)
        self._reaches.hear(word.address, word.run, word.reached)
        if self._needs_word_on(word.address):
            self._words.add_after(word.address, _CALM_SECONDS)

    def _settle(self) -> None:
        changes = self._ownership.settle(self._now())
        for address in changes.lost:
            self._change(address, owns=False)
        for address in changes.gained:
            self._change(address, owns=True)
        self._look_at_others()

    def _look_at_others(self) -> None:
        """Whose duty it is to call a VIP may be another's when a node comes, goes or gives way."""
        living = self._ownership.living
        part = (living.alive, living.takes_part(self._now()))
        if part != self._part:
            self._part = part
            for address in self._carried:
                self.on_news(address)

    def _needs_word_on(self, address: str) -> bool:
        if self._ownership.needs_word_on(address):
            return True
        return address in self._ownership.carried and self._reaches.needs_word_on(address, self._ownership.run)

    def _change(self, address: str, *, owns: bool) -> None:
        for link in self.links:
            (link.own if owns else link.disown)(address)
        self._since[address] = round(self._wall() * 1e6)
        self._words.add_after(address, _CALM_SECONDS)
        _LAYER2.set(len(self._ownership.owned))

    def _takes_part(self) -> bool:
        if self._bus is None or self._joins_at is None or self._ownership.living.is_fenced:
            return False
        if self._awaited and self._now() < self._joins_at:
            return False
        return bool(self._ownership.carried or self._awaited)

    async def _renew_for_ever(self) -> None:
        while True:
            self._wake.clear()
            self._settle()
            now = self._now()
            takes_part = self._takes_part()
            if takes_part and now >= self._says_at():
                await self._renew(now)
                continue
            wakes_at = min(self._ownership.living.wakes_at(now), self._says_at() if takes_part else now + 1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wakes_at - now, 0.001)):
                    await self._wake.wait()

    def _says_at(self) -> float:
        return self._said_at + _NUDGE_SECONDS if self._ownership.owes_word() else self._renews_at

    async def _renew(self, now: float) -> None:
        if self._awaited:  # what is not carried after all must not be waited for
            for address in self._awaited:
                self._words.add(address)
            self._awaited.clear()
        word = self._ownership.presence(now)
        self._said_at, self._renews_at = now, now + self._lease.renewal
        try:
            async with asyncio.timeout(self._lease.renewal):
                await self._publish(subjects.present(self._group, self._node), word, f"{word.run}-{word.number}")
        except (FleetlbError, TimeoutError) as problem:
            RENEWALS.labels("failed").inc()
            self._log.debug("a lease is not renewed", problem=str(problem))
            await asyncio.sleep(_NUDGE_SECONDS)
        else:
            RENEWALS.labels("renewed").inc()

    async def _say(self, address: str) -> float | None:
        if self._joins_at is None or self._ownership.living.is_fenced or address in self._awaited:
            return None  # everything is looked at again once the node takes part
        if not self._needs_word_on(address):
            return None
        word = self._ownership.word_on(address)
        if word.carried:
            word = _shown(word, self._names, self._since.get(address, 0), self._reaches.on(address))
        await self._publish(subjects.carried(self._group, self._node, address), word, f"{word.run}-{word.number}")
        return _READ_BACK_SECONDS

    async def _publish(self, subject: str, word: NodePresent | VipCarried, name: str) -> None:
        if self._bus is None:
            raise Transient("there is no bus yet")
        await self._bus.publish(subject, codec.encode(word), message_id=f"{self._node}-{name}")


def _subject_of(word: NodePresent | VipCarried, group: str) -> str:
    """Where its writer must have published a word. Raises ValueError."""
    if isinstance(word, NodePresent):
        return subjects.present(group, word.node)
    return subjects.carried(group, word.node, word.address)


def _shown(word: VipCarried, names: tuple[str, ...], since: int, reached: VipReached | None) -> VipCarried:
    """With what only people want to know."""
    return VipCarried(
        node=word.node,
        group=word.group,
        address=word.address,
        epoch=word.epoch,
        run=word.run,
        number=word.number,
        carried=word.carried,
        announcement=Announcement.LAYER2,
        announced=word.announced,
        to=names if word.announced else (),
        since=since,
        reached=reached,
    )
