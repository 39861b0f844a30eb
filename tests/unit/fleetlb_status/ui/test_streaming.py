"""Changes as they come, and going on after a broken connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.load_balancers import a_load_balancer, a_word
from fleetlb_status.ui import streaming
from fleetlb_status.ui.feed import Feed
from tests.unit.fleetlb_status.ui.a_page import HEADER, OTHER, OTHERS, Listener, Parts, globex_balancer, parts, served

CHANGES = "/ui/v1/changes"
KEY = ("tenant-acme", "service-1")


def change(made: Parts, number: int) -> None:
    """Acme's Service gets another address."""
    made.memory.set_load_balancer(a_load_balancer(addresses=(f"192.0.2.{number}",)))
    made.painter.paint(KEY)


@asynccontextmanager
async def listening(session: ClientSession, url: str, place: str = "", **headers: str) -> AsyncIterator[Listener]:
    """A reader, which begins with a place if it has one."""
    more = {"Last-Event-ID": place} if place else {}
    async with asyncio.timeout(20), session.get(url + CHANGES, headers={**headers, **more}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        yield Listener(answer.content)


async def test_changes_come_as_they_happen() -> None:
    made = await parts()
    async with served(made) as (session, url), listening(session, url) as reader:
        await eventually(made.feed.read.is_set)
        change(made, 10)
        said = await reader.next()
        assert (said.kind, said.data["service"]["addresses"]) == ("service", ["192.0.2.10"])
        change(made, 11)
        assert (await reader.next()).data["change"]["text"] == "addresses 192.0.2.11"


async def test_a_reader_goes_on_where_it_was() -> None:
    made = await parts()
    async with served(made) as (session, url):
        place = (await (await session.get(f"{url}/ui/v1/fleet")).json())["id"]
        change(made, 10)
        change(made, 11)
        async with listening(session, url, place) as reader:
            first = await reader.of("service")
            assert first.data["service"]["addresses"] == ["192.0.2.10"]
        change(made, 12)
        async with listening(session, url, first.id) as reader:
            told = [(await reader.next()).data["service"]["addresses"] for _ in range(2)]
    assert told == [["192.0.2.11"], ["192.0.2.12"]]


async def test_a_place_may_stand_in_the_address() -> None:
    made = await parts()
    place = made.feed.place(made.feed.last)
    change(made, 10)
    async with served(made) as (session, url), asyncio.timeout(20), session.get(f"{url}{CHANGES}?after={place}") as got:
        assert (await Listener(got.content).next()).data["service"]["addresses"] == ["192.0.2.10"]


@pytest.mark.parametrize("place", ["another-process", "0123456789ab-1", "x"])
async def test_a_reader_of_another_process_begins_anew(place: str) -> None:
    made = await parts()
    change(made, 10)
    async with served(made) as (session, url), listening(session, url, place) as reader:
        said = await reader.next()
        assert (said.kind, said.id) == ("reset", made.feed.place(made.feed.last))
        change(made, 11)
        assert (await reader.next()).data["service"]["addresses"] == ["192.0.2.11"]


async def test_a_reader_that_is_too_far_behind_begins_anew() -> None:
    made = await parts(Feed(ring=4))
    place = made.feed.place(made.feed.last)
    for number in range(10, 16):
        change(made, number)
    async with served(made) as (session, url), listening(session, url, place) as reader:
        assert (await reader.next()).kind == "reset"


async def test_silence_is_told_and_moves_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BEAT_SECONDS", 0.01)
    made = await parts()
    async with served(made, HEADER) as (session, url), listening(session, url, **{HEADER: "acme"}) as reader:
        assert (await reader.next()).kind == "beat"
        made.memory.set_load_balancer(globex_balancer(addresses=("192.0.2.3",)))
        made.painter.paint((f"tenant-{OTHERS}", OTHER))
        place = made.feed.place(made.feed.last)
        while (said := await reader.next()).id != place:
            assert said.kind == "beat"
        assert (said.kind, said.data) == ("beat", {})


async def test_MUL_2_a_tenant_hears_nothing_of_others() -> None:
    made = await parts()
    async with served(made, HEADER) as (session, url), listening(session, url, **{HEADER: "acme"}) as reader:
        await eventually(made.feed.read.is_set)
        made.memory.set_load_balancer(globex_balancer(addresses=("192.0.2.3",)))
        made.painter.paint((f"tenant-{OTHERS}", OTHER))
        await made.surveyor.refresh()
        made.memory.fold_realized(a_word(real_servers=0, revision=9))
        made.painter.paint(KEY)
        heard = [await reader.next(), await reader.next()]
    assert [(each.kind, each.data.get("name") or each.data["uid"]) for each in heard] == [
        ("thing", "acme"),
        ("service", "service-1"),
    ]
    assert heard[1].data["service"]["nodes"] == [{"node": "balancer node 1", "state": "programmed"}]


async def test_a_reader_that_takes_nothing_is_let_go_of_and_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SLOW_SECONDS", 0.2)
    made = await parts()
    body = b"x" * 1_000_000
    async with served(made) as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=1024)
        writer.write(f"GET {CHANGES} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await eventually(made.feed.read.is_set)
        for _ in range(40):
            made.feed.append("service", "", body)
        await eventually(lambda: not made.feed.read.is_set())
        taken = 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while more := await reader.read(1 << 20):
                    taken += len(more)
        assert taken < 20 * len(body), "what it did not take was thrown away"
        writer.close()


async def test_the_end_of_the_process_ends_readers_at_once() -> None:
    made = await parts()
    async with served(made) as (session, url), session.get(url + CHANGES) as answer:
        await eventually(made.feed.read.is_set)
        made.feed.close()
        async with asyncio.timeout(5):
            assert (await answer.content.read()).startswith(b"retry: ")
