"""The newest known version of each object, whoever told: a watch, or the answer to our own write.

A watch may deliver an older version after our write was answered; that must not undo what we know. Versions of one API
server grow, over all objects of a kind. Knows nothing about the objects but their metadata.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from fleetlb.contracts.object_meta import ObjectMeta


class HasMeta(Protocol):
    """An object of the API server."""

    @property
    def metadata(self) -> ObjectMeta: ...


K = TypeVar("K", bound=HasMeta)
Name = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

DELETED_REMEMBERED = 4096
"""UIDs of deleted objects that are remembered: events still on their way must not bring one back."""


class Deleted:
    """UIDs of deleted objects, the last so many. O(1)."""

    def __init__(self) -> None:
        """None yet."""
        self._uids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids

    def note(self, uid: str) -> None:
        """It is gone for good."""
        self._uids[uid] = None
        if len(self._uids) > DELETED_REMEMBERED:
            self._uids.popitem(last=False)

    def is_news(self, item: HasMeta, known: HasMeta | None) -> bool:
        """Whether to believe it: a watch may tell of a version older than the answer to our own write, and of an end
        before that answer."""
        return item.metadata.uid not in self and (known is None or is_newer(item.metadata, known.metadata))

    def is_end(self, item: HasMeta, known: HasMeta | None) -> bool:
        """Note that an object is gone; whether that is the one that is known. A namesake made later stays."""
        self.note(item.metadata.uid)
        return known is not None and known.metadata.uid == item.metadata.uid


class Newest(Generic[K]):
    """Objects of one kind. Every operation is O(1)."""

    def __init__(self) -> None:
        """Nothing known."""
        self._known: dict[Name, K] = {}
        self._deleted = Deleted()

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._known)

    def values(self) -> Iterable[K]:
        """All objects."""
        return self._known.values()

    def get(self, name: str, namespace: str = "") -> K | None:
        """One object."""
        return self._known.get((namespace, name))

    def put(self, item: K) -> bool:
        """Note a version of an object. False, and no change, if this one or a newer one is known."""
        meta = item.metadata
        name = (meta.namespace, meta.name)
        known = self._known.get(name)
        if meta.uid in self._deleted or (known is not None and not is_newer(meta, known.metadata)):
            return False
        self._known[name] = item
        return True

    def drop(self, meta: ObjectMeta) -> K | None:
        """Note that an object is deleted; returns it if it was known. A namesake made later stays."""
        self._deleted.note(meta.uid)
        name = (meta.namespace, meta.name)
        known = self._known.get(name)
        if known is None or known.metadata.uid != meta.uid:
            return None
        return self._known.pop(name)


def is_newer(one: ObjectMeta, other: ObjectMeta) -> bool:
    """Whether one version was written after the other."""
    try:
        return int(one.resource_version) > int(other.resource_version)
    except ValueError:  # not the API server's form: believe the last word
        return one.resource_version != other.resource_version
