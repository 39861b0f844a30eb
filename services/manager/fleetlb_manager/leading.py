"""Who acts: the holder of a partition's Lease, once its caches hold everything that was written before its term began.

A Lease alone is not enough: a watch may lag behind what the last holder wrote. So each term begins with a fresh list of
claims and load balancers. A standby folds everything and does nothing; nor does a holder while there is an objection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol

import structlog

from fleetlb.domain.errors import FleetlbError

RETRY_SECONDS = 1.0
Objection = Callable[[], str]
"""Why nobody may act, whoever holds a Lease; empty: nothing is in the way."""

log = structlog.get_logger(__name__)


class Term(Protocol):
    """A Lease, as far as it matters here."""

    @property
    def generation(self) -> int:
        """The fencing generation of the present term."""

    def is_valid(self) -> bool:
        """Whether the Lease is held at this very moment."""

    def rise_above(self, generation: int) -> None:
        """Go on under a higher generation than this one, as soon as that is written."""


class PartitionAuthority:
    """Says at any moment whether this process may act for one partition, and under which generation."""

    def __init__(self, term: Term, objection: Objection) -> None:
        """Not ready."""
        self._term = term
        self._objection = objection
        self._ready_for = 0

    @property
    def generation(self) -> int:
        """The fencing generation that every write carries."""
        return self._term.generation

    @property
    def acting(self) -> bool:
        """Whether work may be done now."""
        return self.is_ready and self._term.is_valid() and not self._objection()

    @property
    def listening(self) -> bool:
        """Whether to see to it that others are heard: whoever acts, or would act were there no objection."""
        return self.acting or (self._term.is_valid() and bool(self._objection()))

    @property
    def is_held(self) -> bool:
        """Whether the Lease is held, whatever is in the way."""
        return self._term.is_valid()

    @property
    def is_ready(self) -> bool:
        """Whether the present term, or the last one, was begun."""
        return self._ready_for != 0 and self._ready_for == self._term.generation

    def rise_above(self, generation: int) -> None:
        """Somebody has used this generation: go on under a higher one soon."""
        self._term.rise_above(generation)

    def begin(self, generation: int) -> bool:
        """The caches are fresh for this term; False if it is not the present one any more."""
        if not self._term.is_valid() or self._term.generation != generation:
            return False
        self._ready_for = generation
        return True

    def raised(self, generation: int) -> None:
        """The present term goes on under this generation."""
        if self._ready_for:
            self._ready_for = generation

    def end(self) -> None:
        """The term is over, or must be begun anew."""
        self._ready_for = 0


class Leadership:
    """Makes every term ready that this process holds."""

    def __init__(
        self,
        terms: Sequence[Term],
        *,
        synced: Callable[[], Awaitable[None]],
        refresh: Callable[[], Awaitable[None]],
        objection: Objection = lambda: "",
    ) -> None:
        """One term for each partition. `synced` waits for the caches' first full sets; `refresh` reads again what
        decides over addresses."""
        self.authorities = tuple(PartitionAuthority(term, objection) for term in terms)
        self._objection = objection
        self._synced = synced
        self._refresh = refresh
        self._hurry = asyncio.Event()

    @property
    def acting(self) -> bool:
        """Whether this process acts for any partition."""
        return any(authority.acting for authority in self.authorities)

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions whose Leases this process holds."""
        return tuple(number for number, authority in enumerate(self.authorities) if authority.is_held)

    def look(self) -> None:
        """A term began, or an objection came or went: nobody acts on after one without having read everything anew."""
        if self._objection():
            self.end()
        self._hurry.set()

    def end(self) -> None:
        """Nothing is done any more."""
        for authority in self.authorities:
            authority.end()

    async def run(self, resume: Callable[[tuple[int, ...]], None]) -> NoReturn:
        """Make terms ready, then `resume` everything in their partitions."""
        told = ""
        while True:
            await self._hurry.wait()
            self._hurry.clear()
            begun = {number: a.generation for number, a in enumerate(self.authorities) if a.is_held and not a.is_ready}
            objection = self._objection()
            if objection and begun and objection != told:
                log.warning("not acting", partitions=[*begun], objection=objection)
            told = objection
            if begun and not objection:
                await self._begin(begun, resume)

    async def _begin(self, terms: dict[int, int], resume: Callable[[tuple[int, ...]], None]) -> None:
        """`terms`: the generation of each, by its partition."""
        await self._synced()
        try:
            await self._refresh()
        except FleetlbError as problem:
            log.warning("cannot begin the term yet; trying again", problem=str(problem))
            await asyncio.sleep(RETRY_SECONDS)
            self._hurry.set()
            return
        if self._objection():
            self._hurry.set()
            return
        begun = tuple(number for number, generation in terms.items() if self.authorities[number].begin(generation))
        if begun:
            log.info("acting", partitions=begun, generations=[terms[number] for number in begun])
            resume(begun)
