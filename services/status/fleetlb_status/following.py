"""Follows what the nodes of groups say of who announces their addresses. Decides nothing.

Of a node that falls silent the hub is asked before it is believed: a silence here may be this process's own.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NoReturn

import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressPool
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb.domain.errors import FleetlbError, Poison
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb.runtime.reading import last_message
from fleetlb_status.announcements import Announcements
from fleetlb_status.memory import Key, Memory
from fleetlb_status.nodes import NodeKey

LOOK_SECONDS = 1.0

log = structlog.get_logger(__name__)

Spawn = Callable[[Coroutine[Any, Any, object], str], object]


class Following:
    """Keeps `announcements` equal to what was said. Does nothing while no pool asks for it."""

    def __init__(
        self,
        memory: Memory,
        bus: Bus,
        *,
        on_change: Callable[[Key], None],
        spawn: Spawn,
        clock: Callable[[], float],
    ) -> None:
        """`spawn` runs what never returns; `clock`: seconds that never jump."""
        self._bus = bus
        self._spawn = spawn
        self._is_looking = False
        self.announcements = Announcements(memory, on_change=on_change, on_follow=self._follow, clock=clock)

    def set_pool(self, pool: AddressPool) -> None:
        """A pool is there or has changed."""
        if pool.spec.announcement is not Announcement.NONE and not self._is_looking:
            self._is_looking = True
            self._spawn(self._look(), "look after announcements")
        self.announcements.set_pool(pool)

    def _follow(self, group: str) -> None:
        self.announcements.begin(group)
        self._spawn(
            self._bus.replay_and_follow(
                announced_stream(group).name,
                subjects.announced_of(group),
                partial(self._on_message, group),
                on_replayed=partial(self.announcements.complete, group),
                on_restart=partial(self.announcements.begin, group),
            ),
            f"follow who announces {group}",
        )

    def _on_message(self, group: str, message: Message) -> None:
        if not message.data:
            return
        try:
            if message.subject.endswith(".node"):
                self.announcements.fold_present(group, _present(group, message))
            else:
                self.announcements.fold_carried(group, _carried(group, message))
        except (Poison, ValueError) as problem:
            UNREADABLE.labels("announced").inc()
            log.warning("a message cannot be read", subject=message.subject[:200], problem=str(problem))

    async def _look(self) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._bus.connected:  # else what settles a doubt may have been said, and not be heard here
                self.announcements.look_again()
            for node in self.announcements.unheard():
                await self._ask(node)

    async def _ask(self, node: NodeKey) -> None:
        """What a node said last. Who gets no answer learns nothing."""
        group, _ = node
        subject = subjects.present(*node)
        try:
            kept = await last_message(self._bus, announced_stream(group).name, subject)
            word = codec.decode(NodePresent, kept.data) if kept is not None and kept.data else None
        except FleetlbError as problem:
            log.debug("of a silent node nothing is known", node=node, problem=str(problem))
            return
        self.announcements.note_last(node, word)


def _present(group: str, message: Message) -> NodePresent:
    """Raises Poison, ValueError."""
    word = codec.decode(NodePresent, message.data)
    if message.subject != subjects.present(group, word.node) or word.group != group:
        raise Poison(f"it speaks of {word.node[:64]} in {word.group[:64]}")
    return word


def _carried(group: str, message: Message) -> VipCarried:
    """Raises Poison, ValueError."""
    word = codec.decode(VipCarried, message.data)
    if message.subject != subjects.carried(group, word.node, word.address) or word.group != group:
        raise Poison(f"it speaks of {word.address[:64]} on {word.node[:64]}")
    return word
