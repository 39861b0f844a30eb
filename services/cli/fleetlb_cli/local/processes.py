"""Start, watch and stop one child process, so that nothing outlives its supervisor.

It knows Linux processes (parent-death signal, pidfd, start time in /proc) and nothing of what the child does.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fleetlb_cli.local.probes import Probe

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
TAIL_LINES = 15


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and how to tell that it is ready."""

    name: str
    command: tuple[str, ...]
    log: Path
    environ: Mapping[str, str] = {}
    ready: Probe | None = None
    """None: ready as soon as it runs."""
    http: str | None = None
    """Where its `/healthz`, `/readyz` and `/metrics` are, for those that have them."""
    ui: str | None = None
    """Where its page is, if it has one."""
    grace: float = 15.0
    """Seconds between SIGTERM and SIGKILL."""


class Mark(msgspec.Struct, frozen=True):
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    start_time: int


class Child:
    """One running process of a program."""

    def __init__(self, program: Program) -> None:
        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(
                program.command,
                env=dict(program.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to handle
                preexec_fn=_die_with_parent(os.getpid()),
            )
        self.program = program
        self.begun = time.monotonic()
        self.mark = Mark(self.pid, start_time(self.pid) or 0)

    @property
    def pid(self) -> int:
        """The process itself, never a wrapper."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal it if it still lives."""
        self._process.send_signal(number)

    async def exited(self) -> int:
        """Wait for its end without a thread; the exit code is negative for a signal."""
        if (code := self.exit_code) is not None:
            return code
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self.pid)
        try:
            loop.add_reader(descriptor, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace period."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.program.grace):
                await self.exited()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.exited()

    def stop_now(self) -> None:
        """The same for callers without an event loop."""
        self.send(signal.SIGTERM)
        try:
            self._process.wait(self.program.grace)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Run between fork and exec: ask for SIGKILL at the parent's death, and leave if that has happened already."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is none (a zombie is none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return parse_start_time(stat)


def parse_start_time(stat: str) -> int | None:
    """Field 22 of /proc/PID/stat. The command in field 2 may hold spaces and brackets."""
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_running(mark: Mark) -> bool:
    """True if that very process still lives."""
    return start_time(mark.pid) == mark.start_time


def end_leftover(mark: Mark, timeout: float = 10.0) -> bool:
    """SIGKILL a process of a fleet that crashed. True if there was one."""
    if not is_running(mark):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(mark.pid, signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while is_running(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return True


def last_lines(log: Path, count: int = TAIL_LINES) -> str:
    """The end of a log file, whatever its size."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError as problem:
        return f"(no log: {problem})"
    return "\n".join(text.splitlines()[-count:])
