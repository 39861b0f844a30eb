"""Places in a ring, readers up to a bound."""

import asyncio
import contextlib

import pytest

from fleetlb.domain.errors import Transient
from fleetlb_status.ui.feed import OF_A_TENANT, Feed


def filled(count: int, ring: int = 4) -> Feed:
    feed = Feed(ring=ring)
    for number in range(1, count + 1):
        feed.append("service", "acme", b"%d" % number)
    return feed


@pytest.mark.parametrize(
    ("seen", "found"),
    [(6, []), (5, [6]), (2, [3, 4, 5, 6]), (1, None), (0, None)],
    ids=["all is known", "one is new", "all that is kept", "one is lost", "a beginner"],
)
def test_what_came_after_a_place(seen: int, found: list[int] | None) -> None:
    events = filled(6).after(seen)
    assert (events if events is None else [each.number for each in events]) == found


def test_a_place_is_of_one_feed() -> None:
    feed, other = filled(3), filled(3)
    assert feed.parse(feed.place(2)) == 2
    assert other.parse(feed.place(2)) is None


@pytest.mark.parametrize("place", ["", "-", "x-1", "1", "{epoch}", "{epoch}-", "{epoch}-4", "{epoch}--1", "{epoch}-²"])
def test_a_place_that_is_none(place: str) -> None:
    feed = filled(3)
    assert feed.parse(place.format(epoch=feed.place(0).partition("-")[0])) is None


async def test_a_reader_is_woken_by_news_and_by_the_end() -> None:
    feed = filled(1)
    await asyncio.wait_for(feed.news(0, 60), 1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(feed.news(1, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        feed.append("service", "", b"")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.news(2, 60))
        await asyncio.sleep(0)
        feed.close()
    await asyncio.wait_for(feed.news(2, 60), 1)


async def test_a_tenant_does_not_keep_others_out() -> None:
    feed = Feed()
    with contextlib.ExitStack() as stack:
        for _ in range(OF_A_TENANT):
            stack.enter_context(feed.reading("acme"))
        with pytest.raises(Transient), feed.reading("acme"):
            pass
        stack.enter_context(feed.reading("globex"))
        stack.enter_context(feed.reading())
    assert not feed.read.is_set()
    with feed.reading("acme"):
        assert feed.read.is_set()


async def test_readers_end_at_a_bound_and_somebody_reads_until_the_last_goes() -> None:
    feed = Feed(readers=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(feed.reading())
        with pytest.raises(Transient, match="too many pages are open"), feed.reading():
            pass
        assert feed.read.is_set()
    assert not feed.read.is_set()
    with feed.reading():
        assert feed.read.is_set()
