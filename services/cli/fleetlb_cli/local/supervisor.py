"""Keeps programs running: a crashed one starts again with growing delays, and the verbs of `fleetlb local` act on it.

It must not know what the programs are, nor in which order they come; it reports every change of a pid through `changed`
before anybody who waits for that change goes on.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable

from fleetlb.runtime.backoff import Backoff
from fleetlb_cli.local import probes
from fleetlb_cli.local.processes import Child, Mark, Program, last_lines

RESTARTS = Backoff(initial=1.0, cap=30.0, factor=2.0, jitter=0.0)
STEADY_SECONDS = 20.0
"""A process that lived this long has not crashed in a loop: the delays begin anew."""
VERB_SECONDS = 120.0
POLL_SECONDS = 0.05
POLL_PAUSES = 2
"""Between two questions, at least so many times what one took: being asked must not slow the start of a slow server."""

Report = Callable[[str], None]


class ChildFailedError(Exception):
    """A child ended, or was not ready in time; the text holds the last lines of its log."""


class VerbRefusedError(Exception):
    """What was asked for makes no sense now."""


class NoSuchProcessError(VerbRefusedError):
    """No program has this name."""


class Kept:
    """One program, its process if there is one, and whether there ought to be."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.child: Child | None = None
        self.crashes = 0
        self.trouble: str | None = None
        self.verbs = asyncio.Lock()
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.hurry = asyncio.Event()


class Supervisor:
    """Owns every child. `settled` turns from "any crash ends the start" to "a crashed child is started again"."""

    def __init__(self, *, changed: Callable[[], None], report: Report, restarts: Backoff = RESTARTS) -> None:
        self._changed = changed
        self._report = report
        self._restarts = restarts
        self._kept: dict[str, Kept] = {}
        self.settled = False

    @property
    def programs(self) -> dict[str, tuple[Program, int | None]]:
        """Every program with the pid of its process, None while it is down."""
        return {name: (kept.program, kept.child.pid if kept.child else None) for name, kept in self._kept.items()}

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Every process that lives now."""
        return tuple(kept.child.mark for kept in self._kept.values() if kept.child)

    def trouble(self, name: str) -> str | None:
        """Why a program was not ready when it was last asked."""
        return self._kept[name].trouble if name in self._kept else None

    async def launch(self, tasks: asyncio.TaskGroup, program: Program) -> None:
        """Start a program, keep it running, and return when it is ready."""
        kept = self._kept[program.name] = Kept(program)
        try:
            self._spawn(kept)
        except OSError as problem:
            raise ChildFailedError(f"{program.name} cannot be started: {problem}") from problem
        tasks.create_task(self._keep(kept), name=program.name)
        await self._until_ready(kept)

    async def kill(self, name: str) -> None:
        """SIGKILL; returns when its successor has been started, after the delay that a crash costs."""
        kept = self._find(name)
        async with kept.verbs:
            if kept.child is None:
                raise VerbRefusedError(f"{name} is not running")
            kept.up.clear()
            kept.child.send(signal.SIGKILL)
            await kept.up.wait()

    async def stop(self, name: str) -> None:
        """SIGTERM; it stays down."""
        kept = self._find(name)
        async with kept.verbs:
            await self._stop(kept)

    async def start(self, name: str, seconds: float = VERB_SECONDS) -> None:
        """Start it if it is down; returns when it is ready."""
        kept = self._find(name)
        async with kept.verbs:
            await self._start(kept, seconds)

    async def restart(self, name: str, seconds: float = VERB_SECONDS) -> None:
        """Stop, then start; returns when it is ready."""
        kept = self._find(name)
        async with kept.verbs:
            await self._stop(kept)
            await self._start(kept, seconds)

    async def stop_all(self, order: Iterable[Iterable[str]]) -> None:
        """SIGTERM group after group, then whatever is left. Nothing is started any more."""
        for names in (*order, tuple(self._kept)):
            children = [kept.child for name, kept in self._kept.items() if name in set(names) and kept.child]
            async with asyncio.TaskGroup() as tasks:
                for child in children:
                    tasks.create_task(child.stop())

    def kill_all(self) -> None:
        """SIGKILL everything at once."""
        for kept in self._kept.values():
            kept.wanted.clear()
            if kept.child:
                kept.child.send(signal.SIGKILL)

    def _find(self, name: str) -> Kept:
        if name not in self._kept:
            raise NoSuchProcessError(f"there is no process {name!r}; there are: {', '.join(sorted(self._kept))}")
        return self._kept[name]

    def _spawn(self, kept: Kept) -> None:
        kept.child = Child(kept.program)
        kept.down.clear()
        kept.hurry.clear()
        self._changed()
        kept.up.set()

    async def _keep(self, kept: Kept) -> None:
        """For ever: wait for the end of the process, and start it again if it ought to run."""
        while True:
            if kept.child is not None:
                await self._until_gone(kept, kept.child)
            await kept.wanted.wait()
            try:
                self._spawn(kept)
            except OSError as problem:  # such as a program that is being installed anew
                kept.crashes += 1
                self._report(f"{kept.program.name} cannot be started: {problem}")
                await self._delay(kept)

    async def _until_gone(self, kept: Kept, child: Child) -> None:
        code = await child.exited()
        kept.child = None
        kept.up.clear()
        self._changed()
        kept.down.set()
        if not kept.wanted.is_set():
            return
        story = f"{kept.program.name} {_ending(code)}; the end of its log {kept.program.log}:\n{_tail(kept)}"
        if not self.settled:
            raise ChildFailedError(story)
        lived = time.monotonic() - child.begun
        kept.crashes = 1 if lived > STEADY_SECONDS else kept.crashes + 1
        self._report(f"{story}\nstarting it again in {self._restarts.delay(kept.crashes - 1, 0):g} s")
        await self._delay(kept)

    async def _delay(self, kept: Kept) -> None:
        """Wait as long as its crashes deserve, unless a verb asks for it at once."""
        try:
            async with asyncio.timeout(self._restarts.delay(kept.crashes - 1, 0)):
                await kept.hurry.wait()
        except TimeoutError:
            pass

    async def _stop(self, kept: Kept) -> None:
        kept.wanted.clear()
        if kept.child is not None:
            await kept.child.stop()
            await kept.down.wait()

    async def _start(self, kept: Kept, seconds: float) -> None:
        kept.wanted.set()
        kept.hurry.set()
        try:
            async with asyncio.timeout(seconds):
                await kept.up.wait()
                await self._until_ready(kept)
        except TimeoutError:
            problem = f"{kept.program.name} is not ready after {seconds:g} s ({kept.trouble or 'it does not run'})"
            raise ChildFailedError(f"{problem}; the end of its log {kept.program.log}:\n{_tail(kept)}") from None

    async def _until_ready(self, kept: Kept) -> None:
        """Poll until the very process that runs now answers."""
        probe = kept.program.ready
        while True:
            child, asked = kept.child, time.monotonic()
            if child is not None and child.exit_code is None:
                kept.trouble = None if probe is None else await asyncio.to_thread(probes.trouble, probe)
                if kept.trouble is None and kept.child is child and child.exit_code is None:
                    return
            await asyncio.sleep(max(POLL_SECONDS, POLL_PAUSES * (time.monotonic() - asked)))


def _tail(kept: Kept) -> str:
    return last_lines(kept.program.log)


def _ending(code: int) -> str:
    """An exit code in words."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
