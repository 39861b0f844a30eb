"""A whole fleet in one thread: the world outside, the processes in it, and time that passes at once."""

import asyncio
from functools import partial
from typing import Any

from tests.simulation.effects import Killed
from tests.simulation.lives import Main, Supervised
from tests.simulation.outside import NETWORKS, Outside
from tests.simulation.processes import Processes

QUIET_SECONDS = 45.0
"""Longer than the longest pause of any process before it does what is left to do."""
REST_SECONDS = 900.0


class Fleet:
    """Everything that runs."""

    def __init__(self, outside: Outside, managers: tuple[str, ...] = ("manager",)) -> None:
        """`managers`: the names of its replicas, of which one acts."""
        self.outside = outside
        self.complaints: list[str] = []
        begin = Processes(outside)
        mains: dict[str, Main] = {
            **{name: begin.manager for name in managers},
            "status": begin.status,
            **{name: partial(begin.node, name) for name in outside.group_of},
            **{f"watcher-{tenant}": partial(begin.watcher, tenant) for tenant in NETWORKS},
        }
        self.processes = {name: Supervised(name, main, self.complaints.append) for name, main in mains.items()}
        self._running: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> "Fleet":
        """Every process begins."""
        asyncio.get_running_loop().set_exception_handler(self._on_trouble)
        self._running = asyncio.TaskGroup()
        await self._running.__aenter__()
        for process in self.processes.values():
            self._running.create_task(process.run(), name=process.name)
        return self

    async def __aexit__(self, *problem: Any) -> None:
        """Every process ends."""
        for process in self.processes.values():
            process.stop()
        if self._running is not None:
            await self._running.__aexit__(*problem)

    async def rest(self) -> None:
        """Return when all live and nobody has done anything for a while. Raises AssertionError if that never comes."""
        begun = asyncio.get_running_loop().time()
        effects = self.outside.effects
        while True:
            now = asyncio.get_running_loop().time()
            quiet = now - max(effects.last_at, begun, *(process.begun_at for process in self.processes.values()))
            if quiet >= QUIET_SECONDS:
                return
            if now - begun > REST_SECONDS:
                last = "\n".join(f"{effect.who} {effect.what}" for effect in effects.done[-20:])
                raise AssertionError(f"V9: no rest after {REST_SECONDS:g} s; last:\n{last}")
            await asyncio.sleep(min(max(QUIET_SECONDS - quiet, 1.0), QUIET_SECONDS))

    def restart_all(self) -> None:
        """Every process ends at this moment, and begins again."""
        for process in self.processes.values():
            process.life.end()

    def _on_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if not isinstance(problem, Killed):
            self.complaints.append(f"{context['message']}: {problem!r}")
