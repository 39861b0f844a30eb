"""Typed requests to one cluster: get, list, create, replace, patch, apply, delete.

Every call is bounded in time and in number in flight, raises an ApiError and nothing else, and retries nothing: what to
do after Unavailable (unknown outcome) or Conflict is the caller's decision. Must not keep state of objects.
"""

import enum
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import prometheus_client

from fleetlb.kube.errors import DECODE_PROBLEMS, ApiError, Conflict, Gone, Invalid, NotPermitted, Undecodable
from fleetlb.kube.resources import NAMESPACES, Resource, name_of
from fleetlb.kube.transport import DEFAULT_TIMING, Answer, Timing, open_transport

T = TypeVar("T")

PAGE_SIZE = 500
"""Objects per page of a list: client-go's number."""

REQUESTS = prometheus_client.Counter(
    "rest_client_requests_total", "Requests to API servers, by answer.", ["method", "resource", "code"]
)


class PatchKind(enum.StrEnum):
    """How a patch's body is read; the value is its content type."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


class ListMeta(msgspec.Struct, rename="camel"):
    """Where a list stands in time, and how to get its next page."""

    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """One page of a list, its items not yet decoded."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


_page_decoder = msgspec.json.Decoder(Page)


class Chunks(Protocol):
    """The body of an answer that is still arriving."""

    async def read(self) -> bytes:
        """Whatever has arrived, at least one byte; empty at the end. Raises Unavailable."""


class Wire(Protocol):
    """The way to an API server; `fleetlb.kube.transport` is HTTP."""

    async def request(self, method: str, target: str, body: bytes = b"", content_type: str = "") -> Answer:
        """Send one request and read its whole answer. Raises an ApiError; Unavailable means unknown outcome."""

    def stream(self, target: str, read_timeout: float) -> AbstractAsyncContextManager[Chunks]:
        """GET an answer that arrives for a long time; no byte for `read_timeout` seconds raises Unavailable."""

    async def close(self) -> None:
        """Close every connection."""


class Cluster:
    """A connection to one cluster's API server."""

    def __init__(self, transport: Wire, field_manager: str, may_write: Callable[[], bool] = lambda: True) -> None:
        """Use `Cluster.connect`."""
        self._transport = transport
        self._field_manager = field_manager
        self._may_write = may_write
        self._uid = ""

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None, *, field_manager: str = "fleetlb", timing: Timing = DEFAULT_TIMING
    ) -> "Cluster":
        """Read the credentials (None: the pod's service account). Contacts no server. Raises KubeconfigUnusable."""
        return cls(await open_transport(kubeconfig, timing), field_manager)

    def writing_while(self, may_write: Callable[[], bool]) -> "Cluster":
        """The same connection, whose writes raise NotPermitted once `may_write` says no.

        For work that can be overtaken between two writes: a process may be paused in the middle of it and wake up late.
        """
        return Cluster(self._transport, self._field_manager, may_write)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def uid(self) -> str:
        """The cluster's identity: the UID of its namespace kube-system."""
        if not self._uid:
            self._uid = (await self.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
        return self._uid

    async def raw(self, path: str) -> bytes:
        """The body of a page that is no object, such as /metrics."""
        return (await self._transport.request("GET", path, b"", "")).body

    async def get(self, res: Resource[T], name: str, namespace: str | None = None) -> T:
        """Read one object."""
        return _decode(res, await self._request("GET", res, res.path(name, namespace)))

    async def list(
        self,
        res: Resource[T],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[T]:
        """Read all objects, as one consistent set: an error on any page is an error, never a shorter list."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        try:
            pages = [page async for page in self.pages(res, namespace, selectors)]
        except Gone:  # the token of a later page expired; without pages there is none
            pages = [page async for page in self.pages(res, namespace, selectors, page_size=0)]
        return [_decode(res, item) for page in pages for item in page.items or ()]

    async def pages(
        self, res: Resource[Any], namespace: str | None, selectors: Mapping[str, str], page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[Page, None]:
        """The pages of a consistent list. Raises Gone when a later page is asked for too late."""
        path = res.collection_path(namespace)
        token = ""
        while True:
            query = {**selectors, "limit": str(page_size or ""), "continue": token}
            body = await self._request("GET", res, path + query_string(query))
            try:
                page = _page_decoder.decode(body)
            except DECODE_PROBLEMS as problem:
                raise Undecodable(f"list of {res!r}: {problem}") from problem
            yield page
            token = page.metadata.continue_token
            if not token:
                return

    async def version(self, res: Resource[Any], namespace: str | None = None) -> int:
        """The version of the whole store now, asked for by a list of one; 0 if it is not in the API server's form."""
        async for page in self.pages(res, namespace, {}, page_size=1):
            text = page.metadata.resource_version
            return int(text) if text.isascii() and text.isdecimal() else 0
        return 0

    async def create(self, res: Resource[T], obj: T, namespace: str | None = None) -> T:
        """Create an object; its namespace is its own unless given. Raises AlreadyExists."""
        path = res.collection_path(namespace or name_of(obj)[0]) + query_string({"fieldManager": self._field_manager})
        return _decode(res, await self._request("POST", res, path, res.encode(obj), "application/json"))

    async def replace(self, res: Resource[T], obj: T, *, subresource: str | None = None) -> T:
        """Put a whole object: fields that `T` does not know are lost. Conflict unless its version is current."""
        namespace, name = name_of(obj)
        path = res.path(name, namespace, subresource) + query_string({"fieldManager": self._field_manager})
        return _decode(res, await self._request("PUT", res, path, res.encode(obj), "application/json"))

    async def dry_run(self, res: Resource[T], obj: T, *, is_there: bool) -> T:
        """What an object would be, were it created, or put in place of the one that `is_there`. Writes nothing."""
        namespace, name = name_of(obj)
        query = query_string({"fieldManager": self._field_manager, "dryRun": "All"})
        method, path = ("PUT", res.path(name, namespace)) if is_there else ("POST", res.collection_path(namespace))
        return _decode(res, await self._request(method, res, path + query, res.encode(obj), "application/json"))

    async def patch(
        self,
        res: Resource[T],
        name: str,
        body: object,
        *,
        kind: PatchKind,
        namespace: str | None = None,
        subresource: str | None = None,
        field_manager: str | None = None,
    ) -> T:
        """Change an object; `body` is a dict, list, struct or JSON bytes (see `fleetlb.kube.patching`).

        Conflict when the object is not as the patch says, by uid, resourceVersion or a JSON patch's `test`.
        """
        query = query_string({"fieldManager": field_manager or self._field_manager})
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        path = res.path(name, namespace, subresource) + query
        try:
            return _decode(res, await self._request("PATCH", res, path, data, kind.value))
        except Invalid as refusal:
            if kind is PatchKind.JSON and not refusal.causes:  # it does not apply; invalid results name a cause
                raise Conflict(str(refusal), status=refusal.status, reason=refusal.reason) from refusal
            raise

    async def apply(
        self,
        res: Resource[T],
        obj: T,
        *,
        force: bool = True,
        subresource: str | None = None,
        field_manager: str | None = None,
    ) -> T:
        """Server-side apply: create the object or own the fields given; `force` takes them from other managers."""
        namespace, name = name_of(obj)
        query = {"fieldManager": field_manager or self._field_manager, "force": "true" if force else ""}
        path = res.path(name, namespace, subresource) + query_string(query)
        return _decode(res, await self._request("PATCH", res, path, res.encode(obj), PatchKind.APPLY.value))

    async def delete(
        self,
        res: Resource[Any],
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
    ) -> None:
        """Delete an object. Conflict when it is not the one with this uid or version; NotFound when there is none."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        options: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {key: value for key, value in wanted.items() if value},
        }
        if propagation:
            options["propagationPolicy"] = propagation
        body = msgspec.json.encode(options)
        await self._request("DELETE", res, res.path(name, namespace), body, "application/json")

    def watch(
        self, res: Resource[Any], namespace: str | None, query: Mapping[str, str], *, read_timeout: float
    ) -> AbstractAsyncContextManager[Chunks]:
        """The bytes of a watch; `fleetlb.kube.watching` makes sense of them."""
        target = res.collection_path(namespace) + query_string({**query, "watch": "true"})
        return self._transport.stream(target, read_timeout)

    async def _request(
        self, method: str, res: Resource[Any], target: str, body: bytes = b"", content_type: str = ""
    ) -> bytes:
        if method != "GET" and not self._may_write():
            raise NotPermitted(f"{method} {res.plural}: the right to write is gone")
        code = "<error>"
        try:
            answer = await self._transport.request(method, target, body, content_type)
            code = str(answer.status)
            return answer.body
        except ApiError as refusal:
            code = str(refusal.status or code)
            raise
        finally:
            REQUESTS.labels(method, res.plural, code).inc()


def query_string(query: Mapping[str, str]) -> str:
    """`?a=b` of the values that are not empty."""
    given = {key: value for key, value in query.items() if value}
    return f"?{urllib.parse.urlencode(given)}" if given else ""


def _decode(res: Resource[T], data: bytes | msgspec.Raw) -> T:
    try:
        return res.decode(data)
    except DECODE_PROBLEMS as problem:
        raise Undecodable(f"{res!r}: {problem}") from problem
