"""What every worker of the manager works with: memory, folding, marks, authority, time.

Holds no behaviour of its own.
"""

from typing import NamedTuple, Protocol

from fleetlb.kube.leases import Clock
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.marking import Marks
from fleetlb_manager.memory import Memory


class Authority(Protocol):
    """Whether this process may act, and under which generation."""

    @property
    def generation(self) -> int:
        """The fencing generation that every write carries."""

    @property
    def acting(self) -> bool:
        """Whether work may be done now."""

    def rise_above(self, generation: int) -> None:
        """Somebody has used this generation: go on under a higher one soon."""


class Workbench(NamedTuple):
    """Shared by all workers of one manager."""

    memory: Memory
    folding: ObjectFolding
    """Answers to writes are folded at once."""
    marks: Marks
    authority: Authority
    clock: Clock
    tracing: Tracing = OFF
