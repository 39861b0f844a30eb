"""Spreads partitions evenly over the managers that live: who holds two more than another hands one over.

What each holds is told over the bus, and is a hint: it decides over who works, never over who may. A hint may be wrong:
one partition is handed over at a time, the next only when somebody has taken it; if nobody did, hints are not believed
for a while. A manager that could not take one says nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, Protocol

import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import PartitionsHeld
from fleetlb.domain.errors import Poison, Transient
from fleetlb.kube.leases import Clock, LeaseHolder
from fleetlb.runtime.bus import Message, MessageHandler

TELL_SECONDS = 3.0
FORGET_SECONDS = 10.0
"""A manager that said nothing for so long is not counted on."""
ABSTAIN_SECONDS = 6.0
"""So long a partition that was handed over is left to others, who look every two seconds."""
DISTRUST_SECONDS = 300.0
"""For so long no hint is believed after nobody took what was handed over."""

log = structlog.get_logger(__name__)


class HintBus(Protocol):
    """What is needed of a bus."""

    async def notify(self, subject: str, body: bytes) -> None:
        """Send to whoever listens. Raises Transient."""

    async def listen(self, subject: str, handler: MessageHandler) -> None:
        """Call the handler for every message of a subject, from now on."""


def has_too_many(mine: int, others: Iterable[int]) -> bool:
    """Whether another would hold no more than this one if it took one of these."""
    fewest = min(others, default=mine)
    return mine - fewest >= 2


class Members:
    """How many partitions each other manager holds, as last heard."""

    def __init__(self) -> None:
        """Nobody."""
        self._held: dict[str, tuple[int, float]] = {}

    def note(self, said: PartitionsHeld, now: float) -> None:
        """A manager said what it holds. `now`: monotonic seconds."""
        self._held[said.identity] = len(said.partitions), now

    def living(self, now: float) -> list[int]:
        """What those hold who were heard not long ago."""
        self._held = {name: (held, at) for name, (held, at) in self._held.items() if now - at < FORGET_SECONDS}
        return [held for held, _ in self._held.values()]


class Spreading:
    """Tells others what this process holds, and hands over what is too much."""

    def __init__(
        self,
        bus: HintBus,
        leases: Sequence[LeaseHolder],
        identity: str,
        clock: Clock,
        *,
        may_take: Callable[[], bool],
    ) -> None:
        """`leases`: one for each partition, by number; `may_take`: whether this process would act under one more."""
        self._bus = bus
        self._leases = leases
        self._identity = identity
        self._clock = clock
        self._may_take = may_take
        self._members = Members()
        self._offered: int | None = None
        """The partition that was handed over, until somebody has it."""
        self._trusts_from = 0.0

    async def run(self) -> NoReturn:
        """Spread for ever."""
        await self._bus.listen(subjects.HELD, self._hear)
        while True:
            await self.step()
            await asyncio.sleep(TELL_SECONDS)

    async def step(self) -> None:
        """Tell what is held, and hand one partition over if that is too much."""
        held = tuple(number for number, lease in enumerate(self._leases) if lease.is_valid())
        if self._may_take() and not any(lease.is_failing for lease in self._leases):
            await self._tell(held)
        now = self._clock.monotonic()
        self._look_at_offer(now)
        if self._offered is not None or now < self._trusts_from:
            return
        if has_too_many(len(held), self._members.living(now)):
            self._offered = held[-1]
            log.info("handing a partition over to a manager that holds fewer", partition=self._offered)
            self._leases[self._offered].hand_over(ABSTAIN_SECONDS)

    async def _tell(self, held: tuple[int, ...]) -> None:
        try:
            await self._bus.notify(
                subjects.HELD, codec.encode(PartitionsHeld(identity=self._identity, partitions=held))
            )
        except Transient as problem:
            log.debug("nobody can be told which partitions are held", problem=str(problem))

    def _look_at_offer(self, now: float) -> None:
        """Whether what was handed over has come to somebody: to another one, or back here because nobody took it."""
        if self._offered is None:
            return
        holder = self._leases[self._offered].holder
        if holder and holder != self._identity:
            self._offered = None
        elif self._leases[self._offered].is_valid() and not self._leases[self._offered].is_abstaining:
            log.warning("nobody took a partition that was handed over", partition=self._offered)
            self._offered, self._trusts_from = None, now + DISTRUST_SECONDS

    def _hear(self, message: Message) -> None:
        try:
            said = codec.decode(PartitionsHeld, message.data)
        except Poison as problem:
            log.warning("a manager cannot be understood", problem=str(problem)[:256])
            return
        if said.identity != self._identity:
            self._members.note(said, self._clock.monotonic())
