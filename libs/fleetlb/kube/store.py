"""What a reflector knows: objects by key, and what changes when something is seen, deleted or found missing.

Pure: values in, changes out, in the order in which they must be told. Two rules stand here. An object with another uid
under a known name is a new object: the old one is gone first. An object is gone only when the server said so, by a
deletion or by a complete list without it; an incomplete list says nothing.
"""

import sys
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from fleetlb.kube.resources import HasMetadata, Metadata

K = TypeVar("K", bound=HasMetadata)
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """All that is kept of an object when objects are not kept."""

    uid: str
    resource_version: str


class Change(NamedTuple, Generic[K]):
    """One thing to tell: the object is there now, or it is gone."""

    object: K
    gone: bool


def key_of(metadata: Metadata) -> Key:
    """The key of an object."""
    return sys.intern(metadata.namespace), metadata.name


class Store(Generic[K]):
    """Objects of one kind. Every operation is O(1), except that beginning and completing a list is O(all)."""

    def __init__(self, tombstone: Callable[[Key, Mark], K] | None = None) -> None:
        """With `tombstone` only marks are kept, and it makes the object to name when one is found missing."""
        self._tombstone = tombstone
        self._known: dict[Key, K | Mark] = {}
        self._unseen: set[Key] | None = None

    @property
    def objects(self) -> dict[Key, K]:
        """The objects themselves; empty when only marks are kept."""
        return {} if self._tombstone else self._known  # type: ignore[return-value]

    def __len__(self) -> int:
        """How many objects are known."""
        return len(self._known)

    def begin(self) -> None:
        """A complete list is about to be seen; what an earlier, unfinished one saw is forgotten."""
        self._unseen = set(self._known)

    def complete(self) -> list[Change[K]]:
        """The list was complete: whatever was not seen since `begin` is gone."""
        unseen, self._unseen = self._unseen or set(), None
        return [Change(self._revive(key, self._known.pop(key)), gone=True) for key in unseen]

    def put(self, item: K) -> list[Change[K]]:
        """An object was seen; no changes if this version of it is known."""
        metadata = item.metadata
        key = key_of(metadata)
        if self._unseen is not None:
            self._unseen.discard(key)
        known = self._known.get(key)
        if known is None:
            self._keep(key, item)
            return [Change(item, gone=False)]
        before = _meta(known)
        if before.uid != metadata.uid:
            self._keep(key, item)
            return [Change(self._revive(key, known), gone=True), Change(item, gone=False)]
        if before.resource_version == metadata.resource_version:
            return []
        self._keep(key, item)
        return [Change(item, gone=False)]

    def glimpse(self, metadata: Metadata) -> list[Change[K]]:
        """An object was seen that could not be read: the last readable version stays, unless it was another object."""
        key = key_of(metadata)
        if self._unseen is not None:
            self._unseen.discard(key)
        known = self._known.get(key)
        if known is None or _meta(known).uid == metadata.uid:
            return []
        return [Change(self._revive(key, self._known.pop(key)), gone=True)]

    def drop(self, metadata: Metadata, last: K | None = None) -> list[Change[K]]:
        """An object was deleted; `last` is its last state where that could be read."""
        key = key_of(metadata)
        known = self._known.get(key)
        if known is None or _meta(known).uid != metadata.uid:
            return []
        del self._known[key]
        if self._unseen is not None:
            self._unseen.discard(key)
        return [Change(self._revive(key, known) if last is None else last, gone=True)]

    def _keep(self, key: Key, item: K) -> None:
        metadata = item.metadata
        self._known[key] = Mark(metadata.uid, metadata.resource_version) if self._tombstone else item

    def _revive(self, key: Key, known: K | Mark) -> K:
        if isinstance(known, Mark):
            if self._tombstone is None:
                raise TypeError("a mark in a store of objects")
            return self._tombstone(key, known)
        return known


def _meta(known: HasMetadata | Mark) -> Mark | Metadata:
    return known if isinstance(known, Mark) else known.metadata
