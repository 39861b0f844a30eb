"""Processes that end at any moment and begin anew, knowing nothing but what stands outside of them."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fleetlb.runtime.process import TaskEnded
from tests.simulation.effects import Killed

RESTART_SECONDS = 1.0
"""Until whoever supervises a process starts it again, if nothing else is said."""


class Life:
    """One run of a process, from its start to its end."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.is_alive = True
        self.task: asyncio.Task[None] | None = None
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """To be called at the very moment of the end."""
        self._at_end.append(call)

    def end(self) -> None:
        """Here and now: nothing that its tasks still do has any effect."""
        if not self.is_alive:
            return
        self.is_alive = False
        for call in self._at_end:
            call()
        if self.task is not None:
            self.task.cancel()

    async def turn(self) -> None:
        """Let others come first."""
        await asyncio.sleep(0)


Main = Callable[[Life, asyncio.TaskGroup], Awaitable[None]]


class Supervised:
    """A process that is started again whenever it has ended, until it is stopped."""

    def __init__(self, name: str, main: Main, complain: Callable[[str], None]) -> None:
        """`complain` hears of a process that ends by itself: none should."""
        self.name = name
        self.life = Life(name, 0)
        self.is_stopped = False
        self.pause: Callable[[], float] = lambda: RESTART_SECONDS
        """Seconds until it is started again."""
        self.begun_at = 0.0
        """When its present life began, by the loop's clock; infinity while there is none."""
        self._main = main
        self._complain = complain

    async def run(self) -> None:
        number = 0
        while not self.is_stopped:
            number += 1
            life = self.life = Life(self.name, number)
            self.begun_at = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as tasks:
                life.task = tasks.create_task(self._live(life), name=self.name)
            self.begun_at = math.inf
            await asyncio.sleep(0.0 if self.is_stopped else self.pause())

    def stop(self) -> None:
        """End it for good."""
        self.is_stopped = True
        self.life.end()

    async def _live(self, life: Life) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._main(life, tasks)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            if life.is_alive:
                raise
        except BaseException as problem:
            if life.is_alive and not _is_end(problem):
                self._complain(f"{life.name} ended by itself: {problem!r}")
        finally:
            life.end()


def _is_end(problem: BaseException) -> bool:
    if isinstance(problem, BaseExceptionGroup):
        return all(map(_is_end, problem.exceptions))
    return isinstance(problem, Killed)


async def eternal(work: Coroutine[Any, Any, object], name: str) -> None:
    """As `fleetlb.runtime.process.Process.spawn` has it."""
    await work
    raise TaskEnded(f"task {name!r} returned, though it should run for ever")
