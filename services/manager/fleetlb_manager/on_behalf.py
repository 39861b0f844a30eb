"""Under whose authority a run of a worker acts: that over the partition of the tenant that the run is about.

Every run is begun for one key, so one authority holds for all that it writes, also where it works on something shared.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from fleetlb_manager.workbench import Authority

K = TypeVar("K")
_PRESENT: ContextVar[Authority | None] = ContextVar("authority", default=None)


class OnBehalf:
    """The authority of whatever run asks; outside of a run there is none."""

    @property
    def generation(self) -> int:
        """The fencing generation that every write of the run carries."""
        present = _PRESENT.get()
        return present.generation if present else 0

    @property
    def acting(self) -> bool:
        """Whether the run may go on."""
        present = _PRESENT.get()
        return present is not None and present.acting

    def rise_above(self, generation: int) -> None:
        """Somebody has used this generation: the partition must go on under a higher one."""
        present = _PRESENT.get()
        if present is not None:
            present.rise_above(generation)


@contextmanager
def under(authority: Authority) -> Iterator[None]:
    """Whatever is done in this block is done under this authority."""
    token = _PRESENT.set(authority)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def acting_for(
    authority_of: Callable[[K], Authority],
    work: Callable[[K], Awaitable[float | None]],
    *,
    otherwise: Callable[[K], float | None] = lambda key: None,
) -> Callable[[K], Awaitable[float | None]]:
    """The same work, done where this process acts for a key; elsewhere `otherwise`."""

    async def run(key: K) -> float | None:
        authority = authority_of(key)
        if not authority.acting:
            return otherwise(key)
        with under(authority):
            return await work(key)

    return run
