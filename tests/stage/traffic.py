"""Clients that do not stop asking while something happens, and how often they were answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.domain.virtual_servers import VirtualServerKey
from tests.e2e.fleet import eventually
from tests.stage.tenants import Tenant

_CLIENTS = 4


class Tally:
    """What became of every question so far."""

    def __init__(self, tenant: Tenant) -> None:
        """Nothing was asked."""
        self._tenant = tenant
        self.answers: Counter[str] = Counter()
        """By node."""
        self.failures: Counter[str] = Counter()
        """By reason."""

    @property
    def share(self) -> float:
        """How many of all questions were answered."""
        answered = self.answers.total()
        return answered / ((answered + self.failures.total()) or 1)

    async def more(self, count: int = 50) -> None:
        """Wait until so many more were asked."""
        wanted = self.answers.total() + self.failures.total() + count

        async def are_asked() -> bool:
            return self.answers.total() + self.failures.total() >= wanted

        await eventually(are_asked, f"{count} more questions", self._tenant.patience)

    async def ask(self, key: VirtualServerKey, client: int) -> None:
        """One question."""
        answer = await self._tenant.network.ask(key, client, seconds=2.0)
        if answer.ok:
            self.answers[answer.text.split()[1]] += 1
        else:
            self.failures[answer.failure] += 1


@asynccontextmanager
async def asking(tenant: Tenant, key: VirtualServerKey) -> AsyncIterator[Tally]:
    """Four clients that ask without a pause, within a block, each time on a connection of its own."""
    tally = Tally(tenant)

    async def ask_on(client: int) -> None:
        while True:
            await tally.ask(key, client)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(ask_on(client)) for client in range(_CLIENTS)]
        try:
            yield tally
        finally:
            for task in running:
                task.cancel()
