"""Keeps the streams of events and of their records in existence, and says what an operator must mend."""

import asyncio
from typing import NoReturn

import structlog

from fleetlb.contracts.streams import TOLD_STREAM, StreamSpec
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.bus import Bus, Misconfigured

LOOK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class EventStreams:
    """`objection` is empty, or says which setting of a stream must not be as it is, and the cure."""

    def __init__(self, bus: Bus, events: StreamSpec) -> None:
        """`events`: as the settings want it."""
        self._bus = bus
        self._specs = (TOLD_STREAM, events)
        self._problems: dict[str, str] = {}
        self.objection = ""

    async def run(self) -> NoReturn:
        """Look after them for ever."""
        while True:
            for spec in self._specs:
                await self._look(spec)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, spec: StreamSpec) -> None:
        problem = ""
        try:
            await self._bus.ensure_stream(spec)
        except FleetlbError as failure:
            problem = str(failure)
            self.objection = problem if isinstance(failure, Misconfigured) else self.objection
        if problem and self._problems.get(spec.name) != problem:
            log.warning("a stream cannot be made; trying again", stream=spec.name, problem=problem)
        self._problems[spec.name] = problem
        if not any(self._problems.values()):
            self.objection = ""
