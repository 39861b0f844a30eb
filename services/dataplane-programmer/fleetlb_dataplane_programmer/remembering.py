"""Keeps the state file: what this node serves when it starts with the whole hub gone.

Changes are appended at most once a second and away from the event loop, O(changed); when the file has grown to a
multiple of what stands, it is written anew and renamed over the old one. A crash loses the last second, which the
stream still knows; what it may not know any more is kept before it is said (`Memory.keep`). It must not know what a
record means.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import prometheus_client
import structlog

from fleetlb.domain.errors import FleetlbError
from fleetlb_dataplane_programmer.records import FORMAT, Header, L, Line, Recovered, encode_line, parse_file

K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Line)

DAMAGED = prometheus_client.Counter("fleetlb_state_file_damaged_total", "State files found damaged and set aside.")
UNSAVED = prometheus_client.Gauge("fleetlb_state_file_unsaved_keys", "Changed keys that are not yet on disk.")

WRITE_SECONDS = 1.0
RETRY_SECONDS = 5.0
_MIN_APPENDED = 1000


class StateFile(Generic[L]):
    """A file of records of one kind. Its methods block: call them in a thread."""

    def __init__(self, directory: Path, kind: type[L], *, node: str, group: str, name: str = "desired.jsonl") -> None:
        """`directory` is made if it is not there. Raises FleetlbError if that cannot be."""
        self.path = directory / name
        self._kind = kind
        self._node, self._group = node, group
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as problem:
            raise FleetlbError(f"the state directory {directory} cannot be used: {problem}") from problem

    def beside(self, name: str, kind: type[M]) -> "StateFile[M]":
        """Another file of the same directory and node."""
        return StateFile(self.path.parent, kind, node=self._node, group=self._group, name=name)

    def lock(self) -> int:
        """Keep others from the directory until this process ends, somehow. Raises FleetlbError if one has it.

        Returns the file descriptor that holds the lock.
        """
        directory = self.path.parent
        try:
            held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cure = "stop it, or give this one its own"
            raise FleetlbError(f"another programmer runs on the state directory {directory}: {cure}") from None
        except OSError as problem:
            raise FleetlbError(f"the state directory {directory} cannot be used: {problem}") from problem
        return held

    def load(self) -> Recovered[L] | None:
        """What the file holds, None if there is none. A damaged file is set aside, its intact records are returned."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            return Recovered(damage=f"it cannot be read: {problem}")
        recovered = parse_file(data, self._kind, node=self._node, group=self._group)
        if recovered.damage:
            self.path.rename(self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}"))
        return recovered

    def append(self, records: Iterable[L]) -> None:
        """Add to the end. Raises OSError; the file may then end in half a line."""
        data = b"".join(map(encode_line, records))
        with self.path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def rewrite(self, records: list[L]) -> None:
        """Replace the file. Raises OSError; the old file is then untouched."""
        header = Header(format=FORMAT, node=self._node, group=self._group, records=len(records))
        fresh = self.path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(encode_line(header))
                file.writelines(map(encode_line, records))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        _sync_directory(self.path.parent)


class Memory(Generic[K, L]):
    """Writes changed keys to the state file, in its own time."""

    def __init__(
        self,
        file: StateFile[L],
        *,
        record: Callable[[K], L | None],
        records: Callable[[], list[L]],
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        """`record` gives what to write for a key, `records` all of it."""
        self._file = file
        self._record, self._records = record, records
        self._write_seconds = write_seconds
        self._changed: dict[K, None] = {}
        self._noted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._appended = 0
        self._standing = 0
        self._must_rewrite = True
        self._is_refused = False
        self._allowed = asyncio.Event()
        self._log = structlog.get_logger().bind(state_file=str(file.path))

    def load(self) -> Recovered[L] | None:
        """Read the file; to be called once, before `run`."""
        recovered = self._file.load()
        if recovered is None:
            self._log.info("there is no state file yet")
        elif recovered.damage:
            DAMAGED.inc()
            self._log.error("the state file is damaged and set aside", damage=recovered.damage)
        else:
            self._log.info("state file read", records=len(recovered.records), torn=recovered.is_torn)
        return recovered

    def allow(self) -> None:
        """Everything that stands is known. Before that a file would say less than the truth, and be believed."""
        self._allowed.set()

    def note(self, key: K) -> None:
        """A key changed. O(1)."""
        self._changed[key] = None
        self._noted.set()

    async def run(self) -> None:
        """Write what is noted until cancelled."""
        await self._allowed.wait()
        while True:
            await self._noted.wait()
            await asyncio.sleep(self._write_seconds)
            if not await self.flush():
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> bool:
        """Write what is noted now, if that is allowed. False if the disk refuses: then it comes later."""
        async with self._turn:
            return not self._allowed.is_set() or await self._flush()

    async def keep(self) -> bool:
        """Return when what is noted is on disk, or False: the disk refused lately, and is tried again by `run`."""
        return not self._is_refused and await self.flush()

    async def _flush(self) -> bool:
        self._noted.clear()
        changed, self._changed = self._changed, {}
        UNSAVED.set(len(changed))
        try:
            await self._write(changed)
        except OSError as problem:
            self._log.error("the state file cannot be written", error=str(problem))
            self._is_refused = True
            self._must_rewrite = True  # the file may end in half a line, and this writes all
            self._noted.set()
            return False
        self._is_refused = False
        UNSAVED.set(0)
        return True

    async def _write(self, changed: dict[K, None]) -> None:
        self._appended += len(changed)
        if self._must_rewrite or self._appended > max(_MIN_APPENDED, 2 * self._standing):
            records = self._records()
            await asyncio.to_thread(self._file.rewrite, records)
            self._must_rewrite, self._appended, self._standing = False, 0, len(records)
        elif changed:
            records = [record for key in changed if (record := self._record(key))]
            await asyncio.to_thread(self._file.append, records)


def _sync_directory(directory: Path) -> None:
    """A rename is on disk only when its directory is."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
