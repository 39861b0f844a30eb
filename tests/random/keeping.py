"""What outlives every process: the objects and the streams of `manager_world`, which tell of every change."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from fleetlb.contracts import codec
from fleetlb.contracts.objects import AddressPool, BalancerGroup
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.kube.errors import NotFound
from tests.unit.fleetlb_manager.manager_world import HandClock, Kept, PoolsInMemory

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
OnChange = Callable[[str, Any, Any], None]
"""Kind of object, what it was, what it is; None: it is not there."""


class Told(dict[K, V]):
    """A dictionary of objects; every change of it is told."""

    def __init__(self, kind: str, tell: OnChange) -> None:
        super().__init__()
        self._kind = kind
        self._tell = tell

    def __setitem__(self, key: K, value: V) -> None:
        before = self.get(key)
        super().__setitem__(key, value)
        self._tell(self._kind, before, value)

    def __delitem__(self, key: K) -> None:
        before = self[key]
        super().__delitem__(key)
        self._tell(self._kind, before, None)


class Everything(Kept):
    """Objects and streams; who listens hears of every revision at once."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock = clock
        self.listeners: list[OnChange] = []
        self.tenants = Told("tenant", self._tell)
        self.pools = Told("pool", self._tell)
        self.groups = Told("group", self._tell)
        self.claims = Told("claim", self._tell)
        self.load_balancers = Told("load balancer", self._tell)
        self.clusters = Told("cluster", self._tell)
        self.wishes: dict[str, VirtualServerDesired] = {}
        """What `desired` holds, decoded."""
        self.generations = 0
        self.sequences: dict[str, int] = {}
        """Where the last message of each subject stands in its stream."""
        self._last: Counter[str] = Counter()
        self.on_published: Callable[[str, bytes], int] = lambda *_: 0
        """Puts a message into its stream, and says where it stands."""
        self.on_notified: Callable[[str], None] = lambda _: None

    def next_generation(self) -> int:
        """A Lease changes hands."""
        self.generations += 1
        return self.generations

    def objects(self) -> dict[str, dict[Any, Any]]:
        """All objects, by kind."""
        return {
            "tenant": self.tenants,
            "pool": self.pools,
            "group": self.groups,
            "claim": self.claims,
            "load balancer": self.load_balancers,
            "cluster": self.clusters,
        }

    def stamp(self, item: T, *, new: bool = False, respecified: bool = False) -> T:
        """As the base class has it, but created by the clock."""
        stamped = super().stamp(item, new=new, respecified=respecified)
        if not new:
            return stamped
        created = datetime.fromtimestamp(self.clock.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta = replace(stamped.metadata, creation_timestamp=created)  # type: ignore[attr-defined]
        return replace(stamped, metadata=meta)  # type: ignore[type-var]

    def put(self, subject: str, body: bytes) -> int:
        """The last message of a subject, which is the last of its stream as well."""
        self.streams.pop(subject, None)
        self.wishes.pop(subject, None)
        self.streams[subject] = body
        stream = ".".join(subject.split(".")[:4])
        self._last[stream] += 1
        self.sequences[subject] = self._last[stream]
        if ".desired." in subject:
            self.wishes[subject] = codec.decode(VirtualServerDesired, body)
        return self.sequences[subject]

    def purge(self, subject: str, through: int) -> None:
        """A subject without messages, but for one that came after this sequence, unless that is 0."""
        if through and self.sequences.get(subject, 0) > through:
            return
        self.streams.pop(subject, None)
        self.wishes.pop(subject, None)

    def wipe(self, only: str = "") -> None:
        """The bus comes back empty, or without one of its streams; all count on."""
        for subject in [subject for subject in self.streams if f".{only}" in subject]:
            del self.streams[subject]
            self.wishes.pop(subject, None)

    def _tell(self, kind: str, before: object, now: object) -> None:
        for listener in self.listeners:
            listener(kind, before, now)


class StatusesInMemory(PoolsInMemory):
    """The API server's status subresources."""

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        return self._put(self.kept.tenants, tenant, status)

    async def set_pool_status(self, pool: AddressPool, status: dict[str, Any]) -> AddressPool:
        return self._put(self.kept.pools, pool, status)

    async def set_group_status(self, group: BalancerGroup, status: dict[str, Any]) -> BalancerGroup:
        return self._put(self.kept.groups, group, status)

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        raise AssertionError("no tenant is removed here")

    def _put(self, objects: dict[str, T], item: T, status: dict[str, Any]) -> T:
        name = item.metadata.name  # type: ignore[attr-defined]
        found: Any = objects.get(name)
        if found is None or found.metadata.uid != item.metadata.uid:  # type: ignore[attr-defined]
            raise NotFound(name)
        merged = {**msgspec.to_builtins(found.status), **msgspec.to_builtins(status)}
        changed: T = self.kept.stamp(replace(found, status=msgspec.convert(merged, type(found.status))))
        objects[name] = changed
        self.kept.effect(f"patch status of {name}")
        return changed
