"""List and watch: keep telling a service which objects of a kind there are, for ever.

A full set comes first, by WatchList (one streamed request, ended by a marked bookmark) or, where a server does not know
that, by a paged list; then changes as they happen. What a gap hid is found at the next full set. Callbacks are
synchronous and run in the event loop in the order of events; they should note the key and return. A restored server
says nothing to who watches from a version that is to come: when a watch ended before its time, that is asked first.

Must not know what the objects mean. Decisions stand in `store` (what changed) and `pausing` (when to try again).
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

import msgspec
import prometheus_client
import structlog

from fleetlb.kube.cluster import Chunks, Cluster
from fleetlb.kube.errors import DECODE_PROBLEMS, ApiError, Gone, Invalid, StoreWentBack, Undecodable, error_from
from fleetlb.kube.lines import Event, LineSplitter, Outline, decode_event, decode_sketch, ends_initial_events
from fleetlb.kube.pausing import Patience, Pause
from fleetlb.kube.resources import HasMetadata, Resource
from fleetlb.kube.store import Change, Key, Mark, Store, key_of

K = TypeVar("K", bound=HasMetadata)

FULL_SETS = prometheus_client.Counter(
    "fleetlb_reflector_full_sets_total", "Complete sets of objects received.", ["resource"]
)
UNDECODABLE = prometheus_client.Counter(
    "fleetlb_reflector_undecodable_total", "Watch events whose object did not fit its struct.", ["resource"]
)
CALLBACK_ERRORS = prometheus_client.Counter(
    "fleetlb_reflector_callback_errors_total", "Changes whose callback raised.", ["resource"]
)

log = structlog.get_logger(__name__)


class WatchTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a watch, in seconds."""

    server: tuple[int, int] = (240, 300)
    """The server ends a watch after a time in this range, different each time so that watches spread out."""
    read_margin: float = 30.0
    """A watch silent for this much longer than the server's time is dead, whatever the socket says."""
    initial_silence: float = 10.0
    """No line for so long within the full set: this server does not know WatchList."""
    initial_total: float = 60.0
    """The full set is not complete after so long: likewise."""
    settled: float = 5.0
    """A watch that lived so long was worth opening, even if nothing happened."""
    relist_after: int = 3
    """Watches in a row that gave nothing before everything is listed again."""
    pause: Pause = Pause()


class Reflector(Generic[K]):
    """A live view of one kind of object. `run` never returns, and raises nothing but StoreWentBack."""

    timing = WatchTiming()

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource[K],
        *,
        on_set: Callable[[K], None],
        on_gone: Callable[[K], None],
        label_selector: str = "",
        field_selector: str = "",
        namespace: str | None = None,
        keep: bool = True,
    ) -> None:
        """`on_gone` gets the last known state; with `keep=False` that may be an object with metadata only.

        `keep=False` holds a uid and a version per object instead of the object; `objects` stays empty.
        """
        self._cluster = cluster
        self._resource = resource
        self._on_set = on_set
        self._on_gone = on_gone
        self._selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._namespace = namespace
        self._store: Store[K] = Store(None if keep else self._tombstone)
        self._version = ""  # to resume from; empty: a full set is needed
        self._reached = 0
        self._in_doubt = False
        self._listing = False
        self._knows_watch_list = True
        self._lines = 0
        self._failing = False
        self._unreadable: set[Key] = set()
        self._log = log.bind(resource=repr(resource))
        self.synced = asyncio.Event()
        """Set once the first full set is complete; stays set while a later one is fetched."""
        if not keep:
            self._tombstone(("namespace", "name"), Mark("uid", "1"))  # fails now rather than at the first deletion

    @property
    def objects(self) -> dict[Key, K]:
        """The objects as last seen, by (namespace, name). Read only."""
        return self._store.objects

    async def run(self) -> NoReturn:
        """Watch for ever. Raises StoreWentBack."""
        loop = asyncio.get_running_loop()
        patience = Patience(self.timing.pause, self.timing.relist_after)
        while True:
            started = loop.time()
            self._lines = 0
            problem: ApiError | None = None
            try:
                await self._compare()
                await self._round()
            except ApiError as refusal:
                problem = refusal
            lived = loop.time() - started
            self._in_doubt = problem is not None or lived < self.timing.server[0]
            progressed = bool(self._lines) or (self._version != "" and lived >= self.timing.settled)
            verdict = patience.after(problem, progressed=progressed, chance=random.random())  # noqa: S311 - jitter
            if verdict.relist:
                self._version = ""
            self._report(problem)
            await asyncio.sleep(verdict.pause)

    async def _compare(self) -> None:
        """Whether the store still has all that it had; a server that refuses to say, as until it has read roles, is not
        watched yet."""
        now = 0
        if self._in_doubt and self._reached:
            try:
                now = await self._cluster.version(self._resource, self._namespace)
            except ApiError as refusal:
                if refusal.status != 404:
                    raise
        if 0 < now < self._reached:
            raise StoreWentBack(repr(self._resource), self._reached, now)

    async def _round(self) -> None:
        if self._version:
            await self._follow({"resourceVersion": self._version})
            return
        if self._knows_watch_list:
            try:
                await self._follow({"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"})
                return
            except (Invalid, TimeoutError) as problem:
                if not self._listing:
                    raise
                self._log.info("the server does not know WatchList; listing by pages", problem=repr(problem))
                self._knows_watch_list = False
        await self._list()
        await self._follow({"resourceVersion": self._version})

    async def _list(self) -> None:
        """A full set by pages; it counts only when the last page has arrived."""
        self._begin()
        version = ""
        async with contextlib.aclosing(self._cluster.pages(self._resource, self._namespace, self._selectors)) as pages:
            async for page in pages:
                for item in page.items or ():
                    self._set(item)
                version = version or page.metadata.resource_version
        self._complete(version)

    async def _follow(self, query: dict[str, str]) -> None:
        """One watch, until the server ends it."""
        low, high = self.timing.server
        seconds = random.randint(low, high)  # noqa: S311 - jitter
        splitter = LineSplitter()
        if not self._version:
            self._begin()
        query = {**self._selectors, **query, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        async with self._cluster.watch(
            self._resource, self._namespace, query, read_timeout=seconds + self.timing.read_margin
        ) as stream:
            deadline = asyncio.get_running_loop().time() + self.timing.initial_total
            while chunk := await (self._read_initial(stream, deadline) if self._listing else stream.read()):
                for line in splitter.feed(chunk):
                    self._take(line)

    async def _read_initial(self, stream: Chunks, deadline: float) -> bytes:
        silence = asyncio.get_running_loop().time() + self.timing.initial_silence
        async with asyncio.timeout_at(min(silence, deadline)):
            return await stream.read()

    def _take(self, line: bytes) -> None:
        try:
            event = decode_event(line)
        except DECODE_PROBLEMS as problem:
            raise Undecodable(f"watch of {self._resource!r}: a line that is no event: {problem}") from problem
        if event.type == "ERROR":
            raise error_from(f"watch of {self._resource!r}", 0, bytes(event.object))
        version = self._apply(event)
        if not self._listing:
            self._advance(version or self._version)
            self._lines += 1
            self._recovered()

    def _apply(self, event: Event) -> str:
        """Act on an event; the version of its object, empty if that cannot be read."""
        if event.type in ("ADDED", "MODIFIED"):
            return self._set(event.object)
        if event.type == "DELETED":
            return self._drop(event.object)
        if event.type == "BOOKMARK":
            return self._mark(event.object)
        self._log.warning("unknown type of watch event", type=event.type)
        return ""

    def _set(self, raw: msgspec.Raw) -> str:
        try:
            item = self._resource.decode(raw)
        except DECODE_PROBLEMS as problem:
            outline = self._outline(raw, problem)
            if outline.name:
                self._tell(self._store.glimpse(outline))
            return outline.resource_version
        metadata = item.metadata
        if self._unreadable:
            self._unreadable.discard(key_of(metadata))
        self._tell(self._store.put(item))
        return metadata.resource_version

    def _drop(self, raw: msgspec.Raw) -> str:
        try:
            item = self._resource.decode(raw)
        except DECODE_PROBLEMS as problem:
            outline = self._outline(raw, problem)
            self._unreadable.discard(key_of(outline))
            self._tell(self._store.drop(outline))
            return outline.resource_version
        self._tell(self._store.drop(item.metadata, item))
        return item.metadata.resource_version

    def _mark(self, raw: msgspec.Raw) -> str:
        try:
            sketch = decode_sketch(raw)
        except DECODE_PROBLEMS as problem:
            raise Undecodable(f"watch of {self._resource!r}: an unreadable bookmark: {problem}") from problem
        if self._listing and ends_initial_events(sketch):
            self._complete(sketch.metadata.resource_version)
        return sketch.metadata.resource_version

    def _outline(self, raw: msgspec.Raw, problem: Exception) -> Outline:
        """Report an object that does not fit its struct, once until it does; the others go on."""
        UNDECODABLE.labels(repr(self._resource)).inc()
        try:
            outline = decode_sketch(raw).metadata
        except DECODE_PROBLEMS:
            outline = Outline()
        key = key_of(outline)
        if key not in self._unreadable:
            self._unreadable.add(key)
            self._log.error("skipping an object that cannot be read", key="/".join(key), problem=str(problem))
        return outline

    def _begin(self) -> None:
        self._listing = True
        self._store.begin()

    def _complete(self, version: str) -> None:
        self._listing = False
        self._advance(version)
        self._tell(self._store.complete())
        FULL_SETS.labels(repr(self._resource)).inc()
        self._recovered()
        self.synced.set()

    def _advance(self, version: str) -> None:
        self._version = version
        if version.isascii() and version.isdecimal():
            self._reached = max(self._reached, int(version))

    def _tell(self, changes: list[Change[K]]) -> None:
        for item, gone in changes:
            try:
                (self._on_gone if gone else self._on_set)(item)
            except Exception:  # a bug about one object must not hide all the others
                CALLBACK_ERRORS.labels(repr(self._resource)).inc()
                self._log.exception("a callback failed", key="/".join(key_of(item.metadata)), gone=gone)

    def _report(self, problem: ApiError | None) -> None:
        """One line per outage, not one per attempt."""
        if isinstance(problem, Gone):
            self._log.info("the version watched is no longer kept; fetching the full set", problem=str(problem))
        elif problem is not None and not self._failing:
            self._failing = True
            self._log.warning("watch failed; trying again until it works", problem=str(problem))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self._log.info("watching again")

    def _tombstone(self, key: Key, mark: Mark) -> K:
        metadata = {"namespace": key[0], "name": key[1], "uid": mark.uid, "resourceVersion": mark.resource_version}
        return self._resource.decode(msgspec.json.encode({"metadata": metadata}))
