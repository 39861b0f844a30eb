"""Heeds whether this node is to be emptied, and while it is counts the connections that go on over it.

Must not know what giving way means; whoever announces VIPs is told.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from fleetlb.contracts.v1 import GroupInstructed

COUNT_SECONDS = 1.0

Connections = Callable[[], Awaitable[int | None]]
"""How many connections go on over this node; None: not known."""


class Draining(NamedTuple):
    """How far the node is with it."""

    is_asked: bool = False
    connections: int | None = None
    """That go on; None: not known."""
    announced: int = 0
    """VIPs that it still announces."""


class Emptying:
    """What an operator wants of this node."""

    def __init__(
        self,
        node: str,
        *,
        give_way: Callable[[bool], None],
        connections: Connections,
        announced: Callable[[], int],
        tell: Callable[[Draining], None],
    ) -> None:
        """`give_way` hears of every change, `tell` of how far it is."""
        self._node = node
        self._give_way, self._tell = give_way, tell
        self._connections, self._announced = connections, announced
        self._counts = asyncio.Event()
        self._known = Draining()
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Count, for ever, while it drains."""
        while True:
            await self._counts.wait()
            found = Draining(True, await self._connections(), self._announced())
            if self._known.is_asked and found != self._known:
                self._known = found
                self._tell(found)
            await asyncio.sleep(COUNT_SECONDS)

    def heed(self, said: GroupInstructed) -> None:
        """The manager says who is to be emptied. Returns at once."""
        draining = self._node in said.draining
        if draining is self._known.is_asked:
            return
        self._log.info("this node is to be emptied" if draining else "this node takes part again")
        if draining:
            self._counts.set()
        else:
            self._counts.clear()
        self._give_way(draining)
        self._known = Draining(draining, None, self._announced() if draining else 0)
        self._tell(self._known)
