"""An API server in memory: objects with uids, versions, generations, finalizers and statuses, and who watches them.

One contract suite holds for it and a real kube-apiserver. `fleetlb.testkit.fake_wire` lets a `Cluster` speak to it. Not
modelled: schemas and defaults (objects stay as they are sent), node ports, server-side apply, pages, namespaces' delay.
"""

import asyncio
import copy
import itertools
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from fleetlb.contracts.object_meta import GROUP
from fleetlb.kube.errors import AlreadyExists, Conflict, Forbidden, Gone, NotFound

Object = dict[str, Any]
Change = Callable[[Object], Object]
Listener = Callable[[str, Object, bool], None]
"""Hears of the kind, the object as it is now, and whether it is gone."""

NAMESPACES = "namespaces"
_WITHOUT_STATUS = {f"addressclaims.{GROUP}"}
_WITH_STATUS = {"services", "nodes"}


class Place(NamedTuple):
    """Where an object is: its kind as in `repr(Resource)`, its namespace (empty for none) and its name."""

    kind: str
    namespace: str
    name: str

    @property
    def is_custom(self) -> bool:
        """Whether its kind is one of ours."""
        return self.kind.endswith(f".{GROUP}")

    @property
    def has_status(self) -> bool:
        """Whether its status is a subresource."""
        return self.kind in _WITH_STATUS or (self.is_custom and self.kind not in _WITHOUT_STATUS)


class Entry(NamedTuple):
    """What happened to an object, in the order of versions."""

    version: int
    place: Place
    type: str
    raw: bytes
    labels: dict[str, str]

    @property
    def line(self) -> bytes:
        """As a watch says it."""
        return b'{"type":"' + self.type.encode() + b'","object":' + self.raw + b"}\n"


class FakeKube:
    """One cluster's API server and what it stores."""

    def __init__(self, name: str = "cluster", now: Callable[[], float] = lambda: 1_800_000_000.0) -> None:
        """`name` makes its uids differ from another's; `now`: seconds since 1970. It has a namespace kube-system."""
        self.objects: dict[Place, Object] = {}
        self.log: list[Entry] = []
        self.listeners: list[Listener] = []
        self.lag: Callable[[], float] = lambda: 0.0
        """By how many seconds the next event reaches a watch late."""
        self.watchers: dict[int, Callable[[Entry], None]] = {}
        self._name = name
        self._now = now
        self._version = 100
        self._oldest = 100
        self._uids = itertools.count(1)
        self._tokens = itertools.count(1)
        self.create(Place(NAMESPACES, "", "kube-system"), {})

    @property
    def version(self) -> int:
        """Of the newest change."""
        return self._version

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind. They are not to be changed."""
        return [item for place, item in self.objects.items() if place.kind == kind]

    def get(self, place: Place) -> Object:
        """One object. Raises NotFound."""
        if place not in self.objects:
            raise NotFound(f"{place.kind} {place.name} not found", status=404, reason="NotFound")
        return self.objects[place]

    def create(self, place: Place, body: Object) -> Object:
        """Make an object. Raises AlreadyExists, NotFound or Forbidden for its namespace."""
        self._admit(place)
        if place in self.objects:
            raise AlreadyExists(f"{place.kind} {place.name} already exists", status=409, reason="AlreadyExists")
        made = copy.deepcopy(body)
        if place.has_status and place.is_custom:
            made.pop("status", None)
        identity: Object = {"name": place.name, "uid": f"{self._name}-{next(self._uids):04}"}
        identity["creationTimestamp"] = self._timestamp()
        if place.namespace:
            identity["namespace"] = place.namespace
        if place.is_custom:
            identity["generation"] = 1
        made["metadata"] = {**made.get("metadata", {}), **identity}
        return self._commit(place, made, "ADDED")

    def change(self, place: Place, change: Change, subresource: str = "") -> Object:
        """Change an object. Raises NotFound, Conflict; a change of nothing makes no version."""
        before = self.get(place)
        wanted = change(copy.deepcopy(before))
        self._check(place, before, wanted.get("metadata", {}), subresource)
        after = _admitted(place, before, wanted, subresource)
        if after == before:
            return before
        if place.is_custom and after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        if _is_done(after["metadata"]):
            return self._remove(place, after)
        return self._commit(place, after, "MODIFIED")

    def delete(self, place: Place, *, uid: str = "", version: str = "") -> None:
        """Delete an object, or mark it where finalizers hold it. Raises NotFound, Conflict."""
        item = self.get(place)
        meta = item["metadata"]
        if (uid and uid != meta["uid"]) or (version and version != meta["resourceVersion"]):
            raise Conflict(f"{place.kind} {place.name}: the precondition does not hold", status=409, reason="Conflict")
        if meta.get("deletionTimestamp"):
            return
        marked = copy.deepcopy(item)
        marked["metadata"]["deletionTimestamp"] = self._timestamp()
        if place.is_custom:
            marked["metadata"]["generation"] += 1
        if place.kind == NAMESPACES:
            self._commit(place, marked, "MODIFIED")
            for inner in [each for each in self.objects if each.namespace == place.name]:
                self.delete(inner)
            self._end_namespace(place.name)
        elif meta.get("finalizers"):
            self._commit(place, marked, "MODIFIED")
        else:
            self._remove(place, marked)

    def since(self, version: int) -> Iterable[Entry]:
        """What happened after a version. Raises Gone."""
        if version < self._oldest:
            raise Gone(f"too old resource version: {version}", status=410, reason="Expired")
        return [entry for entry in self.log if entry.version > version]

    def compact(self) -> None:
        """Nobody can resume from a version of before."""
        self._oldest = self._version
        self.log.clear()

    def watch(self, watcher: Callable[[Entry], None]) -> Callable[[], None]:
        """Tell of every change from now on, until what is returned is called."""
        token = next(self._tokens)
        self.watchers[token] = watcher

        def stop() -> None:
            del self.watchers[token]

        return stop

    def _admit(self, place: Place) -> None:
        if not place.namespace:
            return
        namespace = self.get(Place(NAMESPACES, "", place.namespace))
        if namespace["metadata"].get("deletionTimestamp"):
            text = f"namespace {place.namespace} is being terminated"
            raise Forbidden(text, status=403, reason="Forbidden", causes=("NamespaceTerminating",))

    def _check(self, place: Place, before: Object, wanted: Object, subresource: str) -> None:
        meta = before["metadata"]
        # Seen on a real server: the status of a custom resource takes a merge with any uid.
        if place.is_custom and subresource:
            wanted = {key: value for key, value in wanted.items() if key != "uid"}
        if any(wanted.get(key, meta[key]) != meta[key] for key in ("uid", "resourceVersion")):
            text = f"{place.kind} {place.name}: the object has been modified"
            raise Conflict(text, status=409, reason="Conflict")

    def _commit(self, place: Place, item: Object, kind: str) -> Object:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            del self.objects[place]
        else:
            self.objects[place] = item
        labels = item["metadata"].get("labels") or {}
        entry = Entry(self._version, place, kind, msgspec.json.encode(item), labels)
        self.log.append(entry)
        for watcher in list(self.watchers.values()):
            watcher(entry)
        for listener in self.listeners:
            listener(place.kind, item, kind == "DELETED")
        return item

    def _remove(self, place: Place, item: Object) -> Object:
        removed = self._commit(place, item, "DELETED")
        if place.namespace:
            self._end_namespace(place.namespace)
        return removed

    def _end_namespace(self, name: str) -> None:
        place = Place(NAMESPACES, "", name)
        namespace = self.objects.get(place)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return
        if not any(each.namespace == name for each in self.objects):
            self._commit(place, copy.deepcopy(namespace), "DELETED")

    def _timestamp(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Outlet:
    """The lines of one watch, in order, some of them late. An empty one ends it."""

    def __init__(self, lag: Callable[[], float]) -> None:
        """`lag`: seconds by which a line is late."""
        self._lag = lag
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._last_due = 0.0
        self._on_their_way = 0

    def put(self, line: bytes) -> None:
        """Say this, after all that was said before."""
        loop = asyncio.get_running_loop()
        # A loop's timers of one moment ring in any order.
        due = max(loop.time() + self._lag(), math.nextafter(self._last_due, math.inf))
        if due <= loop.time() and not self._on_their_way:
            self._lines.put_nowait(line)
        else:
            self._last_due = due
            self._on_their_way += 1
            loop.call_at(due, self._arrive, line)

    def _arrive(self, line: bytes) -> None:
        self._on_their_way -= 1
        self._lines.put_nowait(line)

    async def read(self) -> bytes:
        """The next line."""
        return await self._lines.get()


def _admitted(place: Place, before: Object, wanted: Object, subresource: str) -> Object:
    """What a request may change: with a status of its own, either the status or all else."""
    after = {**wanted, "metadata": {**before["metadata"], **_given(wanted.get("metadata", {}))}}
    if not place.has_status:
        return after
    if not subresource:
        kept = {"status": before["status"]} if "status" in before else {}
        return _shown_by_type(place, {**_without(after, "status"), **kept})
    return {**before, "status": wanted.get("status", {})}


def _shown_by_type(place: Place, item: Object) -> Object:
    """A Service shows addresses only as a load balancer."""
    if place.kind != "services" or item["spec"]["type"] == "LoadBalancer":
        return item
    return {**item, "status": {**item.get("status", {}), "loadBalancer": {}}}


def _given(metadata: Object) -> Object:
    fixed = {"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "name", "namespace"}
    return {key: value for key, value in metadata.items() if key not in fixed}


def _without(item: Object, key: str) -> Object:
    return {name: value for name, value in item.items() if name != key}


def _is_done(metadata: Object) -> bool:
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
