"""Who acts: the holder of the Lease, once its caches hold everything that was written before its term began.

A Lease alone is not enough: a watch may lag behind what the last holder wrote. So each term begins with a fresh list of
claims and load balancers. A standby folds everything and does nothing; nor does the holder while there is an objection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

import structlog

from fleetlb.domain.errors import FleetlbError

RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Term(Protocol):
    """The Lease, as far as it matters here."""

    @property
    def generation(self) -> int:
        """The fencing generation of the present term."""

    def is_valid(self) -> bool:
        """Whether the Lease is held at this very moment."""


class Leadership:
    """Says at any moment whether this process may act, and under which generation."""

    def __init__(
        self,
        term: Term,
        *,
        synced: Callable[[], Awaitable[None]],
        refresh: Callable[[], Awaitable[None]],
        objection: Callable[[], str] = lambda: "",
    ) -> None:
        """`synced` waits for the caches' first full sets; `refresh` reads again what decides over addresses.

        `objection`: why nobody may act, whoever holds the Lease; empty: nothing is in the way.
        """
        self._term = term
        self._objection = objection
        self._synced = synced
        self._refresh = refresh
        self._ready_for = 0
        self._acquired = asyncio.Event()

    @property
    def generation(self) -> int:
        """The fencing generation that every write carries."""
        return self._term.generation

    @property
    def acting(self) -> bool:
        """Whether work may be done now."""
        is_ready = self._ready_for != 0 and self._ready_for == self._term.generation
        return is_ready and self._term.is_valid() and not self._objection()

    @property
    def listening(self) -> bool:
        """Whether to see to it that others are heard: whoever acts, or would act were there no objection."""
        return self.acting or (self._term.is_valid() and bool(self._objection()))

    def on_acquired(self, generation: int) -> None:
        """A term began, or the objection to this one is gone."""
        self._acquired.set()

    def on_lost(self) -> None:
        """The term is over."""
        self._ready_for = 0

    async def run(self, resume: Callable[[], None]) -> NoReturn:
        """Make each term ready, then `resume` everything."""
        while True:
            await self._acquired.wait()
            self._acquired.clear()
            generation = self._term.generation
            if self._objection():
                self._ready_for = 0
                log.warning("not acting", generation=generation, objection=self._objection())
                continue
            await self._synced()
            try:
                await self._refresh()
            except FleetlbError as problem:
                log.warning("cannot begin the term yet; trying again", problem=str(problem))
                await asyncio.sleep(RETRY_SECONDS)
                self._acquired.set()
                continue
            if self._term.is_valid() and self._term.generation == generation:
                self._ready_for = generation
                log.info("acting", generation=generation)
                resume()
