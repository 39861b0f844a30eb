"""One run of a piece of work for all who ask for it at once. Must not know the work."""

import asyncio
from collections.abc import Awaitable, Callable

from fleetlb.domain.errors import Transient


class Together:
    """Runs a piece of work no more than once at a time, and once for all who asked before it began."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        """Nobody has asked yet."""
        self._work = work
        self._asked, self._begun = 0, 0
        self._problem: Transient | None = None
        self._lock = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the work is being done."""
        return self._lock.locked()

    async def run(self) -> None:
        """Return when a run that began after this call has ended. Raises Transient if that run did."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._begun < mine:
                await self._run()
            if self._problem is not None:
                raise Transient(str(self._problem)) from self._problem

    async def _run(self) -> None:
        before, self._begun = self._begun, self._asked
        try:
            await self._work()
        except Transient as problem:
            self._problem = problem
        except BaseException:
            self._begun = before
            raise
        else:
            self._problem = None
