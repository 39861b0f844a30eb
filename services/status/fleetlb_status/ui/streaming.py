"""One reader of the feed over HTTP: server-sent events, with a place to go on from.

`service` and `thing` carry changes; `beat` says that there were none, and `reset` that the reader must begin with a new
snapshot. Each has the id that `Last-Event-ID` gives back after a broken connection.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from fleetlb_status.ui.answers import HEADERS
from fleetlb_status.ui.feed import Event, Feed
from fleetlb_status.ui.views import View

BEAT_SECONDS = 10.0
SLOW_SECONDS = 15.0
"""A reader that takes nothing for so long is let go of; it comes again, and begins anew."""
RETRY_MILLISECONDS = 1000
BATCH = 200
"""Events in one write."""


async def stream(
    feed: Feed, view: View, place: str, request: web.Request, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send what a view has, from a place on, until the reader goes or is too slow."""
    response = web.StreamResponse(headers={**headers, **HEADERS})
    await response.prepare(request)
    try:
        await _write(response, f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        await _send(feed, view, place, response)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # an orderly end would wait for whoever takes nothing
    except ConnectionError:
        pass  # it went
    return response


async def _send(feed: Feed, view: View, place: str, response: web.StreamResponse) -> None:
    """Until the feed is closed. Raises TimeoutError and ConnectionError."""
    at = feed.parse(place) if place else feed.last
    while not feed.closed:
        events = feed.after(at) if at is not None else None
        if events is None:
            at = feed.last
            await _write(response, _frame(feed.place(at), "reset", b"{}"))
            continue
        for begin in range(0, len(events), BATCH):
            await _write(response, _frames(feed, view, events[begin : begin + BATCH]))
        at = events[-1].number if events else at
        if not events or events[-1].number == feed.last:
            await _wait(feed, response, at or 0)


async def _wait(feed: Feed, response: web.StreamResponse, at: int) -> None:
    await feed.news(at, BEAT_SECONDS)
    if feed.last == at and not feed.closed:
        await _write(response, _frame(feed.place(at), "beat", b"{}"))


def _frames(feed: Feed, view: View, events: list[Event]) -> bytes:
    """What a view has of some events."""
    frames = []
    for event in events:
        body = (event.narrow if event.whose == view.tenant else b"") if view.tenant else event.full
        if body:
            frames.append(_frame(feed.place(event.number), event.kind, body))
    return b"".join(frames)


def _frame(place: str, kind: str, body: bytes) -> bytes:
    """JSON of msgspec has no line breaks."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.encode(), kind.encode(), body)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(SLOW_SECONDS):
            await response.write(data)
