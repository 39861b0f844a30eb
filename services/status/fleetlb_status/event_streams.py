"""Keeps the streams of events and of their records in existence, and says what an operator must mend."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

import structlog

from fleetlb.contracts.streams import TOLD_STREAM, StreamSpec
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.bus import Bus, Misconfigured, StreamState

LOOK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class EventStreams:
    """`objection` is empty, or says which setting of a stream must not be as it is, and the cure."""

    def __init__(self, bus: Bus, events: StreamSpec, *, on_new: Callable[[], None]) -> None:
        """`events`: as the settings want it; `on_new`: its history has just begun, or begun anew."""
        self._bus = bus
        self._events = events
        self._on_new = on_new
        self._made_at: datetime | None = None
        self._problems: dict[str, str] = {}
        self.objection = ""

    async def run(self) -> NoReturn:
        """Look after them for ever."""
        while True:
            await self._look(TOLD_STREAM)
            if (state := await self._look(self._events)) is not None:
                self._note(state)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, spec: StreamSpec) -> StreamState | None:
        problem, state = "", None
        try:
            state = await self._bus.ensure_stream(spec)
        except FleetlbError as failure:
            problem = str(failure)
            self.objection = problem if isinstance(failure, Misconfigured) else self.objection
        if problem and self._problems.get(spec.name) != problem:
            log.warning("a stream cannot be made; trying again", stream=spec.name, problem=problem)
        self._problems[spec.name] = problem
        if not any(self._problems.values()):
            self.objection = ""
        return state

    def _note(self, state: StreamState) -> None:
        """Whoever made it: a replica that stands by looks after it too."""
        is_new = state.last_sequence == 0 if self._made_at is None else state.created_at != self._made_at
        self._made_at = state.created_at
        if is_new:
            self._on_new()
