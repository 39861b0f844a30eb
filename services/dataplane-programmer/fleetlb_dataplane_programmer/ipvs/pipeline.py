"""Puts the changes of many keys into few sends: whoever has one waits until the loop has nothing better to do.

An operation of one key that is refused does not touch those of others; each submitter learns what became of its own.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from fleetlb_dataplane_programmer.ipvs.exchange import BATCH, Failure
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel, KernelUnavailable, RepliesLost
from fleetlb_dataplane_programmer.ipvs.wire import Operation


class _Submission(NamedTuple):
    operations: Sequence[Operation]
    failures: list[Failure]
    done: "asyncio.Future[None]"


class Pipeline:
    """Group commit for one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        """Nothing is waiting."""
        self._kernel = kernel
        self._waiting: list[_Submission] = []
        self._count = 0

    async def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        """Send, in this order, and return what was refused. Raises RepliesLost, KernelUnavailable."""
        submission = _Submission(operations, [], asyncio.get_running_loop().create_future())
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(submission)
        self._count += len(operations)
        if self._count >= BATCH:
            self._flush()
        await submission.done
        return submission.failures

    def _flush(self) -> None:
        waiting, self._waiting, self._count = self._waiting, [], 0
        flat = [(operation, entry, place) for entry in waiting for place, operation in enumerate(entry.operations)]
        try:
            for start in range(0, len(flat), BATCH):
                part = flat[start : start + BATCH]
                for failure in self._kernel.apply([operation for operation, _, _ in part]):
                    _, entry, place = part[failure.index]
                    entry.failures.append(failure._replace(index=place))
        except (RepliesLost, KernelUnavailable) as problem:
            for entry in waiting:
                if not entry.done.done():
                    entry.done.set_exception(problem)
            return
        for entry in waiting:
            if not entry.done.done():
                entry.done.set_result(None)
