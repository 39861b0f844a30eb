"""From what the kernel holds for one virtual server to what it should: the operations, in order. Pure.

A plan may be cut after any operation and made anew from what is there then; it ends the same (tests: test_diffing.py).
New destinations come before old ones leave, so that there is never less to choose from than before or after.

A destination that leaves is drained: its weight is 0, and the time at which its connections are cut stands beside it in
the kernel, in the upper threshold, which means nothing at weight 0. So the hard limit outlives this process.
"""

from collections.abc import Iterator, Mapping

import msgspec

from fleetlb_dataplane_programmer.ipvs.entries import Destination, DestinationKey, Load, Service, ServiceKey
from fleetlb_dataplane_programmer.ipvs.translating import Target
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

SETTLE_SECONDS = 2
"""A connection that was being made when the drain began counts as active by then."""
_LOOKS_PER_DRAIN = 8

Destinations = Mapping[DestinationKey, tuple[Destination, Load]]


class Actual(msgspec.Struct, frozen=True):
    """What the kernel holds under one key."""

    service: Service | None = None
    destinations: Destinations = msgspec.field(default_factory=dict)


class Plan(msgspec.Struct, frozen=True):
    """What to do, and in how many seconds to look again because something drains."""

    operations: tuple[Operation, ...] = ()
    look_again: float | None = None


def diff(key: ServiceKey, target: Target | None, actual: Actual, now: int) -> Plan:
    """The operations that lead from `actual` to `target`, None: to nothing. `now`: seconds since 1970."""
    if target is None:
        return Plan((Operation(Command.DEL_SERVICE, key),) if actual.service else ())
    operations: list[Operation] = []
    if actual.service is None:
        operations.append(Operation(Command.NEW_SERVICE, target.service))
    elif actual.service != target.service:
        operations.append(Operation(Command.SET_SERVICE, target.service))
    operations.extend(_wanted(target, actual))
    leaving = [
        _drain(key, destination, load, target.drain_seconds, now)
        for name, (destination, load) in actual.destinations.items()
        if name not in target.destinations
    ]
    operations.extend(operation for operation, _ in leaving if operation is not None)
    looks = [seconds for _, seconds in leaving if seconds is not None]
    return Plan(tuple(operations), min(looks, default=None))


def is_as_asked(target: Target | None, actual: Actual) -> bool:
    """Whether the kernel holds exactly this, and beside it nothing but destinations that drain."""
    if target is None or actual.service is None:
        return target is None and actual.service is None
    rest = [item for name, (item, _) in actual.destinations.items() if name not in target.destinations]
    if actual.service != target.service or any(item.weight or not item.upper_threshold for item in rest):
        return False
    return next(_wanted(target, actual), None) is None


def _wanted(target: Target, actual: Actual) -> Iterator[Operation]:
    key = target.service.key
    for name, wanted in target.destinations.items():
        held = actual.destinations.get(name)
        if held is None:
            yield Operation(Command.NEW_DESTINATION, key, wanted)
        elif held[0] != wanted:
            yield Operation(Command.SET_DESTINATION, key, wanted)


def _drain(
    key: ServiceKey, held: Destination, load: Load, drain_seconds: int, now: int
) -> tuple[Operation | None, float | None]:
    """What to do about a destination that leaves, and when to look at it again."""
    delete = Operation(Command.DEL_DESTINATION, key, held.key)
    if not drain_seconds:
        return delete, None
    latest = now + drain_seconds
    if held.weight or not held.upper_threshold or held.upper_threshold > latest:
        begun = msgspec.structs.replace(held, weight=0, upper_threshold=latest, lower_threshold=0)
        return Operation(Command.SET_DESTINATION, key, begun), min(SETTLE_SECONDS, drain_seconds)
    left = held.upper_threshold - now
    if left <= 0 or (left <= drain_seconds - SETTLE_SECONDS and not load.active):
        return delete, None
    return None, min(left, max(SETTLE_SECONDS, left / _LOOKS_PER_DRAIN))
