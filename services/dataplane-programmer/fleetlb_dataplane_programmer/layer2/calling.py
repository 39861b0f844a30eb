"""Calls VIPs that other nodes announce over one interface, as a client on its link does: asks who has the address, and
asks him for a TCP connection, which is given up once it is taken.

Past the kernel, to which every VIP is its own. Decides nothing. Needs CAP_NET_RAW.
"""

import asyncio
import contextlib
import enum
import fcntl
import ipaddress
import itertools
import random
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import prometheus_client
import structlog

from fleetlb.domain.addresses import Family, family_of, parse_address
from fleetlb_dataplane_programmer.layer2 import filtering, segments
from fleetlb_dataplane_programmer.layer2.link import Appearance, LinkUnusable, check_name, look, open_filtered
from fleetlb_dataplane_programmer.layer2.segments import Answer, Call, Claim

CLAIMED_TWICE = prometheus_client.Counter(
    "fleetlb_link_claimed_twice_total", "Answers of a second one to a question for a VIP that another node announces."
)

CLAIM_SECONDS = 1.0
"""For who has the address, and for whoever else says that he has it."""
ANSWER_SECONDS = 1.0
_GET_ADDRESS = 0x8915  # SIOCGIFADDR
_IPV6_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_GLOBAL, _UNFIT = 0x00, 0x01 | 0x08 | 0x20 | 0x40  # of privacy, doubled, deprecated, not checked yet
_MAX_ASKED = 1024
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
    """Sockets for one family on an interface as it looked."""

    def __init__(self, interface: str, appearance: Appearance, family: Family, address: bytes) -> None:
        self.appearance, self.address = appearance, address
        self.upper_half = secrets.randbelow(0xFFFF) + 1
        if family is Family.IPV4:
            claims, packets = (filtering.ETHERTYPE_ARP, filtering.arp_replies()), filtering.ETHERTYPE_IPV4
        else:
            claims, packets = (filtering.ETHERTYPE_IPV6, filtering.advertisements()), filtering.ETHERTYPE_IPV6
        with contextlib.ExitStack() as undo:
            self.asking = undo.enter_context(open_filtered(interface, *claims))
            answers = filtering.acknowledgements(packets, self.upper_half)
            self.calling = undo.enter_context(open_filtered(interface, packets, answers))
            undo.pop_all()

    def close(self) -> None:
        for each in (self.asking, self.calling):
            each.close()


class Caller:
    """To be used from one event loop, in whose thread's network namespace the interface is."""

    def __init__(self, interface: str) -> None:
        """Raises ValueError for what no interface can be called."""
        self.interface = check_name(interface)
        self._log = structlog.get_logger().bind(interface=interface)
        self._opened: dict[Family, _Opened] = {}
        self._claims: dict[bytes, set[asyncio.Future[bytes]]] = {}
        self._answers: dict[int, tuple[Call, asyncio.Future[Answer]]] = {}
        self._asked: dict[bytes, bytes] = {}
        """Who answered the last question for an address first; empty: nobody yet."""
        self._numbers = itertools.cycle(range(0xFFFF))

    def address(self, family: Family) -> str:
        """From which it calls VIPs of a family. Raises LinkUnusable."""
        return str(ipaddress.ip_address(self._ready(family).address))

    async def call(self, address: str, port: int) -> Outcome:
        """Call a VIP at a TCP port. Raises LinkUnusable, ValueError for what is no address."""
        opened, wanted = self._ready(family_of(address)), parse_address(address).packed
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
            self._send(opened.calling, segments.opening(call))
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await answered
        except TimeoutError:
            return Outcome(Heard.SILENT)
        finally:
            del self._answers[number]
        if answer.is_open:
            self._send(opened.calling, segments.abandoning(call))
        return Outcome(Heard.OPEN if answer.is_open else Heard.REFUSED, loop.time() - began)

    def close(self) -> None:
        """Close what is open; a later call opens it anew."""
        for family in tuple(self._opened):
            self._close(family)

    def _close(self, family: Family) -> None:
        opened = self._opened.pop(family, None)
        if opened is not None:
            loop = asyncio.get_running_loop()
            for each in (opened.asking, opened.calling):
                loop.remove_reader(each)
            opened.close()

    def _ready(self, family: Family) -> _Opened:
        try:
            seen, address = look(self.interface), _address_of(self.interface, family)
        except LinkUnusable:
            self._close(family)
            raise
        opened = self._opened.get(family)
        if opened is not None and (opened.appearance, opened.address) == (seen, address):
            return opened
        self._close(family)
        return self._open(seen, family, address)

    def _open(self, seen: Appearance, family: Family, address: bytes) -> _Opened:
        try:
            opened = self._opened[family] = _Opened(self.interface, seen, family, address)
        except OSError as problem:
            raise LinkUnusable(f"interface {self.interface} cannot be opened: {problem.strerror}") from problem
        loop = asyncio.get_running_loop()
        loop.add_reader(opened.asking, self._hear_claims, opened)
        loop.add_reader(opened.calling, self._hear_answers, opened)
        return opened

    async def _claimed(self, opened: _Opened, wanted: bytes) -> bytes | None:
        claimed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiting = self._claims.setdefault(wanted, set())
        waiting.add(claimed)
        self._asked.pop(wanted, None)
        self._asked[wanted] = b""
        if len(self._asked) > _MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        try:
            self._send(opened.asking, segments.question(opened.appearance.mac, opened.address, wanted))
            async with asyncio.timeout(CLAIM_SECONDS):
                return await claimed
        except TimeoutError:
            return None
        finally:
            waiting.discard(claimed)
            if not waiting:
                self._claims.pop(wanted, None)

    def _hear_claims(self, opened: _Opened) -> None:
        for frame in self._read(opened.asking):
            claim = segments.read_claim(frame, opened.appearance.mac)
            if claim is None:
                continue
            self._compare(claim)
            for waiting in self._claims.get(claim.address, ()):
                if not waiting.done():
                    waiting.set_result(claim.mac)

    def _compare(self, claim: Claim) -> None:
        """No question may be answered by two: a host on the link may have a VIP for its own."""
        before = self._asked.get(claim.address)
        if before == b"":
            self._asked[claim.address] = claim.mac
        elif before is not None and before != claim.mac:
            del self._asked[claim.address]  # once for each question, however many answers somebody sends
            CLAIMED_TWICE.inc()
            address, macs = str(ipaddress.ip_address(claim.address)), [before.hex(":"), claim.mac.hex(":")]
            self._log.warning("two on the link answer for a VIP", address=address, macs=macs)

    def _hear_answers(self, opened: _Opened) -> None:
        for frame in self._read(opened.calling):
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


def _address_of(interface: str, family: Family) -> bytes:
    """The first address of an interface that is reached from elsewhere, packed. Raises LinkUnusable."""
    try:
        found = _ipv4_of(interface) if family is Family.IPV4 else _ipv6_of(interface)
    except OSError:
        found = None
    if found is None:
        raise LinkUnusable(f"interface {interface} has no {family} address to call VIPs from")
    return found


def _ipv4_of(interface: str) -> bytes:
    """Raises OSError if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        found = fcntl.ioctl(asking, _GET_ADDRESS, struct.pack("@16s24x", interface.encode("ascii")))
    return found[20:24]


def _ipv6_of(interface: str) -> bytes | None:
    for line in _IPV6_ADDRESSES.read_text().splitlines():
        address, _, _, scope, flags, name = line.split()
        if name == interface and int(scope, 16) == _GLOBAL and not int(flags, 16) & _UNFIT:
            return bytes.fromhex(address)
    return None
