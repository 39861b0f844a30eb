"""What the processes do to the world outside of them, one after the other, and what fate awaits whoever does it."""

import asyncio
import enum
import hashlib
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Killed(BaseException):
    """The process that runs into this is no more. No product code may catch it."""


class Fate(enum.StrEnum):
    """What becomes of a process right after one of its effects, before it learns of the outcome."""

    KILLED = "killed"
    UNANSWERED = "unanswered"
    """It lives on, and is told that the outcome is unknown."""


class Doer(Protocol):
    """A process, as far as its end goes."""

    name: str

    def end(self) -> None:
        """From now on nothing that it does has any effect."""


class Effect(NamedTuple):
    """One effect. `number` is 0 where effects are not counted."""

    number: int
    who: str
    what: str
    has_answer: bool
    """Whether its doer waits for an answer that can be lost."""
    is_resting: bool
    """Whether it goes on at rest too, such as the renewal of a Lease."""


class Effects:
    """Numbers effects from 1 once it is told to, and has processes meet their fates."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: virtual seconds, for the trace."""
        self.done: list[Effect] = []
        self.fate_of: Callable[[int], Fate | None] = lambda number: None
        """What is to become of who does the effect of a number."""
        self.met: list[str] = []
        """Fates that were met, in words."""
        self.after_each: list[Callable[[], None]] = []
        self.last_at = 0.0
        """When the last effect happened that has a number."""
        self.is_counting = False
        self._now = now
        self._count = 0
        self._trace = hashlib.sha256()

    @property
    def count(self) -> int:
        """How many effects have a number."""
        return self._count

    @property
    def digest(self) -> str:
        """Of every effect, its doer, its time and its content."""
        return self._trace.hexdigest()

    async def answer(self, doer: Doer, what: str, content: bytes, lost: Exception, *, resting: bool = False) -> None:
        """An effect has happened; return when its doer may know. Raises `lost` where its answer is."""
        match self._note(doer, what, content, resting=resting, has_answer=True):
            case Fate.KILLED:
                doer.end()
                await asyncio.Event().wait()
            case Fate.UNANSWERED:
                raise lost

    def tell(self, doer: Doer, what: str, content: bytes = b"") -> None:
        """The same where the answer comes at once. Raises Killed."""
        if self._note(doer, what, content, resting=False, has_answer=False) is Fate.KILLED:
            doer.end()
            raise Killed

    def _note(self, doer: Doer, what: str, content: bytes, *, resting: bool, has_answer: bool) -> Fate | None:
        number = 0
        if not resting:
            self.last_at = self._now()
            if self.is_counting:
                self._count += 1
                number = self._count
        self.done.append(Effect(number, doer.name, what, has_answer, resting))
        self._trace.update(f"{self._now():.6f} {doer.name} {what} ".encode() + content + b"\n")
        for check in self.after_each:
            check()
        fate = self.fate_of(number) if number else None
        if fate is not None:
            self.met.append(f"{doer.name} {fate} after effect {number}: {what}")
        return fate
