"""A host on the link that asks who has an address, again and again, and remembers who answered which question (P3)."""

import asyncio
import ipaddress
import itertools
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from fleetlb.testkit.namespaces import Namespace

_ARP = 0x0806
_ALL = b"\xff" * 6
_NAMES = "10.10.0.64/26"


class Question:
    """One question: when it was asked, and when which hardware addresses answered it, however late."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.answers: list[tuple[float, bytes]] = []

    @property
    def who(self) -> set[bytes]:
        """Everybody who answered it."""
        return {mac for _, mac in self.answers}


class Asker:
    """Asks by ARP for one IPv4 address on an interface. Use `run` as a task.

    Each question is asked in the name of another host, by which its answers are known: an answer that comes late is not
    taken for one to a later question.
    """

    def __init__(self, place: Namespace, interface: str, address: str, seconds: float = 0.05) -> None:
        """`seconds`: between two questions."""
        self._seconds = seconds
        self._names = itertools.cycle([each.packed for each in ipaddress.ip_network(_NAMES)])
        self._asked: dict[bytes, Question] = {}
        with place.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
            self._socket.bind((interface, _ARP))
        self._socket.setblocking(False)
        self._mac: bytes = self._socket.getsockname()[4]
        self._address = socket.inet_aton(address)
        self.questions: list[Question] = []

    async def run(self) -> None:
        """Ask for ever."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._on_readable)
        try:
            while True:
                name, question = next(self._names), Question(time.monotonic())
                self._asked[name] = question
                self.questions.append(question)
                self._socket.send(self._request(name))
                await asyncio.sleep(self._seconds)
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()

    def answered_by(self, since: float = 0.0) -> set[bytes]:
        """Everybody who answered a question that was asked since."""
        return {mac for question in self.questions if question.at >= since for mac in question.who}

    def overlaps(self) -> Iterator[Question]:
        """The questions that more than one answered."""
        return (question for question in self.questions if len(question.who) > 1)

    def _request(self, name: bytes) -> bytes:
        fixed = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        return _ALL + self._mac + _ARP.to_bytes(2, "big") + fixed + self._mac + name + bytes(6) + self._address

    def _on_readable(self) -> None:
        while True:
            try:
                frame = self._socket.recv(128)
            except BlockingIOError:
                return
            is_reply = frame[20:22] == b"\0\2" and frame[28:32] == self._address and frame[32:38] == self._mac
            if is_reply and (question := self._asked.get(frame[38:42])):
                question.answers.append((time.monotonic(), frame[22:28]))


def overlapping(answers: Sequence[tuple[float, bytes]]) -> float:
    """Seconds for which two answered while one took over from another: from the first answer of the later one to the
    last of the earlier. `answers`: when and who, of one takeover."""
    ordered = sorted(answers)
    if not ordered:
        return 0.0
    earlier = ordered[0][1]
    begun = next((at for at, who in ordered if who != earlier), None)
    return 0.0 if begun is None else max(0.0, max(at for at, who in ordered if who == earlier) - begun)
