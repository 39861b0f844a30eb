"""The kernel's IPVS table over a generic-netlink socket. Decides nothing, and never gives half a table for a whole one.

Calls block, but the kernel answers within the send: a batch of 64 takes a few milliseconds. The socket belongs to the
network namespace in which it is opened.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import prometheus_client

from fleetlb.domain.errors import Transient
from fleetlb_dataplane_programmer.ipvs import netlink, wire
from fleetlb_dataplane_programmer.ipvs.entries import Destination, Info, Load, Service, ServiceKey, Timeouts
from fleetlb_dataplane_programmer.ipvs.exchange import BATCH, Batch, Failure, Query
from fleetlb_dataplane_programmer.ipvs.netlink import Malformed
from fleetlb_dataplane_programmer.ipvs.wire import FAMILY_NAME, Command, Operation

WRITES = prometheus_client.Counter("fleetlb_ipvs_writes_total", "Changes sent to the kernel's IPVS table.")
RESYNCS = prometheus_client.Counter(
    "fleetlb_ipvs_lost_replies_total", "Conversations with the kernel that had to be begun again.", ["cause"]
)

_BUFFER_BYTES = 1 << 17  # a dump's datagrams are at most 32 KiB; a fresh buffer per receive costs ten times the dump
_SOCKET_BYTES = 8 << 20
_SECONDS = 5
_TEXT = "/proc/thread-self/net/ip_vs"
_HEAD_BYTES = 4096
_DUMP_TRIES = 5
_DRAINED_DATAGRAMS = 1 << 14
_NETLINK_GENERIC, _SOL_NETLINK, _CAP_ACK, _EXT_ACK = 16, 270, 10, 11
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
Entry = TypeVar("Entry")


class KernelUnavailable(Transient):
    """There is no IPVS to talk to, or no right to: the text names the cure."""


class RepliesLost(Transient):
    """It is not known what the kernel did: read the table again."""


class _Conversation(Protocol):
    @property
    def request(self) -> bytes: ...
    @property
    def is_done(self) -> bool: ...
    def feed(self, datagram: memoryview) -> None: ...


class Kernel:
    """The IPVS table of one network namespace."""

    def __init__(self) -> None:
        """Open the socket here and now. Raises KernelUnavailable, also for want of the right to change the table."""
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._sequence = 0
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(_open())
            try:
                self._family = self._resolve()
                self.info()
                self._text = os.open(_TEXT, os.O_RDONLY | os.O_CLOEXEC)
            except RepliesLost as problem:
                raise KernelUnavailable(str(problem)) from problem
            except OSError as problem:
                raise KernelUnavailable(f"{_TEXT} cannot be read: {problem}") from problem
            undo.pop_all()

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._socket.close()
        os.close(self._text)

    def text(self) -> bytes:
        """The whole table as text, which costs a fiftieth of reading it entry by entry. Raises OSError."""
        os.lseek(self._text, 0, os.SEEK_SET)
        parts: list[bytes] = []
        while part := os.read(self._text, _BUFFER_BYTES):
            parts.append(part)
        return b"".join(parts)

    def head(self) -> bytes:
        """The first lines of the table as text, which cost next to nothing however many follow. Raises OSError."""
        os.lseek(self._text, 0, os.SEEK_SET)
        return os.read(self._text, _HEAD_BYTES)

    def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        """Send changes, at most `BATCH`, and return what the kernel refused. Raises RepliesLost."""
        if not 0 < len(operations) <= BATCH:
            raise ValueError(f"a batch has 1 to {BATCH} operations, not {len(operations)}")
        WRITES.inc(len(operations))
        batch = Batch(self._family, self._next(len(operations)), operations)
        self._converse(batch)
        return batch.failures

    def services(self) -> list[Service]:
        """Every service, also those of others, but for protocols that have no name here. Raises RepliesLost."""
        return self._dump(Command.GET_SERVICE, wire.decode_service, lambda service: service.key)

    def destinations(self, key: ServiceKey) -> list[tuple[Destination, Load]]:
        """The destinations of a service; none, too, if there is no such service. Raises RepliesLost."""
        named = wire.encode_service(key)
        return self._dump(Command.GET_DESTINATION, wire.decode_destination, lambda entry: entry[0].key, named)

    def service(self, key: ServiceKey) -> Service | None:
        """One service. Raises RepliesLost."""
        return self._ask(Command.GET_SERVICE, wire.decode_service, wire.encode_service(key))

    def info(self) -> Info:
        """What IPVS it is. Raises RepliesLost."""
        return self._answer(Command.GET_INFO, wire.decode_info)

    def timeouts(self) -> Timeouts:
        """Idle times of connections. Raises RepliesLost."""
        return self._answer(Command.GET_CONFIG, wire.decode_timeouts)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Change them. Raises RepliesLost, also if the kernel refuses."""
        self._ask(Command.SET_CONFIG, wire.decode_timeouts, wire.encode_timeouts(timeouts))

    def flush(self) -> None:
        """Remove every entry, also those of others: for tests and benchmarks. Raises RepliesLost."""
        self.apply([Operation(Command.FLUSH)])

    def _answer(self, command: Command, decode: Callable[[memoryview], Entry]) -> Entry:
        """What there is always one of."""
        found = self._ask(command, decode)
        if found is None:
            raise RepliesLost(f"IPVS {command.name} was answered with nothing")
        return found

    def _ask(
        self, command: Command, decode: Callable[[memoryview], Entry | None], attributes: bytes = b""
    ) -> Entry | None:
        """A question with one answer; none if the kernel says that the thing is not there."""
        query = Query(self._family, self._next(), command, decode, attributes, is_dump=False)
        self._converse(query)
        if query.error in (errno.ESRCH, errno.ENOENT):
            return None
        if query.error in (errno.EPERM, errno.EACCES):
            raise KernelUnavailable(_NO_RIGHT)
        if query.error:
            raise RepliesLost(f"IPVS {command.name} failed: {os.strerror(query.error)}")
        return query.entries[0] if query.entries else None

    def _dump(
        self,
        command: Command,
        decode: Callable[[memoryview], Entry | None],
        name: Callable[[Entry], object],
        attributes: bytes = b"",
    ) -> list[Entry]:
        """Many entries. Where the table changes between two parts of a dump the kernel silently leaves entries out or
        repeats them, for it goes on by counting (ip_vs_ctl.c): what came in parts must come out twice the same."""
        earlier: list[object] | None = None
        for _ in range(_DUMP_TRIES):
            query = Query(self._family, self._next(), command, decode, attributes)
            try:
                self._converse(query)
            except RepliesLost:
                continue
            if query.error or query.is_interrupted:
                RESYNCS.labels("interrupted" if query.is_interrupted else "refused").inc()
                continue
            names = [name(entry) for entry in query.entries]
            if query.parts < 2 or (names == earlier and len(names) == len(set(names))):
                return query.entries
            if earlier is not None:
                RESYNCS.labels("changed").inc()
            earlier = names
        raise RepliesLost(f"IPVS {command.name} could not be read as a whole in {_DUMP_TRIES} tries")

    def _converse(self, conversation: _Conversation) -> None:
        """Send and receive until everything is answered."""
        try:
            self._socket.send(conversation.request)
            while not conversation.is_done:
                size, _, flags, sender = self._socket.recvmsg_into([self._buffer])
                if sender[0]:  # another process may send to this socket too: only the kernel is believed
                    continue
                if flags & socket.MSG_TRUNC:
                    raise Malformed("a datagram was longer than the buffer")
                conversation.feed(self._view[:size])
        except Malformed as problem:
            raise self._lost("malformed", str(problem)) from None
        except BlockingIOError:
            raise self._lost("timeout", f"no answer within {_SECONDS} s") from None
        except OSError as problem:
            raise self._lost("overrun" if problem.errno == errno.ENOBUFS else "socket", str(problem)) from problem

    def _lost(self, cause: str, problem: str) -> RepliesLost:
        """Reads away what is still on its way and belongs to nobody now: beside a dump that was left half read the
        kernel would refuse the next one (EBUSY)."""
        RESYNCS.labels(cause).inc()
        for _ in range(_DRAINED_DATAGRAMS):
            try:
                self._socket.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
            except OSError as end:
                if end.errno != errno.ENOBUFS:
                    break
        return RepliesLost(f"the conversation with IPVS broke off: {problem}")

    def _next(self, count: int = 1) -> int:
        """The first of so many fresh sequence numbers."""
        if self._sequence > 0x7FFFFFFF:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    def _resolve(self) -> int:
        query = Query(netlink.GENL_ID_CTRL, self._next(), Command.GET_INFO, netlink.family_number, is_dump=False)
        query.request = netlink.family_request(FAMILY_NAME, self._sequence)
        self._converse(query)
        if query.error or not query.entries:
            raise KernelUnavailable(_NO_IPVS)
        return query.entries[0]


_NO_IPVS = "this kernel has no IPVS: load the module ip_vs on the balancer node (modprobe ip_vs), or use engine envoy"
_NO_RIGHT = "IPVS may not be changed by this process: give it the capability CAP_NET_ADMIN"


def _open() -> socket.socket:
    with contextlib.ExitStack() as undo:
        try:
            opened = undo.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC))
            for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
                with contextlib.suppress(PermissionError):  # the first question will say it better
                    opened.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
            opened.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
            opened.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            # A timeout of Python's own would cost one more system call for each receive.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _SECONDS, 0))
            opened.bind((0, 0))
        except OSError as problem:
            raise KernelUnavailable(f"no netlink socket can be had: {problem}") from problem
        undo.pop_all()
    return opened
