"""A client that sends datagrams of one flow at a steady pace, and which of them were answered."""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from fleetlb.testkit.namespaces import Namespace

_EARLIER_SECONDS = 0.1
_UNDER_WAY, _LAST = 5, 10


class Loss(NamedTuple):
    """What a client misses."""

    datagrams: int
    seconds: float
    """From sending the first that is lost until sending the next that is answered, the longest time of all; 0.0 if none
    is lost, infinite if no later one is answered."""


def loss_of(sent: Sequence[float], answered: set[int]) -> Loss:
    """`sent`: when, in order. `answered`: by their place in it."""
    longest, first = 0.0, None
    for number, at in enumerate(sent):
        if number not in answered:
            first = at if first is None else first
        elif first is not None:
            longest, first = max(longest, at - first), None
    return Loss(len(sent) - len(answered & set(range(len(sent)))), longest if first is None else float("inf"))


class Flow:
    """It sends within a block, from a thread: what else the test does disturbs its pace little."""

    def __init__(self, place: Namespace, end: tuple[str, int], source: tuple[str, int], seconds: float = 0.01) -> None:
        """`end`: who returns each datagram. `seconds`: between two."""
        with place.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(source)
        self._socket.connect(end)
        self._seconds = seconds
        self._sent: list[float] = []
        self._answered: set[int] = set()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.set()
        self._thread.join()
        self._socket.close()

    def is_answered(self) -> bool:
        """Whether each of the last ten was."""
        judged = self._judged()
        return judged >= _LAST and all(number in self._answered for number in range(judged - _LAST, judged))

    def loss(self, since: float, until: float) -> Loss:
        """Of what was sent in this time, and shortly before it."""
        sent = self._sent[: self._judged()]
        numbers = [number for number, at in enumerate(sent) if since - _EARLIER_SECONDS <= at < until]
        return loss_of([sent[n] for n in numbers], {place for place, n in enumerate(numbers) if n in self._answered})

    def _judged(self) -> int:
        """How many were sent, but for the very last ones, whose answers may be under way."""
        return len(self._sent) - _UNDER_WAY

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ends.is_set():
            due = max(due + self._seconds, time.monotonic())
            number = len(self._sent)
            self._sent.append(time.monotonic())
            with contextlib.suppress(OSError):  # there is no way, or a host says so of an earlier one
                self._socket.send(number.to_bytes(8))
            self._receive(due)

    def _receive(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self._answered.add(int.from_bytes(self._socket.recv(64)))
            except OSError:  # in time there was none, or a host on the way says that it cannot be had
                continue
