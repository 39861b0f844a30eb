import asyncio

from fleetlb.domain.errors import Transient
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_manager.leading import RETRY_SECONDS, Leadership


class Term:
    """A lease played by hand."""

    def __init__(self) -> None:
        self.generation = 0
        self.held = False

    def is_valid(self) -> bool:
        return self.held

    def begin(self, leadership: Leadership, generation: int) -> None:
        self.generation, self.held = generation, True
        leadership.on_acquired(generation)


async def test_it_acts_only_once_the_caches_are_fresh() -> None:
    term, synced, resumed, refreshed = Term(), asyncio.Event(), [], []

    async def wait() -> None:
        await synced.wait()

    async def refresh() -> None:
        refreshed.append(term.generation)

    leadership = Leadership(term, synced=wait, refresh=refresh)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda: resumed.append(leadership.generation)))
    assert not leadership.acting
    term.begin(leadership, 5)
    await asyncio.sleep(0)
    assert not leadership.acting
    synced.set()
    await eventually(lambda: resumed)
    assert leadership.acting
    term.held = False
    assert not leadership.acting
    leadership.on_lost()
    term.begin(leadership, 6)
    assert not leadership.acting
    await eventually(lambda: resumed == [5, 6])
    assert refreshed == [5, 6]
    task.cancel()


async def _failing() -> list[str]:
    term, seen = Term(), []

    async def nothing() -> None:
        return None

    async def refresh() -> None:
        seen.append("refresh")
        if len(seen) == 1:
            raise Transient("the API server is away")

    leadership = Leadership(term, synced=nothing, refresh=refresh)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda: seen.append("resume")))
    term.begin(leadership, 1)
    await asyncio.sleep(RETRY_SECONDS / 2)
    assert not leadership.acting
    await asyncio.sleep(RETRY_SECONDS)
    assert leadership.acting
    task.cancel()
    return seen


def test_a_term_that_cannot_begin_is_tried_again() -> None:
    assert run_virtually(_failing()) == ["refresh", "refresh", "resume"]


async def test_a_term_lost_while_it_began_does_not_act() -> None:
    term, resumed = Term(), []

    async def nothing() -> None:
        return None

    async def lose() -> None:
        term.held = False

    leadership = Leadership(term, synced=nothing, refresh=lose)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda: resumed.append(1)))
    term.begin(leadership, 3)
    await eventually(lambda: not term.held)
    await asyncio.sleep(0)
    assert not leadership.acting
    assert not resumed
    task.cancel()


async def test_it_does_not_act_against_an_objection_and_begins_when_that_is_gone() -> None:
    term, resumed, said = Term(), list[int](), ["the store went back"]

    async def nothing() -> None:
        return None

    leadership = Leadership(term, synced=nothing, refresh=nothing, objection=lambda: said[0])
    task = asyncio.get_running_loop().create_task(leadership.run(lambda: resumed.append(leadership.generation)))
    term.begin(leadership, 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (leadership.acting, leadership.listening, resumed) == (False, True, [])
    said[0] = ""
    assert not leadership.acting, "what others wrote meanwhile is read first"
    leadership.on_acquired(5)
    await eventually(lambda: resumed == [5])
    assert (leadership.acting, leadership.listening) == (True, True)
    said[0] = "again"
    assert (leadership.acting, leadership.listening) == (False, True)
    term.held = False
    assert not leadership.listening, "a standby makes nothing"
    task.cancel()
