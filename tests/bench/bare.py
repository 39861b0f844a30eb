"""What the engine is measured against: prepared bytes and a count of answers, `ipvsadm -R`, and pyroute2."""

import socket
import struct
import subprocess
import time
from collections.abc import Sequence

from pyroute2 import IPVS, IPVSDest, IPVSService

from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_dataplane_programmer.ipvs.netlink import (
    Flag,
    Frame,
    encode_message,
    family_number,
    family_request,
    read_datagram,
)
from fleetlb_dataplane_programmer.ipvs.wire import FAMILY_NAME, Operation, encode_operation

PER_SEND = 64
_GENERIC, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SOCKET_BYTES = 16, 32, 33, 8 << 20
_ANSWER = struct.Struct("=IHHIIi")
_NLMSG_ERROR = 2
_SECONDS = 120


def prepare(family: int, operations: Sequence[Operation], *, answer_each: bool) -> list[tuple[bytes, int]]:
    """Sends, with the number of answers to each: to every message, or only to the last of a send."""
    sends: list[tuple[bytes, int]] = []
    for start in range(0, len(operations), PER_SEND):
        part = operations[start : start + PER_SEND]
        messages = [
            encode_message(
                family,
                operation.command,
                Flag.REQUEST | Flag.ACK if answer_each or place == len(part) else Flag.REQUEST,
                place,
                encode_operation(operation),
            )
            for place, operation in enumerate(part, start=1)
        ]
        sends.append((b"".join(messages), len(part) if answer_each else 1))
    return sends


class Bare:
    """A generic-netlink socket that sends what was prepared."""

    def __init__(self) -> None:
        """In the network namespace of the caller."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
        self._socket.bind((0, 0))
        self._buffer = bytearray(1 << 16)
        self._socket.send(family_request(FAMILY_NAME, 1))
        answers = list(read_datagram(memoryview(self._socket.recv(1 << 16))))
        self._socket.recv(1 << 16)  # its acknowledgement
        self.family = next(family_number(answer.body) for answer in answers if isinstance(answer, Frame))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def load(self, sends: Sequence[tuple[bytes, int]]) -> float:
        """Seconds until everything was answered."""
        send, receive, buffer, unpack = self._socket.send, self._socket.recv_into, self._buffer, _ANSWER.unpack_from
        began = time.perf_counter()
        for data, answers in sends:
            send(data)
            for _ in range(answers):
                receive(buffer)
                _, kind, _, _, _, error = unpack(buffer)
                if kind != _NLMSG_ERROR or error:
                    raise AssertionError(f"the kernel refused: {kind} {error}")
        return time.perf_counter() - began


def ipvsadm_restore(text: str) -> float:
    """Seconds of `ipvsadm -R`, its start included."""
    began = time.perf_counter()
    subprocess.run(["ipvsadm", "-R"], input=text, text=True, check=True, timeout=_SECONDS)
    return time.perf_counter() - began


def ipvsadm_clear() -> None:
    """`ipvsadm -C`."""
    subprocess.run(["ipvsadm", "-C"], check=True, timeout=_SECONDS)


def pyroute2_add(servers: Sequence[VirtualServer]) -> float:
    """Seconds to add them one call after the other, as it knows no batches. Not to be called where a loop runs."""
    with IPVS() as ipvs:
        began = time.perf_counter()
        for server in servers:
            key = server.key
            service = IPVSService(
                addr=key.address, port=key.port, protocol=socket.IPPROTO_TCP, sched_name=server.scheduler.value
            )
            ipvs.service("add", service=service)
            for real in server.real_servers:
                dest = IPVSDest(addr=real.address, port=real.port, fwd_method=0, weight=real.weight)
                ipvs.dest("add", service=service, dest=dest)
        return time.perf_counter() - began
