"""A second process beside one of the fleet's, as happens when somebody believes that the first is dead."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.e2e.fleet import Fleet

END_SECONDS = 60.0


class Second:
    """The second one."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    async def until_ended(self) -> tuple[int, str]:
        """Its exit status and all that it said, once it has ended by itself. Raises TimeoutError."""
        async with asyncio.timeout(END_SECONDS):
            return await self.process.wait(), self._log.read_text()


@asynccontextmanager
async def second(fleet: Fleet, process: str, **settings: str) -> AsyncIterator[Second]:
    """Within, the same program runs once more, with these settings beside those of the first."""
    folder, log = Path(f"/proc/{_pid(fleet, process)}"), fleet.state / f"second-{process.replace('/', '-')}.log"
    environ = dict(line.split("=", 1) for line in _strings(folder / "environ"))
    environ |= {f"FLEETLB_{key}": text for key, text in {"HTTP_ADDRESS": "127.0.0.1:0", **settings}.items()}
    program = next(word for word in _strings(folder / "cmdline") if Path(word).name.startswith("fleetlb-"))
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(sys.executable, program, env=environ, stdout=file, stderr=file)
    try:
        yield Second(child, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        async with asyncio.timeout(END_SECONDS):
            await child.wait()


@contextmanager
def paused(fleet: Fleet, process: str) -> Iterator[None]:
    """Within, a process of the fleet stands still; then it goes on as if no time had passed."""
    pid = _pid(fleet, process)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _pid(fleet: Fleet, process: str) -> int:
    pid = fleet.environment.processes[process].pid
    assert pid is not None, f"{process} does not run"
    return pid


def _strings(file: Path) -> list[str]:
    return file.read_text().rstrip("\0").split("\0")
