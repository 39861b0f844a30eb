"""The way from a `Cluster` to a `FakeKube`: requests and watches as a real API server takes them. Keeps nothing."""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import ApiError, Invalid
from fleetlb.kube.transport import Answer
from fleetlb.testkit.fake_kube import NAMESPACES, Entry, FakeKube, Outlet, Place
from fleetlb.testkit.fake_patches import TestFailed, json_patch, merge, strategic

Object = dict[str, Any]
_END_OF_SET = {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}


class Target(NamedTuple):
    """What a request is about; without a name a whole collection."""

    place: Place
    subresource: str
    query: Mapping[str, str]

    def covers(self, place: Place, labels: Mapping[str, str]) -> bool:
        """Whether an object is in the collection."""
        of_kind = place.kind == self.place.kind and self.place.namespace in ("", place.namespace)
        return of_kind and _selects(self.query.get("labelSelector", ""), labels)


def parse(target: str) -> Target:
    """A path and its query."""
    path, _, query = target.partition("?")
    parts = [urllib.parse.unquote(part) for part in path.split("/")[1:]]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == NAMESPACES and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = f"{rest[0]}.{group}" if group else rest[0]
    name, subresource = (*rest[1:], "", "")[:2]
    return Target(Place(kind, namespace, name), subresource, dict(urllib.parse.parse_qsl(query)))


class FakeWire:
    """`fleetlb.kube.cluster.Wire` to one server."""

    def __init__(self, server: FakeKube) -> None:
        """Connected."""
        self._server = server

    async def request(self, method: str, target: str, body: bytes = b"", content_type: str = "") -> Answer:
        """One request, answered a turn of the loop later."""
        await asyncio.sleep(0)
        return Answer(200, msgspec.json.encode(self.answer(method, target, body, content_type)))

    def answer(self, method: str, target: str, body: bytes, content_type: str) -> Object:
        """What the server says. Raises ApiError."""
        wanted, given = parse(target), msgspec.json.decode(body) if body else {}
        server, place = self._server, wanted.place
        match method:
            case "GET":
                return server.get(place) if place.name else self._list(wanted)
            case "POST":
                return server.create(place._replace(name=given["metadata"]["name"]), given)
            case "PATCH":
                return self._patch(wanted, given, content_type)
            case "DELETE":
                preconditions = given.get("preconditions", {})
                version = preconditions.get("resourceVersion", "")
                server.delete(place, uid=preconditions.get("uid", ""), version=version)
                return {}
            case other:
                raise ApiError(f"{other} is not played here", status=405)

    @contextlib.asynccontextmanager
    async def stream(self, target: str, read_timeout: float) -> AsyncIterator[Outlet]:
        """A watch, until its time is over."""
        await asyncio.sleep(0)
        wanted, outlet = parse(target), Outlet(self._server.lag)
        if "sendInitialEvents" in wanted.query:
            for entry in self._current(wanted):
                outlet.put(entry.line)
            outlet.put(self._bookmark())
        else:
            for entry in self._server.since(int(wanted.query["resourceVersion"])):
                self._pass(wanted, outlet, entry)
        stop = self._server.watch(partial(self._pass, wanted, outlet))
        end = asyncio.get_running_loop().call_later(int(wanted.query["timeoutSeconds"]), outlet.put, b"")
        try:
            yield outlet
        finally:
            stop()
            end.cancel()

    async def close(self) -> None:
        """Nothing is left open."""

    def _list(self, wanted: Target) -> Object:
        items = [msgspec.Raw(entry.raw) for entry in self._current(wanted)]
        return {"metadata": {"resourceVersion": str(self._server.version)}, "items": items}

    def _patch(self, wanted: Target, given: Any, content_type: str) -> Object:
        if content_type == PatchKind.STRATEGIC and wanted.place.is_custom:
            raise ApiError("custom kinds take no strategic patch", status=415)
        try:
            return self._server.change(
                wanted.place, lambda item: _patched(item, given, content_type), wanted.subresource
            )
        except TestFailed as problem:
            raise Invalid(str(problem), status=422, reason="Invalid") from problem

    def _current(self, wanted: Target) -> list[Entry]:
        return [
            Entry(int(item["metadata"]["resourceVersion"]), place, "ADDED", msgspec.json.encode(item), labels)
            for place, item in self._server.objects.items()
            if wanted.covers(place, labels := item["metadata"].get("labels") or {})
        ]

    def _bookmark(self) -> bytes:
        metadata = {**_END_OF_SET["metadata"], "resourceVersion": str(self._server.version)}
        return msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": metadata}}) + b"\n"

    def _pass(self, wanted: Target, outlet: Outlet, entry: Entry) -> None:
        if wanted.covers(entry.place, entry.labels):
            outlet.put(entry.line)


def _patched(item: Object, given: Any, content_type: str) -> Object:
    match content_type:
        case PatchKind.MERGE:
            return merge(item, given)
        case PatchKind.STRATEGIC:
            return strategic(item, given)
        case PatchKind.JSON:
            return json_patch(item, given)
    raise ApiError(f"{content_type} is not played here", status=415)


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value.lstrip("=")):
            return False
    return True
