"""Calls VIPs that other nodes announce over one interface, as a client on its link does: asks who has the address, and
asks him for a TCP connection, which is given up once it is taken.

Past the kernel, to which every VIP is its own. Decides nothing. IPv4. Needs CAP_NET_RAW.
"""

import asyncio
import contextlib
import enum
import fcntl
import itertools
import random
import secrets
import socket
import struct
from collections.abc import Iterator

import msgspec

from fleetlb.domain.addresses import parse_address
from fleetlb_dataplane_programmer.layer2 import filtering, segments
from fleetlb_dataplane_programmer.layer2.link import Appearance, LinkUnusable, check_name, look, open_filtered
from fleetlb_dataplane_programmer.layer2.segments import Answer, Call

CLAIM_SECONDS = 1.0
"""For who has the address, and for whoever else says that he has it."""
ANSWER_SECONDS = 1.0
_GET_ADDRESS = 0x8915  # SIOCGIFADDR
_PORTS = range(61001, 65536)
"""Above those that Linux gives to who asks for none; nobody else hears what comes back in any case."""
_READS = 64


class Heard(enum.Enum):
    """What became of a call."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    UNCLAIMED = "unclaimed"
    """Nobody says that he has the address."""


class Outcome(msgspec.Struct, frozen=True):
    """Of one call."""

    heard: Heard
    seconds: float = 0.0
    """From asking for the connection to the answer."""


class _Opened:
    """Sockets on an interface as it looked."""

    def __init__(self, interface: str, appearance: Appearance, address: bytes) -> None:
        self.appearance, self.address = appearance, address
        self.upper_half = secrets.randbelow(0xFFFF) + 1
        with contextlib.ExitStack() as undo:
            arp = filtering.arp_replies()
            self.arp = undo.enter_context(open_filtered(interface, filtering.ETHERTYPE_ARP, arp))
            tcp = filtering.acknowledgements(self.upper_half)
            self.tcp = undo.enter_context(open_filtered(interface, filtering.ETHERTYPE_IPV4, tcp))
            undo.pop_all()

    def close(self) -> None:
        for each in (self.arp, self.tcp):
            each.close()


class Caller:
    """To be used from one event loop, in whose thread's network namespace the interface is."""

    def __init__(self, interface: str) -> None:
        """Raises ValueError for what no interface can be called."""
        self.interface = check_name(interface)
        self._opened: _Opened | None = None
        self._claims: dict[bytes, set[asyncio.Future[bytes]]] = {}
        self._answers: dict[int, tuple[Call, asyncio.Future[Answer]]] = {}
        self._numbers = itertools.cycle(range(0xFFFF))

    @property
    def address(self) -> str:
        """From which it calls. Raises LinkUnusable."""
        return str(parse_address(socket.inet_ntoa(self._ready().address)))

    async def call(self, address: str, port: int) -> Outcome:
        """Call a VIP at a TCP port. Raises LinkUnusable, ValueError for what is no IPv4 address."""
        opened, wanted = self._ready(), socket.inet_aton(address)
        mac = await self._claimed(opened, wanted)
        if mac is None:
            return Outcome(Heard.UNCLAIMED)
        number = opened.upper_half << 16 | next(self._numbers)
        source = random.choice(_PORTS)  # noqa: S311 - so that no flow is taken for an earlier one
        call = Call(opened.appearance.mac, opened.address, source, mac, wanted, port, number)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        self._answers[number] = (call, answered)
        began = loop.time()
        try:
            self._send(opened.tcp, segments.opening(call))
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await answered
        except TimeoutError:
            return Outcome(Heard.SILENT)
        finally:
            del self._answers[number]
        if answer.is_open:
            self._send(opened.tcp, segments.abandoning(call))
        return Outcome(Heard.OPEN if answer.is_open else Heard.REFUSED, loop.time() - began)

    def close(self) -> None:
        """Close what is open; a later call opens it anew."""
        if self._opened is not None:
            loop = asyncio.get_running_loop()
            for each in (self._opened.arp, self._opened.tcp):
                loop.remove_reader(each)
            self._opened.close()
            self._opened = None

    def _ready(self) -> _Opened:
        try:
            seen, address = look(self.interface), _address_of(self.interface)
        except LinkUnusable:
            self.close()
            raise
        if self._opened is not None and (self._opened.appearance, self._opened.address) == (seen, address):
            return self._opened
        self.close()
        return self._open(seen, address)

    def _open(self, seen: Appearance, address: bytes) -> _Opened:
        try:
            opened = self._opened = _Opened(self.interface, seen, address)
        except OSError as problem:
            raise LinkUnusable(f"interface {self.interface} cannot be opened: {problem.strerror}") from problem
        loop = asyncio.get_running_loop()
        loop.add_reader(opened.arp, self._hear_claims, opened)
        loop.add_reader(opened.tcp, self._hear_answers, opened)
        return opened

    async def _claimed(self, opened: _Opened, wanted: bytes) -> bytes | None:
        claimed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiting = self._claims.setdefault(wanted, set())
        waiting.add(claimed)
        try:
            self._send(opened.arp, segments.question(opened.appearance.mac, opened.address, wanted))
            async with asyncio.timeout(CLAIM_SECONDS):
                return await claimed
        except TimeoutError:
            return None
        finally:
            waiting.discard(claimed)
            if not waiting:
                self._claims.pop(wanted, None)

    def _hear_claims(self, opened: _Opened) -> None:
        for frame in self._read(opened.arp):
            claim = segments.read_claim(frame, opened.appearance.mac)
            for waiting in self._claims.get(claim.address, ()) if claim is not None else ():
                if claim is not None and not waiting.done():
                    waiting.set_result(claim.mac)

    def _hear_answers(self, opened: _Opened) -> None:
        for frame in self._read(opened.tcp):
            answer = segments.read_answer(frame)
            call, waiting = self._answers.get(answer.number, (None, None)) if answer is not None else (None, None)
            if answer is None or call is None or waiting is None or waiting.done():
                continue
            if answer[:4] == (call.to_address, call.to_port, call.address, call.port):
                waiting.set_result(answer)

    def _read(self, opened: socket.socket) -> Iterator[bytes]:
        for _ in range(_READS):
            try:
                yield opened.recv(filtering.FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError:  # the interface went down; the next call looks at it anew
                self.close()
                return

    def _send(self, opened: socket.socket, frame: bytes) -> None:
        try:
            opened.send(frame)
        except OSError as problem:
            raise LinkUnusable(f"interface {self.interface} takes no frame: {problem.strerror}") from problem


def _address_of(interface: str) -> bytes:
    """The first IPv4 address of an interface, packed. Raises LinkUnusable."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            found = fcntl.ioctl(asking, _GET_ADDRESS, struct.pack("@16s24x", interface.encode("ascii")))
    except OSError as problem:
        raise LinkUnusable(f"interface {interface} has no IPv4 address to call VIPs from") from problem
    return found[20:24]
