"""A netlink socket that answers from a script, in place of the operating system's."""

import errno
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from tests.unit.fleetlb_dataplane_programmer.ipvs.golden_bytes import REPLIES

KERNEL = 0


class Datagram(NamedTuple):
    """What one receive gives; `sender` is the port id, 0 the kernel's."""

    data: bytes
    sender: int = KERNEL
    is_cut: bool = False


Event = Datagram | bytes | OSError
Answer = Callable[[int], list[Event]]
"""Sequence number of a request to what is received after it was sent."""


def numbered(datagram: bytes, sequence: int) -> bytes:
    """The datagram as the answer to the request of that number."""
    data, offset = bytearray(datagram), 0
    while offset < len(data):
        struct.pack_into("=I", data, offset + 8, sequence)
        offset += (struct.unpack_from("=I", data, offset)[0] + 3) & ~3
    return bytes(data)


def recorded(name: str) -> Answer:
    """As a real kernel answered."""
    return lambda sequence: [numbered(datagram, sequence) for datagram in REPLIES[name]]


def refused(error: int) -> Answer:
    """An error in place of an answer."""
    return lambda sequence: [struct.pack("=IHHIIi16x", 36, 2, 0x100, sequence, 1, -error)]


def joined(*answers: Answer) -> Answer:
    """One after the other."""
    return lambda sequence: [event for answer in answers for event in answer(sequence)]


def nothing(sequence: int) -> list[Event]:
    """Silence."""
    return []


class ScriptedSocket:
    """Answers each send with the next of `answers`; a receive with nothing left runs into the timeout."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []
        self.options: dict[tuple[int, int], int | bytes] = {}
        self.refused_options: dict[tuple[int, int], OSError] = {}
        self.is_bound = self.is_closed = False
        self._waiting: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def sequences(self) -> list[int]:
        """The number of the first message of each send."""
        return [struct.unpack_from("=I", request, 8)[0] for request in self.sent]

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if problem := self.refused_options.get((level, option)):
            raise problem
        self.options[level, option] = value

    def bind(self, address: tuple[int, int]) -> None:
        assert address == (0, 0)
        self.is_bound = True

    def close(self) -> None:
        self.is_closed = True

    def send(self, request: bytes) -> int:
        self.sent.append(request)
        # Several messages in one send: what is asked for is the last one's acknowledgement.
        last, offset = 0, 0
        while offset < len(request):
            length, _, _, last = struct.unpack_from("=IHHI", request, offset)
            offset += (length + 3) & ~3
        self._waiting.extend(self.answers.pop(0)(last))
        return len(request)

    def recvmsg_into(self, buffers: list[bytearray]) -> tuple[int, list[bytes], int, tuple[int, int]]:
        found = self._next()
        buffers[0][: len(found.data)] = found.data
        return len(found.data), [], socket.MSG_TRUNC if found.is_cut else 0, (found.sender, 0)

    def recv_into(self, buffer: bytearray, size: int, flags: int) -> int:
        assert flags == socket.MSG_DONTWAIT
        return len(self._next().data)

    def _next(self) -> Datagram:
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        found = self._waiting.pop(0)
        if isinstance(found, OSError):
            raise found
        return found if isinstance(found, Datagram) else Datagram(found)
