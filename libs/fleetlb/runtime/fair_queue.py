"""A queue in which no lane can hold up another: lanes take turns, and within a lane the oldest comes first.

Pure data structure: every operation costs O(1). It must not know what the entries or the lanes are.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairQueue(Generic[K]):
    """Entries that wait, one lane for each value of `lane_of`."""

    def __init__(self, lane_of: Callable[[K], Hashable]) -> None:
        """An empty queue."""
        self._lane_of = lane_of
        self._lanes: OrderedDict[Hashable, deque[K]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, entry: K) -> None:
        """Put an entry at the end of its lane."""
        self._lanes.setdefault(self._lane_of(entry), deque()).append(entry)
        self._length += 1

    def pop(self) -> K:
        """Take the oldest entry of the lane whose turn it is. Raises IndexError when empty."""
        if not self._lanes:
            raise IndexError("nothing waits")
        lane = next(iter(self._lanes))
        waiting = self._lanes[lane]
        entry = waiting.popleft()
        if waiting:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        self._length -= 1
        return entry
