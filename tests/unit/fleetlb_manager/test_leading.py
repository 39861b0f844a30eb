import asyncio

from fleetlb.domain.errors import Transient
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_manager.leading import RETRY_SECONDS, Leadership, PartitionAuthority


class Term:
    """A lease played by hand."""

    def __init__(self) -> None:
        self.generation = 0
        self.held = False

    def is_valid(self) -> bool:
        return self.held

    def rise_above(self, generation: int) -> None:
        raise AssertionError("nobody rises here")

    def begin(self, leadership: Leadership, generation: int) -> None:
        self.generation, self.held = generation, True
        leadership.look()


async def nothing() -> None:
    return None


async def test_it_acts_only_once_the_caches_are_fresh() -> None:
    term, synced, resumed, refreshed = Term(), asyncio.Event(), [], []

    async def wait() -> None:
        await synced.wait()

    async def refresh() -> None:
        refreshed.append(term.generation)

    leadership = Leadership([term], synced=wait, refresh=refresh)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda _: resumed.append(term.generation)))
    assert not leadership.acting
    term.begin(leadership, 5)
    await asyncio.sleep(0)
    assert not leadership.acting
    synced.set()
    await eventually(lambda: resumed)
    assert leadership.acting
    term.held = False
    assert not leadership.acting
    leadership.end()
    term.begin(leadership, 6)
    assert not leadership.acting
    await eventually(lambda: resumed == [5, 6])
    assert refreshed == [5, 6]
    task.cancel()


async def _failing() -> list[str]:
    term, seen = Term(), []

    async def refresh() -> None:
        seen.append("refresh")
        if len(seen) == 1:
            raise Transient("the API server is away")

    leadership = Leadership([term], synced=nothing, refresh=refresh)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda _: seen.append("resume")))
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

    async def lose() -> None:
        term.held = False

    leadership = Leadership([term], synced=nothing, refresh=lose)
    task = asyncio.get_running_loop().create_task(leadership.run(lambda _: resumed.append(1)))
    term.begin(leadership, 3)
    await eventually(lambda: not term.held)
    await asyncio.sleep(0)
    assert not leadership.acting
    assert not resumed
    task.cancel()


async def test_it_does_not_act_against_an_objection_and_begins_when_that_is_gone() -> None:
    term, resumed, said = Term(), list[int](), ["the store went back"]

    leadership = Leadership([term], synced=nothing, refresh=nothing, objection=lambda: said[0])
    task = asyncio.get_running_loop().create_task(leadership.run(lambda _: resumed.append(term.generation)))
    term.begin(leadership, 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (leadership.acting, leadership.authorities[0].listening, resumed) == (False, True, [])
    said[0] = ""
    assert not leadership.acting, "what others wrote meanwhile is read first"
    leadership.look()
    await eventually(lambda: resumed == [5])
    assert (leadership.acting, leadership.authorities[0].listening) == (True, True)
    said[0] = "again"
    assert not leadership.acting, "at once"
    leadership.look()
    said[0] = ""
    assert not leadership.acting, "what was missed meanwhile is read first"
    said[0] = "again"
    assert (leadership.acting, leadership.authorities[0].listening) == (False, True)
    term.held = False
    assert not leadership.authorities[0].listening, "a standby makes nothing"
    task.cancel()


async def test_terms_that_begin_together_are_made_ready_by_one_look_and_end_one_by_one() -> None:
    terms, resumed, looks = [Term(), Term(), Term()], list[tuple[int, ...]](), []

    async def refresh() -> None:
        looks.append(1)

    leadership = Leadership(terms, synced=nothing, refresh=refresh)
    task = asyncio.get_running_loop().create_task(leadership.run(resumed.append))
    terms[0].begin(leadership, 7)
    terms[2].begin(leadership, 9)
    await eventually(lambda: resumed)
    assert (resumed, looks, leadership.partitions) == ([(0, 2)], [1], (0, 2))
    acting = [authority.acting for authority in leadership.authorities]
    assert acting == [True, False, True]
    leadership.authorities[0].end()
    terms[0].held = False
    terms[1].begin(leadership, 10)
    await eventually(lambda: len(resumed) == 2)
    assert (resumed[1], leadership.acting, leadership.partitions) == ((1,), True, (1, 2))
    task.cancel()


def test_a_term_that_is_raised_goes_on() -> None:
    term = Term()
    authority = PartitionAuthority(term, lambda: "")
    term.generation, term.held = 3, True
    assert authority.begin(3)
    term.generation = 8
    authority.raised(8)
    assert (authority.acting, authority.generation) == (True, 8)
    authority.end()
    term.generation = 9
    authority.raised(9)
    assert not authority.acting
