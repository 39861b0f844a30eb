"""When VIPs that other nodes announce are called from this one, and doing it: a new announcement first, then in turns.

However many there are, no more than `Rates` allows are called. What is found is said on the bus by who is given as
`say`. Must not know what a call is made of.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol

import msgspec
import prometheus_client
import structlog

from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.addresses import Protocol as Transport
from fleetlb.domain.announcing import VipReached
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.lanes import Lane
from fleetlb_dataplane_programmer.layer2.calling import Heard, Outcome
from fleetlb_dataplane_programmer.layer2.link import LinkUnusable
from fleetlb_dataplane_programmer.ownership.duties import Announced
from fleetlb_dataplane_programmer.ownership.findings import Door, Findings

CALLS = prometheus_client.Counter(
    "fleetlb_link_calls_total", "Calls to VIPs that other nodes announce, by what became of them.", ["outcome"]
)
_IMPOSSIBLE = "impossible"
_CONCURRENCY = 8
_IDLE_SECONDS = 60.0
"""Something else than a word may have changed whose duty a VIP is."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often VIPs are called. Seconds are the least between two calls of one VIP, rates hold for all."""

    settle_seconds: float = 0.5
    """After a word on a VIP: who announces it tells the link first."""
    doubt_seconds: float = 1.0
    calm_seconds: float = 5.0
    news_per_second: float = 10.0
    turns_per_second: float = 5.0


class Calling(Protocol):
    """Calls a VIP over the link."""

    def address(self, family: Family) -> str:
        """From which. Raises LinkUnusable."""

    async def call(self, address: str, port: int) -> Outcome:
        """Raises LinkUnusable."""


class Finder:
    """Finds which VIPs of other nodes are reached from this one. All methods but `run` return at once."""

    def __init__(
        self,
        caller: Calling,
        findings: Findings,
        *,
        duty: Callable[[str], Announced | None],
        serving_on: Callable[[str], Iterable[VirtualServer]],
        say: Callable[[str, VipReached | None], None],
        now_us: Callable[[], int],
        rates: Rates = Rates(),  # noqa: B008 (frozen)
    ) -> None:
        """`duty`: at whom this node is to call a VIP; `serving_on`: the virtual servers of a VIP that have real
        servers here; `now_us`: microseconds since 1970, for people."""
        self._caller, self._findings = caller, findings
        self._duty, self._serving_on, self._say, self._now_us = duty, serving_on, say, now_us
        self._rates = rates
        self._news, self._turns = Lane(rates.news_per_second), Lane(rates.turns_per_second)
        self._slots: dict[str, float] = {}
        """When a VIP has its turn."""
        self._queue = Reconciler(self._look, name="calls", concurrency=_CONCURRENCY)
        self._log = structlog.get_logger()

    def look_at(self, address: str) -> None:
        """Who announces a VIP, or who is to call it, may be another now."""
        self._queue.add_after(address, self._rates.settle_seconds)

    async def run(self) -> NoReturn:
        """Call for ever."""
        await self._queue.run()

    async def _look(self, address: str) -> float | None:
        try:
            return await self._find(address)
        except Exception:  # what was found must not go on standing where nobody looks any more
            self._findings.forget(address)
            self._say(address, None)
            raise

    async def _find(self, address: str) -> float | None:
        announced = self._duty(address)
        ports = self._ports(address) if announced is not None else []
        if announced is None or not ports:
            self._findings.forget(address)
            self._slots.pop(address, None)
            self._say(address, None)
            return _IDLE_SECONDS if announced is not None else None
        wait = self._wait(address)
        if wait > 0:
            return wait
        await self._call(address, announced, ports)
        self._say(address, self._findings.word(address))
        is_in_doubt = self._findings.is_in_doubt(address)
        return self._rates.doubt_seconds if is_in_doubt else self._rates.calm_seconds

    def _wait(self, address: str) -> float:
        """Seconds until it is the VIP's turn."""
        now = asyncio.get_running_loop().time()
        if address not in self._slots:
            is_news = self._findings.word(address) is None or self._findings.is_in_doubt(address)
            lane = self._news if is_news else self._turns
            self._slots[address] = lane.slot(now, len(self._slots) + 1)
        at = self._slots[address]
        if now < at:
            return at - now
        del self._slots[address]
        return 0.0

    def _ports(self, address: str) -> list[int]:
        """At which a call can be answered to this node."""
        try:
            source = ipaddress.ip_address(self._caller.address(family_of(address)))
        except LinkUnusable:
            return []
        return [server.key.port for server in self._serving_on(address) if _answers(server, source)]

    async def _call(self, address: str, announced: Announced, ports: list[int]) -> None:
        door = (address, self._findings.begin(address, announced, ports))
        outcome = await self._outcome(door)
        if outcome is not None and outcome.heard is Heard.OPEN:
            self._findings.note_answered(door, self._now_us(), max(1, round(outcome.seconds * 1e6)))
            return
        was_refused = outcome is not None and outcome.heard is Heard.REFUSED
        is_witnessed = was_refused or await self._is_witnessed(door)
        self._findings.note_unanswered(door, self._now_us(), is_witnessed=is_witnessed)

    async def _is_witnessed(self, door: Door) -> bool:
        """Whether something else is answered now."""
        other = self._findings.witness(door)
        if other is None:
            return False
        outcome = await self._outcome(other)
        answered = outcome is not None and outcome.heard in (Heard.OPEN, Heard.REFUSED)
        self._findings.note_witness(other, answered=answered)
        return answered

    async def _outcome(self, door: Door) -> Outcome | None:
        """What became of a call; None: it could not be made."""
        try:
            outcome = await self._caller.call(*door)
        except LinkUnusable as problem:
            CALLS.labels(_IMPOSSIBLE).inc()
            self._log.debug("a VIP of another node cannot be called", address=door[0], problem=str(problem))
            return None
        CALLS.labels(outcome.heard.value).inc()
        return outcome


def _answers(server: VirtualServer, source: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a call from an address is let in, and its answer comes back over the node that was called."""
    if server.key.protocol is not Transport.TCP or server.forwarding.keeps_client_address:
        return False
    return not server.source_ranges or any(source in ipaddress.ip_network(each) for each in server.source_ranges)
