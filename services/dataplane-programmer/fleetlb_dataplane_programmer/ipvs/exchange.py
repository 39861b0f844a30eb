"""One conversation with the kernel as a state machine: what to send, and what the datagrams that come back mean.

A batch is not atomic: each of its requests succeeds or fails alone, and is told apart by its sequence number. A dump is
whole or nothing: one that was interrupted or cut says so, so that nobody takes what is missing in it for gone.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from fleetlb_dataplane_programmer.ipvs.netlink import Acknowledgement, Flag, Frame, encode_message, read_datagram
from fleetlb_dataplane_programmer.ipvs.wire import FAMILY_VERSION, Command, Operation, encode_operation

BATCH = 64
"""Operations per send: enough to make a system call cheap, few enough for every refusal to fit the socket."""
_CHANGE = Flag.REQUEST.value
_QUESTION = (Flag.REQUEST | Flag.ACK).value
_DUMP = (Flag.REQUEST | Flag.DUMP).value
Entry = TypeVar("Entry")


class Failure(NamedTuple):
    """The kernel's refusal of one operation: its place in the batch, the errno, the kernel's words if it has any."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    error: int
    text: str = ""


class Batch:
    """Up to `BATCH` changes in one send.

    The kernel carries out the messages of a send one after the other, and always answers a refused one. So only the
    last asks for an acknowledgement: it ends the batch, and whoever was not refused by then succeeded. A refusal that
    did not fit the socket is no silence, but an error of the next receive (netlink(7), ENOBUFS).
    """

    def __init__(self, family: int, first_sequence: int, operations: Sequence[Operation]) -> None:
        """`operations`, at least one, get sequence numbers from `first_sequence` on."""
        self._first = first_sequence
        self._last = last = first_sequence + len(operations) - 1
        self.is_done = False
        self.failures: list[Failure] = []
        self.request = b"".join(
            encode_message(
                family,
                operation.command,
                _CHANGE if sequence < last else _QUESTION,
                sequence,
                encode_operation(operation),
                FAMILY_VERSION,
            )
            for sequence, operation in enumerate(operations, start=first_sequence)
        )

    def feed(self, datagram: memoryview) -> None:
        """Take what was received; replies to earlier requests are passed over. Raises Malformed."""
        for message in read_datagram(datagram):
            if not isinstance(message, Acknowledgement) or not self._first <= message.sequence <= self._last:
                continue
            if message.error:
                self.failures.append(Failure(message.sequence - self._first, message.error, message.text))
            self.is_done |= message.sequence == self._last


class Query(Generic[Entry]):
    """One question: a dump of many entries, or a single answer."""

    def __init__(
        self,
        family: int,
        sequence: int,
        command: Command,
        decode: Callable[[memoryview], Entry | None],
        attributes: bytes = b"",
        *,
        is_dump: bool = True,
    ) -> None:
        """`decode` reads one entry, or passes it over with None."""
        self._sequence = sequence
        self._decode = decode
        flags = _DUMP if is_dump else _QUESTION
        self.request = encode_message(family, command, flags, sequence, attributes, FAMILY_VERSION)
        self.entries: list[Entry] = []
        self.parts = 0
        """Datagrams that the entries came in. The kernel holds its table still while it fills one, not between two."""
        self.is_done = False
        self.is_interrupted = False
        """The kernel says that its table changed meanwhile: entries may be missing or stand there twice."""
        self.error = 0
        """The kernel's errno, if it refused."""

    def feed(self, datagram: memoryview) -> None:
        """Take what was received; replies to earlier requests are passed over. Raises Malformed."""
        has_frames = False
        for message in read_datagram(datagram):
            if message.sequence != self._sequence or self.is_done:
                continue
            self.is_interrupted |= message.is_interrupted
            if isinstance(message, Frame):
                has_frames = True
                entry = self._decode(message.body)
                if entry is not None:
                    self.entries.append(entry)
            else:
                self.is_done, self.error = True, message.error
        self.parts += has_frames
