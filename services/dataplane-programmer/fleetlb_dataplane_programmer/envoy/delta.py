"""The delta ADS protocol with one Envoy as a state machine. Sans-I/O: requests and the time go in, pushes come out.

What one stream knows of a name is, per resource type, the version Envoy was last sent or said to have. From that and
the wish in the store, `_next_type` gives the one type this name must be sent next, so a name walks Cluster, endpoints,
Listener when it comes, and Listener, Cluster when it goes. Names queue per type, which has one push in flight; a name
whose Cluster is in flight may overtake. Every step costs O(names in it): only the opening of a type looks at all names.

Measured behaviour of Envoy that the code depends on:
- It takes a Cluster update as the start of a new warming and does not ask for the endpoints again: they are sent again
  after each Cluster (`_sent_cluster`).
- It holds back the acknowledgement of Clusters while any warms: endpoints never wait for it, nor does a second thought
  about a Cluster in flight, or each would wait for the other (`_overtaking`).
- It refuses per push and applies per resource, or not at all: after a refusal everything in the push counts as unknown
  and is sent again, without the culprits. Those are held back and tried again later: Envoy never retries a bind.
- It tells what it has in the first request of a stream per type: only the difference is sent.
"""

import collections
import enum
import heapq
from collections.abc import Callable, Mapping

import msgspec

from fleetlb_dataplane_programmer.envoy.rejections import blame, explain
from fleetlb_dataplane_programmer.envoy.resources import Kind, Resource, Resources
from fleetlb_dataplane_programmer.envoy.store import Store

UNKNOWN_VERSION = ""  # Envoy may have it; equal to no digest
OnStanding = Callable[[str, "Standing", str], None]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A DeltaDiscoveryRequest: the first of a type opens it with the versions Envoy has, later ones answer a nonce."""

    kind: Kind
    nonce: str = ""
    error: str | None = None
    versions: Mapping[str, str] = {}


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """A DeltaDiscoveryResponse."""

    kind: Kind
    nonce: str
    resources: tuple[tuple[str, Resource], ...] = ()
    removed: tuple[str, ...] = ()


class Standing(enum.Enum):
    """How Envoy stands to the wish for a name, once nothing is under way."""

    HELD = "held"  # it holds exactly what is wanted
    GONE = "gone"  # nothing is wanted and the Listener is no more
    REFUSED = "refused"


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When refused resources are tried again."""

    initial_seconds: float = 5.0
    cap_seconds: float = 60.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, counted from 0."""
        return float(min(self.cap_seconds, self.initial_seconds * 2.0 ** min(attempt, 32)))


class _Refusal(msgspec.Struct):
    version: str
    message: str
    attempt: int
    due: float
    waiting: bool = True


class Session:
    """One stream of one Envoy. Feed it `receive` and `changed`, then send what `poll` gives."""

    def __init__(self, store: Store, on_standing: OnStanding, *, retry: Retry, chunk: int = 250) -> None:
        """`on_standing(name, standing, message)` is called from `receive` and `poll`, also for what was told before."""
        self._store = store
        self._on_standing = on_standing
        self._retry = retry
        self._chunk = chunk
        self._opened = {kind: False for kind in Kind}
        self._greeting = {kind: False for kind in Kind}
        self._known: dict[Kind, dict[str, str]] = {kind: {} for kind in Kind}
        self._queued: dict[Kind, dict[str, None]] = {kind: {} for kind in Kind}
        self._queued_as: dict[str, Kind] = {}
        self._overtaking: dict[str, None] = {}
        self._in_flight: dict[Kind, dict[str, Push]] = {kind: {} for kind in Kind}
        self._flying: dict[Kind, collections.Counter[str]] = {kind: collections.Counter() for kind in Kind}
        self._warming_unasked: set[str] = set()
        self._alone: set[tuple[Kind, str]] = set()
        self._refusals: dict[tuple[Kind, str], _Refusal] = {}
        self._due: list[tuple[float, Kind, str]] = []
        self._touched: dict[str, None] = {}
        self._nonce = 0

    def receive(self, request: Request, now: float) -> None:
        """Take a request from Envoy."""
        if not self._opened[request.kind]:
            self._open(request)
        push = self._in_flight[request.kind].pop(request.nonce, None)
        if push is None:
            return  # a subscription, or the answer to nothing that is open
        self._land(push)
        if request.error is None:
            self._accepted(push)
        else:
            self._refused(push, request.error, now)

    def changed(self, name: str) -> None:
        """Note that the wish for this name changed in the store; `poll` looks at it."""
        self._touched[name] = None

    def review(self) -> None:
        """Have `poll` tell all standings again."""
        self._touched.update(dict.fromkeys(self._store))

    def poll(self, now: float) -> list[Push]:
        """What must be sent now, in order."""
        self._release(now)
        touched, self._touched = self._touched, {}
        for name in touched:
            self._settle(name)
        pushes: list[Push] = []
        while self._store.complete:
            step = [push for kind in Kind if (push := self._next_push(kind))]
            if not step:
                break
            pushes += step
        return pushes

    def next_due(self) -> float | None:
        """When `poll` must be called although nothing happened."""
        return self._due[0][0] if self._due else None

    def _open(self, request: Request) -> None:
        kind = request.kind
        self._opened[kind] = True
        # Envoy waits for the first answer before it goes on, also when there is nothing to tell.
        self._greeting[kind] = not request.versions and kind is not Kind.ENDPOINTS
        self._known[kind].update(request.versions)
        if kind is Kind.ENDPOINTS:
            for name in self._warming_unasked:
                self._known[kind].pop(name, None)
            self._warming_unasked.clear()
        for name in dict.fromkeys((*self._store, *self._known[Kind.LISTENER], *self._known[Kind.CLUSTER])):
            self._settle(name)

    def _next_type(self, name: str) -> Kind | None:
        """The type in which this name must be sent next, or None if all is sent or held back."""
        wanted = self._store.get(name)
        if wanted is None:
            return self._next_removal(name)
        for kind in Kind:
            if not self._opened[kind] or self._known[kind].get(name) != wanted[kind].version:
                return None if self._is_held_back(kind, name, wanted) else kind
        return None

    def _next_removal(self, name: str) -> Kind | None:
        if self._flying[Kind.CLUSTER][name] and name not in self._known[Kind.LISTENER]:
            # It may warm, and Envoy does not ask for Listeners while any of its first Clusters does.
            return Kind.CLUSTER if name in self._known[Kind.CLUSTER] else None
        for kind in (Kind.LISTENER, Kind.CLUSTER):
            if not self._opened[kind] or name in self._known[kind]:
                return kind
        return None

    def _is_held_back(self, kind: Kind, name: str, wanted: Resources) -> bool:
        refusal = self._refusals.get((kind, name))
        return refusal is not None and refusal.waiting and refusal.version == wanted[kind].version

    def _settle(self, name: str) -> None:
        """Queue the name for its next type, or tell how it stands."""
        kind, before = self._next_type(name), self._queued_as.pop(name, None)
        if before is not None and before is not kind:
            del self._queued[before][name]
        self._overtaking.pop(name, None)
        if kind is not None:
            self._queued[kind][name] = None
            self._queued_as[name] = kind
            if kind is Kind.CLUSTER and self._flying[kind][name]:
                self._overtaking[name] = None
        wanted = self._store.get(name)
        if wanted is None:
            self._settle_unwanted(name)
        elif kind is None and not any(flying[name] for flying in self._flying.values()):
            refusals = [self._refusals[kind, name] for kind in Kind if self._is_held_back(kind, name, wanted)]
            if refusals:
                self._on_standing(name, Standing.REFUSED, refusals[0].message)
            else:
                self._on_standing(name, Standing.HELD, "")

    def _settle_unwanted(self, name: str) -> None:
        self._known[Kind.ENDPOINTS].pop(name, None)  # Envoy drops them with the Cluster
        for kind in Kind:
            self._refusals.pop((kind, name), None)
        if (
            self._opened[Kind.LISTENER]
            and name not in self._known[Kind.LISTENER]
            and not self._flying[Kind.LISTENER][name]
        ):
            self._on_standing(name, Standing.GONE, "")

    def _next_push(self, kind: Kind) -> Push | None:
        names = self._take(kind)
        if not names and not (self._greeting[kind] and self._opened[kind]):
            return None
        self._greeting[kind] = False
        self._nonce += 1
        resources: list[tuple[str, Resource]] = []
        removed: list[str] = []
        for name in names:
            wanted = self._store.get(name)
            if wanted is None:
                self._known[kind].pop(name, None)
                removed.append(name)
            else:
                self._known[kind][name] = wanted[kind].version
                resources.append((name, wanted[kind]))
                if kind is Kind.CLUSTER:
                    self._sent_cluster(name)
        push = Push(kind=kind, nonce=str(self._nonce), resources=tuple(resources), removed=tuple(removed))
        self._in_flight[kind][push.nonce] = push
        self._flying[kind].update(names)
        for name in names:
            self._settle(name)
        return push

    def _take(self, kind: Kind) -> list[str]:
        """The names of the next push: a chunk, or one that must go alone. They stay queued until settled."""
        if not self._opened[kind]:
            return []
        waiting = self._queued[kind]
        if self._in_flight[kind]:
            waiting = self._overtaking if kind is Kind.CLUSTER else {}
        names: list[str] = []
        for name in waiting:
            if (kind, name) in self._alone:
                return names or [name]
            names.append(name)
            if len(names) == self._chunk:
                break
        return names

    def _sent_cluster(self, name: str) -> None:
        self._known[Kind.ENDPOINTS].pop(name, None)
        if not self._opened[Kind.ENDPOINTS]:
            self._warming_unasked.add(name)

    def _land(self, push: Push) -> None:
        flying = self._flying[push.kind]
        for name in (*push.removed, *(name for name, _ in push.resources)):
            flying[name] -= 1
            if not flying[name]:
                del flying[name]

    def _accepted(self, push: Push) -> None:
        for name in (*push.removed, *(name for name, _ in push.resources)):
            self._refusals.pop((push.kind, name), None)
            self._alone.discard((push.kind, name))
            self._settle(name)

    def _refused(self, push: Push, detail: str, now: float) -> None:
        if not push.resources:
            self._accepted(push)  # there is no way to insist on a removal
            return
        versions = {name: resource.version for name, resource in push.resources}
        culprits = blame(detail, versions)
        if not culprits and len(push.resources) == 1:
            culprits = dict.fromkeys(versions, detail)
        for name in (*versions, *push.removed):
            self._known[push.kind][name] = UNKNOWN_VERSION
            if not culprits:
                self._alone.add((push.kind, name))
        for name, text in culprits.items():
            self._hold_back(push.kind, name, versions[name], text, now)
        for name in (*versions, *push.removed):
            self._settle(name)

    def _hold_back(self, kind: Kind, name: str, version: str, text: str, now: float) -> None:
        before = self._refusals.get((kind, name))
        attempt = before.attempt + 1 if before is not None and before.version == version else 0
        due = now + self._retry.delay(attempt)
        self._refusals[kind, name] = _Refusal(version, explain(text), attempt, due)
        heapq.heappush(self._due, (due, kind, name))

    def _release(self, now: float) -> None:
        """Queue again what was held back long enough."""
        while self._due and self._due[0][0] <= now:
            due, kind, name = heapq.heappop(self._due)
            refusal = self._refusals.get((kind, name))
            if refusal is not None and refusal.due == due:
                refusal.waiting = False
                self._settle(name)
