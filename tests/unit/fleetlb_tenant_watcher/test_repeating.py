"""Everything is said again: soon, once for many requests, in portions."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb_tenant_watcher import repeating
from fleetlb_tenant_watcher.repeating import Repeats

KEYS = tuple(str(number) for number in range(200))


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Repeats, list[str]]]:
    monkeypatch.setattr(repeating, "JITTER_SECONDS", 0.01)
    monkeypatch.setattr(repeating, "CHUNK_SECONDS", 0.001)
    done: list[str] = []
    repeats = Repeats(lambda: done.append("unsaid"), lambda: KEYS, done.append)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(repeats.run())
        yield repeats, done
        task.cancel()


async def test_many_requests_are_one(started: tuple[Repeats, list[str]]) -> None:
    repeats, done = started
    for _ in range(50):
        repeats.ask("resync")
    await eventually(lambda: len(done) == 201)
    assert done == ["unsaid", *KEYS]


async def test_a_request_during_a_repetition_leads_to_another(started: tuple[Repeats, list[str]]) -> None:
    repeats, done = started
    repeats.ask("resync")
    await eventually(lambda: done)
    repeats.ask("reconnect")
    await eventually(lambda: done.count("unsaid") == 2 and len(done) == 402)


async def test_other_work_gets_its_turn_in_between(started: tuple[Repeats, list[str]]) -> None:
    repeats, done = started
    repeats.ask("resync")
    seen = set[int]()

    def all_added() -> bool:
        seen.add(len(done))
        return len(done) == 201

    await eventually(all_added)
    assert len(seen) > 2
