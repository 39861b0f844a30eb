"""One fleet per state folder, and nothing of a crashed one: the lock, and the record of what runs.

The kernel frees the lock when its holder dies, however that happens. Must not know what the processes are.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import msgspec

from fleetlb_cli.local.layout import Layout, read_json
from fleetlb_cli.local.processes import Mark, end_leftover, is_running
from fleetlb_cli.local.routes import LocalRanges, RoutesError

DOWN_SECONDS = 120.0


class AlreadyUpError(Exception):
    """Another supervisor holds the state folder."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What runs now, replaced at each change."""

    supervisor: Mark
    children: tuple[Mark, ...] = ()
    sockets: str
    """Folder of the unix sockets, outside the state folder."""
    ranges: tuple[str, ...] = ()
    """Local routes that the fleet has added."""


@contextlib.contextmanager
def locked(place: Layout) -> Iterator[None]:
    """Hold the state folder. Raises AlreadyUpError."""
    place.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with place.lock.open("a") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            record = read_json(place.record, Record)
            who = f" (supervisor {record.supervisor.pid})" if record else ""
            raise AlreadyUpError(f"a fleet is already running in {place.root}{who}") from None
        yield


def clean(place: Layout) -> int:
    """End and remove what a crashed fleet left, keeping its data. Call with the lock held; returns how many lived."""
    record = read_json(place.record, Record)
    place.environment.unlink(missing_ok=True)
    if record is None:
        return 0
    ended = sum(end_leftover(mark) for mark in record.children)
    shutil.rmtree(record.sockets, ignore_errors=True)
    if record.ranges:
        with contextlib.suppress(RoutesError):  # gone already, or not root any more
            LocalRanges(added=record.ranges).remove()
    place.record.unlink(missing_ok=True)
    return ended


def bring_down(place: Layout, seconds: float = DOWN_SECONDS) -> str:
    """Stop the fleet in the state folder, or what is left of it. Returns what was done."""
    record = read_json(place.record, Record)
    if record is not None and is_running(record.supervisor):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.supervisor.pid, signal.SIGTERM)
        if not _ended(record.supervisor, seconds):
            end_leftover(record.supervisor)  # its children die with it
        with locked(place):
            clean(place)
        return f"the fleet in {place.root} is down"
    with locked(place):
        ended = clean(place)
    return f"ended {ended} processes of a crashed fleet in {place.root}" if ended else f"no fleet runs in {place.root}"


def running(place: Layout) -> Record | None:
    """The record of a fleet whose supervisor lives."""
    record = read_json(place.record, Record)
    return record if record is not None and is_running(record.supervisor) else None


def sockets_folder(environ_runtime: str | None, temporary: Path) -> Path:
    """Where a private folder of sockets goes: short enough for 108 bytes with a name in it."""
    for candidate in (environ_runtime, str(temporary), "/tmp"):  # noqa: S108 - a private folder is made inside
        if candidate and len(candidate) <= 60 and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    return temporary


def _ended(mark: Mark, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
