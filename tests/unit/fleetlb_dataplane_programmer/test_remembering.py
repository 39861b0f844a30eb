import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish
from fleetlb_dataplane_programmer.records import Record
from fleetlb_dataplane_programmer.remembering import Memory, StateFile


def _record(number: int, revision: int = 1) -> Record:
    return Record(desired=a_wish(f"192.0.2.{number}:80/tcp", revision=revision))


def _state_file(directory: Path) -> StateFile[Record]:
    return StateFile(directory, Record, node="node-1", group="default")


def _loaded(directory: Path) -> dict[VirtualServerKey, int]:
    recovered = _state_file(directory).load()
    assert recovered is not None
    assert recovered.damage == ""
    return {record.desired.key: record.desired.revision for record in recovered.records}


class Book:
    """What a memory writes down."""

    def __init__(self, directory: Path) -> None:
        self.records: dict[VirtualServerKey, Record] = {}
        self.file = _state_file(directory)
        self.memory = Memory(
            self.file, record=self.records.get, records=lambda: list(self.records.values()), write_seconds=0.01
        )
        self.memory.allow()

    def put(self, record: Record) -> None:
        self.records[record.desired.key] = record
        self.memory.note(record.desired.key)

    def revisions(self) -> dict[VirtualServerKey, int]:
        return {key: record.desired.revision for key, record in self.records.items()}


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert _state_file(tmp_path / "new").load() is None


def test_a_directory_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetlbError, match="state directory"):
        _state_file(tmp_path / "file" / "state")


def test_a_damaged_file_is_set_aside_and_what_is_intact_is_used(tmp_path: Path) -> None:
    file = _state_file(tmp_path)
    file.rewrite([_record(1), _record(2)])
    file.path.write_bytes(file.path.read_bytes().replace(b'"192.0.2.1"', b'"192.0.2.9"'))
    recovered = file.load()
    assert recovered is not None
    assert "not readable" in recovered.damage
    assert [record.desired.key for record in recovered.records] == [parse_key("192.0.2.2:80/tcp")]
    assert not file.path.exists()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    file = _state_file(tmp_path)
    file.rewrite([_record(1, revision=1)])
    file.append([_record(1, revision=2)])
    recovered = file.load()
    assert recovered is not None
    assert [record.desired.revision for record in recovered.records] == [2]


def test_a_failed_rewrite_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _state_file(tmp_path)
    file.rewrite([_record(1)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.rewrite([_record(2)])
    assert list(_loaded(tmp_path)) == [parse_key("192.0.2.1:80/tcp")]
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]


async def _while_running(book: Book, check: Callable[[], object]) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(book.memory.run())
        await eventually(check)
        running.cancel()


async def test_changes_reach_the_disk_in_their_own_time(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert book.memory.load() is None
    for number in (1, 2, 3):
        book.put(_record(number))
    await _while_running(book, book.file.path.exists)
    assert _loaded(tmp_path) == book.revisions()


async def test_nothing_is_written_before_all_is_known(tmp_path: Path) -> None:
    book = Book(tmp_path)
    memory = Memory(book.file, record=book.records.get, records=lambda: list(book.records.values()))
    memory.note(parse_key("192.0.2.1:80/tcp"))
    assert await memory.flush() is True
    assert not book.file.path.exists()
    book.put(_record(1))
    memory.allow()
    await memory.flush()
    assert _loaded(tmp_path) == book.revisions()


async def test_only_what_changed_is_written(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for number in range(1, 100):
        book.put(_record(number))
    await book.memory.flush()
    before = book.file.path.stat().st_size
    book.put(_record(7, revision=2))
    book.put(_record(7, revision=3))
    await book.memory.flush()
    assert 0 < book.file.path.stat().st_size - before < 2 * before / 99
    assert _loaded(tmp_path) == book.revisions()


async def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    book = Book(tmp_path)
    sizes: list[int] = []
    for revision in range(1, 30):
        for number in range(1, 101):
            book.put(_record(number, revision))
        await book.memory.flush()
        sizes.append(book.file.path.stat().st_size)
    assert max(sizes) < 13 * sizes[0]
    assert sizes[-1] < max(sizes)
    assert _loaded(tmp_path) == book.revisions()


async def test_a_full_disk_loses_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(tmp_path)
    book.put(_record(1))
    await book.memory.flush()
    appended = book.file.append

    def torn(records: list[Record]) -> None:
        with book.file.path.open("ab") as file:
            file.write(b"half a li")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book.file, "append", torn)
    book.put(_record(2))
    assert await book.memory.flush() is False
    assert list(_loaded(tmp_path)) == [parse_key("192.0.2.1:80/tcp")]

    monkeypatch.setattr(book.file, "append", appended)
    book.put(_record(3))
    assert await book.memory.flush() is True
    assert _loaded(tmp_path) == book.revisions()


async def test_writes_do_not_overlap(tmp_path: Path) -> None:
    book = Book(tmp_path)
    flushes: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as tasks:
        for number in range(1, 50):
            book.put(_record(number))
            flushes.append(tasks.create_task(book.memory.flush()))
            await asyncio.sleep(0)
    assert all(flush.result() for flush in flushes)
    assert _loaded(tmp_path) == book.revisions()


def test_two_programmers_cannot_share_a_directory(tmp_path: Path) -> None:
    held = _state_file(tmp_path).lock()
    with pytest.raises(FleetlbError, match="another programmer runs on the state directory"):
        _state_file(tmp_path).lock()
    os.close(held)  # as when its process ends
    os.close(_state_file(tmp_path).lock())


async def test_what_must_be_kept_waits_for_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(tmp_path)
    book.put(_record(1))
    assert await book.memory.keep() is True
    assert _loaded(tmp_path) == book.revisions()
    tried = 0

    def full(records: list[Record]) -> None:
        nonlocal tried
        tried += 1
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as refusing:
        refusing.setattr(book.file, "append", full)
        book.put(_record(2))
        assert [await book.memory.keep() for _ in range(3)] == [False, False, False]
        assert tried == 1
    assert await book.memory.flush() is True
    assert await book.memory.keep() is True
    assert _loaded(tmp_path) == book.revisions()
