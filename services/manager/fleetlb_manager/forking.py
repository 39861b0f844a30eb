"""Copies of bookkeeping, to try something out on: whatever may change is copied, whatever is frozen is shared. Pure.

Knows containers, objects of the bookkeeping's own packages and the methods of such; anything else is an error, so that
nothing is ever shared unnoticed that one side might change.
"""

import enum
from collections import Counter, OrderedDict
from collections.abc import Iterable
from types import FunctionType, MethodType, NoneType
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

_OURS = ("fleetlb_manager.", "fleetlb.domain.")
_MAPPINGS = frozenset({dict, OrderedDict, Counter})
_PLAIN: set[type] = {str, int, float, bool, bytes, NoneType, FunctionType, range, frozenset, tuple}
"""Types whose values never change; those of our own are added as they are met."""


class Fork:
    """One copy in the making: of whatever hangs together."""

    def __init__(self, *shared: object) -> None:
        """`shared`: what is not copied, because nothing will change it."""
        self._made: dict[int, Any] = {id(value): value for value in shared}

    def replace(self, value: object, by: object) -> None:
        """Wherever one object stood, the copy has another."""
        self._made[id(value)] = by

    def of(self, value: T) -> T:
        """The copy of an object, made once. O(n), little more than copies of containers. Raises TypeError for what is
        neither known as frozen nor as ours.
        """
        return cast(T, self._of(value))

    def _of(self, value: Any) -> Any:
        kind = type(value)
        if id(value) in self._made:
            return self._made[id(value)]
        if _is_plain(kind):
            return value
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self._of(value.__self__))
        if kind in _MAPPINGS:
            return self._mapping(value)
        if kind in (set, list):
            made = self._made[id(value)] = value.copy()
            if not _are_plain(value):
                made.clear()
                made.update(map(self._of, value)) if kind is set else made.extend(map(self._of, value))
            return made
        if kind.__module__.startswith(_OURS) and hasattr(value, "__dict__"):
            made = self._made[id(value)] = object.__new__(kind)
            made.__dict__.update({name: self._of(part) for name, part in vars(value).items()})
            return made
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__} cannot be copied to try something out on")

    def _mapping(self, value: Any) -> Any:
        made = self._made[id(value)] = value.copy()
        if not _are_plain(value.values()):
            for key, part in value.items():
                made[key] = self._of(part)
        return made


def _are_plain(values: Iterable[object]) -> bool:
    """Whether all are of types known as plain: asked once for each type, not for each value."""
    kinds = set(map(type, values))
    return kinds <= _PLAIN or all(map(_is_plain, kinds))


def _is_plain(kind: type) -> bool:
    """Whether values of a type never change: frozen structs, named tuples and enumerations are plain, and so are
    tuples, in which nothing else stands."""
    if kind in _PLAIN:
        return True
    is_frozen = issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen
    if is_frozen or issubclass(kind, (enum.Enum, tuple)):
        _PLAIN.add(kind)
        return True
    return False
