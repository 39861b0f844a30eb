"""Hears every message of a fleet from now on, whether a stream keeps it or not. An adapter; writes nothing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.contracts import subjects
from fleetlb.contracts.tenants import Tenant
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import StoreWentBack
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANTS
from fleetlb.kube.watching import Reflector
from fleetlb.runtime.bus import Bus, Message
from fleetlb_cli.tail.choosing import Choice
from fleetlb_cli.tail.directory import Directory
from fleetlb_cli.tail.entries import Entry
from fleetlb_cli.tail.telling import entry_of

EVERYTHING = f"{subjects.ROOT}.>"
MOST_WAITING = 10_000
"""Messages that may wait for whoever prints them."""


class Listener:
    """Messages that were chosen, in the order in which they came."""

    def __init__(self, names: Directory, choice: Choice, room: int = MOST_WAITING) -> None:
        """Hears nothing yet. `room`: how many may wait."""
        self._names = names
        self._choice = choice
        self._room = room
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue()
        self.dropped = 0
        """Messages that nobody took in time."""

    def hear(self, message: Message) -> None:
        """One message; every one is read, for the names in it."""
        entry = entry_of(message, time.time(), self._names)
        if not self._choice.wants(entry):
            return
        if self._waiting.qsize() >= self._room:
            self.dropped += 1
            return
        self._waiting.put_nowait(entry)

    async def next(self) -> Entry:
        """The next one, waited for."""
        return await self._waiting.get()


@asynccontextmanager
async def listening(cluster: Cluster, bus: Bus, choice: Choice) -> AsyncIterator[Listener]:
    """Hear messages for a block. Raises FleetlbError."""
    names = Directory()
    listener = Listener(names, choice)
    names.note_balancers(await cluster.list(LOAD_BALANCERS))
    tenants = Reflector(cluster, TENANTS, on_set=names.note_tenant, on_gone=lambda _: None)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_run(tenants))
        await tenants.synced.wait()
        await bus.listen(EVERYTHING, listener.hear)
        try:
            yield listener
        finally:
            following.cancel()


async def _run(tenants: Reflector[Tenant]) -> None:
    """A store that goes back in time takes nothing of what messages say: names are then as they were."""
    with contextlib.suppress(StoreWentBack):
        await tenants.run()
