"""A scripted API server: a real HTTP server on loopback that answers exactly what a test wrote down.

For faults that a real API server will not produce on demand: 410, split lines, stalls, cut connections, nonsense. It
keeps no objects and checks nothing; what the client sent is in `requests`.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from aiohttp import web

Object = dict[str, Any]


class Request(NamedTuple):
    """What a client sent; the method of a watch is WATCH."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


class Reply(Protocol):
    """One scripted answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Produce it."""


class Json:
    """An answer with a JSON body, or with these very bytes."""

    def __init__(self, body: Object | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answered at once."""
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.headers = headers or {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """See Reply."""
        return web.Response(body=self.body, status=self.status, headers=self.headers, content_type="application/json")


def refusal(code: int, reason: str = "", message: str = "scripted", **details: object) -> Json:
    """A metav1.Status answer."""
    return Json(status_object(code, reason, message, **details), status=code)


def status_object(code: int, reason: str = "", message: str = "scripted", **details: object) -> Object:
    """A metav1.Status, as in an error's body or in a watch's ERROR event."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        "details": details,
    }


class Hang:
    """No answer at all, for ever."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """See Reply."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Reset:
    """The connection is closed without an answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """See Reply."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


class Watch:
    """A watch that says what the test tells it to, before or after it was opened."""

    def __init__(self) -> None:
        """Silent until told."""
        self._steps: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.opened = asyncio.Event()

    def send(self, kind: str, item: Object) -> "Watch":
        """One event."""
        return self.raw(json.dumps({"type": kind, "object": item}).encode() + b"\n")

    def bookmark(self, version: str, *, end: bool = False) -> "Watch":
        """A bookmark; `end` marks the end of the initial events."""
        metadata: Object = {"resourceVersion": version}
        if end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return self.send("BOOKMARK", {"metadata": metadata})

    def error(self, code: int, reason: str = "") -> "Watch":
        """An ERROR event."""
        return self.send("ERROR", status_object(code, reason))

    def raw(self, data: bytes) -> "Watch":
        """These very bytes."""
        self._steps.put_nowait(data)
        return self

    def end(self) -> "Watch":
        """A clean end of the answer."""
        self._steps.put_nowait("end")
        return self

    def cut(self) -> "Watch":
        """The connection breaks in the middle."""
        self._steps.put_nowait("cut")
        return self

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """See Reply."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.opened.set()
        while True:
            step = await self._steps.get()
            if isinstance(step, bytes):
                await response.write(step)
            elif step == "cut":
                if request.transport is not None:
                    request.transport.abort()
                return response
            else:
                await response.write_eof()
                return response


class ScriptedKube:
    """The server. Replies to a route are used up one by one; the last one stays."""

    def __init__(self) -> None:
        """Use as an async context manager."""
        self.requests: list[Request] = []
        self.connections: set[object] = set()
        self._replies: dict[tuple[str, str], list[Reply]] = defaultdict(list)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Append replies to a route; the method of a watch is WATCH, that of a list of one VERSION.

        Who asks for a version that is not scripted is refused, and it is not noted among the requests.
        """
        self._replies[method, path].extend(replies)

    def sent(self, method: str, path: str = "") -> list[Request]:
        """The requests of one method so far, of one path if given."""
        return [r for r in self.requests if r.method == method and path in ("", r.path)]

    def kubeconfig(self, folder: Path, user: Object | None = None) -> Path:
        """Write a kubeconfig for this server; `user` is its user entry."""
        path = folder / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(content))
        return path

    async def start(self) -> None:
        """Listen, on the same port as before after a `stop`."""
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.001)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections and drop those that are open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = "WATCH" if request.query.get("watch") == "true" else request.method
        if method == "GET" and request.query.get("limit") == "1":
            method = "VERSION"
            if not self._replies[method, request.path]:
                return await refusal(404, "NotFound", "nothing scripted").answer(request)
        text = await request.text()
        self.connections.add(request.transport)
        self.requests.append(
            Request(
                method, request.path, dict(request.query), dict(request.headers), json.loads(text) if text else None
            )
        )
        replies = self._replies[method, request.path]
        if not replies:
            return await refusal(404, "NotFound", "nothing scripted").answer(request)
        return await (replies.pop(0) if len(replies) > 1 else replies[0]).answer(request)
