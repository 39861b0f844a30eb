"""Keeps marks of the management cluster's store on the bus: one last message for each Lease, in a stream on disk.

It must not know what a mark is good for.
"""

import asyncio

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import MARKS_STREAM
from fleetlb.contracts.v1 import StoreMarked
from fleetlb.domain.errors import Poison, Transient
from fleetlb.runtime.bus import Bus, Message, StreamMissing

READ_SECONDS = 10.0


class BusMarks:
    """Marks by the name of the Lease."""

    def __init__(self, bus: Bus) -> None:
        """Over this bus."""
        self._bus = bus

    async def read(self, lease: str) -> StoreMarked | None:
        """The last mark; None: there is none, or none that can be read. Raises Transient."""
        await self._bus.ensure_stream(MARKS_STREAM)
        found: list[Message] = []
        replayed = asyncio.Event()
        try:
            async with asyncio.timeout(READ_SECONDS), asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(
                    self._bus.replay_and_follow(
                        MARKS_STREAM.name,
                        subjects.marked(lease),
                        found.append,
                        on_replayed=replayed.set,
                        on_restart=found.clear,
                    )
                )
                await replayed.wait()
                last = found[-1] if found else None
                reading.cancel()
        except TimeoutError:
            raise Transient(f"stream {MARKS_STREAM.name} could not be read in {READ_SECONDS:g} s") from None
        try:
            return codec.decode(StoreMarked, last.data) if last is not None else None
        except Poison:
            return None

    async def write(self, lease: str, mark: StoreMarked) -> None:
        """Replace the mark. Raises Transient."""
        subject, body = subjects.marked(lease), codec.encode(mark)
        name = f"{lease}-{mark.generation}-{mark.version}"  # versions come again after a restore, generations do not
        try:
            await self._bus.publish(subject, body, message_id=name)
        except StreamMissing:
            await self._bus.ensure_stream(MARKS_STREAM)
            await self._bus.publish(subject, body, message_id=name)
