"""One run for all who ask at once, never two at a time, and nobody is told of a run that began before they asked."""

import asyncio

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.coalescing import Together


class Work:
    """Runs until it is let go; fails as often as it is told."""

    def __init__(self) -> None:
        self.runs, self.failures, self.at_once = 0, 0, 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.together = Together(self.run)

    async def run(self) -> None:
        self.runs += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            await asyncio.sleep(0)
            await self.may_end.wait()
        finally:
            self.at_once -= 1
        if self.failures:
            self.failures -= 1
            raise Transient(f"run {self.runs} failed")


async def test_all_who_ask_at_once_share_two_runs() -> None:
    work = Work()
    await asyncio.gather(*(work.together.run() for _ in range(100)))
    assert work.runs == 2, "one that began with the first, and one for all others"
    assert not work.together.is_running


async def test_who_asks_while_it_runs_waits_for_another_run() -> None:
    work = Work()
    work.may_end.clear()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(work.together.run())
        await eventually(lambda: work.runs)
        second = tasks.create_task(work.together.run())
        await asyncio.sleep(0)
        assert work.together.is_running
        work.may_end.set()
        await first
        assert not second.done()
    assert work.runs == 2


async def test_a_failure_is_told_to_all_whose_run_it_was_and_to_no_others() -> None:
    work = Work()
    work.failures = 2
    results = await asyncio.gather(*(work.together.run() for _ in range(5)), return_exceptions=True)
    assert [str(result) for result in results] == ["run 1 failed", *["run 2 failed"] * 4]
    assert work.runs == 2
    await work.together.run()
    assert work.runs == 3


async def test_who_waits_is_served_when_another_is_cancelled() -> None:
    work = Work()
    work.may_end.clear()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(work.together.run())
        second = tasks.create_task(work.together.run())
        await eventually(lambda: work.runs)
        first.cancel()
        work.may_end.set()
        await second
    assert work.runs == 2


async def test_who_was_to_share_a_run_that_is_cancelled_gets_another() -> None:
    runs, may_end = [0], asyncio.Semaphore(0)

    async def work() -> None:
        runs[0] += 1
        await may_end.acquire()

    together = Together(work)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(together.run())
        await eventually(lambda: runs == [1])
        shared, sharing = (tasks.create_task(together.run()) for _ in range(2))
        await asyncio.sleep(0)
        may_end.release()
        await eventually(lambda: runs == [2])
        shared.cancel()
        await eventually(lambda: runs == [3])
        assert not sharing.done()
        may_end.release()


async def test_a_bug_is_no_failure_to_be_tried_again() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    together = Together(broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await together.run()
