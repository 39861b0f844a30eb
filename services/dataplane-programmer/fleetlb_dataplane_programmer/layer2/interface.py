"""The owned VIPs of one interface: answered and told of, as long as this node may speak, and whatever becomes of the
interface. What a port of a bridge or bond hears, the bridge or bond takes: name that one instead.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import prometheus_client
import structlog

from fleetlb.domain.addresses import Family, parse_address
from fleetlb_dataplane_programmer.layer2 import frames
from fleetlb_dataplane_programmer.layer2.answering import Responder
from fleetlb_dataplane_programmer.layer2.link import Appearance, Link, LinkUnusable, check_name, look
from fleetlb_dataplane_programmer.layer2.memberships import Memberships
from fleetlb_dataplane_programmer.layer2.pacing import Pace, Pacer, Telling

ANSWERS = prometheus_client.Counter(
    "fleetlb_link_answers_total", "Questions on the link for owned VIPs, answered.", ["family"]
)
GRATUITOUS = prometheus_client.Counter(
    "fleetlb_link_gratuitous_total",
    "Frames that told of owned VIPs unasked: fresh ones, and those of a round.",
    ["family", "occasion"],
)
UNSENT = prometheus_client.Counter("fleetlb_link_unsent_total", "Frames that the interface did not take.")

LOOK_SECONDS = 1.0
"""How long a change of the interface may stay unseen that no error tells of."""
SILENT_SECONDS = 0.1
"""When it is asked again whether this node may speak."""
_READS, _TELLINGS = 64, 32  # at a time, between which everything else has its turn
_JOINS = 16  # of which each may take a millisecond, where there are ten thousand
_PACE = Pace()


class Layer2Interface:
    """What one node says of its VIPs on one interface. Not to be used from several threads."""

    def __init__(
        self,
        interface: str,
        *,
        may_answer: Callable[[], bool],
        pace: Pace = _PACE,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`may_answer` is asked right before every single frame. `on_trouble` hears why nothing or not all can be said
        or heard on the interface, each time that this changes; an empty text: all is well.

        Raises ValueError for what no interface can be called; one that is not there is waited for.
        """
        self._name = check_name(interface)
        self._may_answer, self._on_trouble = may_answer, on_trouble
        self._responder, self._pacer, self._memberships = Responder(), Pacer(pace), Memberships()
        self._link: Link | None = None
        self._look_at = 0.0
        self._trouble = ""
        self._deafness = ""
        self._wake = asyncio.Event()
        self._log = structlog.get_logger().bind(interface=interface)

    @property
    def is_usable(self) -> bool:
        """Whether anything can be said on the interface. Known before `on_trouble` is called."""
        return self._link is not None

    def own(self, address: str) -> None:
        """Begin to answer for a VIP, and tell of it, before and while `run` runs. Raises ValueError."""
        packed = parse_address(address).packed
        if not self._responder.own(packed):
            return
        self._pacer.own(packed)
        if len(packed) == 16:
            self._memberships.need(frames.solicited_node(packed))
        self._wake.set()

    def disown(self, address: str) -> None:
        """From this call on nothing is said for the VIP, whoever asks. Raises ValueError."""
        packed = parse_address(address).packed
        if not self._responder.disown(packed):
            return
        self._pacer.disown(packed)
        if len(packed) == 16:
            self._memberships.release(frames.solicited_node(packed))
        self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled, in the network namespace of the event loop's thread."""
        loop = asyncio.get_running_loop()
        self._look_at = loop.time()
        try:
            while True:
                self._wake.clear()
                if loop.time() >= self._look_at:
                    self._look_at = loop.time() + LOOK_SECONDS
                    self._look()
                seconds = min(self._work(loop.time()), self._look_at - loop.time())
                if seconds <= 0:
                    await asyncio.sleep(0)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
        finally:
            self._close()
            self._memberships.close()

    def _look(self) -> None:
        """Have a link on the interface as it is now."""
        try:
            seen = look(self._name)
            if self._link is not None and self._link.appearance != seen:
                self._close()
            if self._link is None:
                self._open(seen)
            self._join()
        except LinkUnusable as problem:
            self._close()
            self._note(str(problem))

    def _open(self, seen: Appearance) -> None:
        link = self._link = Link(self._name, seen)
        loop = asyncio.get_running_loop()
        for opened in link.sockets:
            loop.add_reader(opened, self._hear, link, opened)
        self._memberships.open(seen.index)
        self._pacer.own_all_again()
        self._log.info("VIPs are answered for on the interface", mac=seen.mac.hex(":"))

    def _close(self) -> None:
        if self._link is None:
            return
        loop = asyncio.get_running_loop()
        for opened in self._link.sockets:
            loop.remove_reader(opened)
        self._link.close()
        self._link = None

    def _hear(self, link: Link, opened: socket.socket) -> None:
        """Frames have arrived, or an error."""
        mac = link.appearance.mac
        try:
            if not link.is_current:
                raise LinkUnusable(f"interface {self._name} is another")
            for frame in link.read(opened, _READS):
                answer = self._responder.answer(frame, mac)
                if answer is not None and self._send(link, answer):
                    ANSWERS.labels(_family_of(answer)).inc()
        except LinkUnusable:
            self._lose()

    def _lose(self) -> None:
        """The link is of no use any more; a look tells why, and there may be another at once."""
        self._close()
        self._look_at = 0.0
        self._wake.set()

    def _work(self, now: float) -> float:
        """Join and tell what is due, up to a bound; the seconds until there is more to do."""
        if self._link is None:
            return LOOK_SECONDS
        has_more = not self._deafness and self._join()
        self._note(self._deafness)
        seconds = self._tell_due(self._link, now)
        return 0.0 if has_more else seconds

    def _tell_due(self, link: Link, now: float) -> float:
        for _ in range(_TELLINGS):
            if (seconds := self._pacer.wait(now)) > 0:
                return seconds
            if not self._may_answer():
                return SILENT_SECONDS
            if not link.is_current:
                self._lose()
                return 0.0
            telling = self._pacer.take(now)
            if telling is not None:
                self._tell(link, telling)
        return 0.0

    def _join(self) -> bool:
        """Join and leave some groups; whether there is more to do. What fails has its next turn with the next look."""
        try:
            has_more = self._memberships.settle(_JOINS)
        except OSError as problem:
            self._deafness = f"groups of IPv6 VIPs cannot be joined on {self._name}: {problem.strerror}"
            return False
        self._deafness = ""
        return has_more

    def _tell(self, link: Link, telling: Telling) -> None:
        occasion = "repeat" if telling.is_repeat else "fresh"
        for frame in frames.gratuitous(telling.address, link.appearance.mac):
            if self._send(link, frame):
                GRATUITOUS.labels(_family_of(frame), occasion).inc()

    def _send(self, link: Link, frame: bytes) -> bool:
        """Send it, if this node may speak; whether it was sent."""
        if not self._may_answer():
            return False
        if link.send(frame):
            return True
        UNSENT.inc()
        return False

    def _note(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self._log.warning("VIPs are not all answered for on the interface", problem=trouble)
        self._on_trouble(trouble)


def _family_of(frame: bytes) -> Family:
    return Family.IPV4 if frame[12:14] == b"\x08\x06" else Family.IPV6
