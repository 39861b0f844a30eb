"""Announces what this node carries as its group is told to: holds it until the group's routers are known, keeps BIRD
equal to it, and takes the node out of the routers' ways when it is to be emptied.

`VipAnnouncer` of the engine, which it never keeps waiting for a BIRD that does not answer: what is announced reaches
BIRD in the background, a burst at once. A withdrawal is waited for, as packets must not come for what is removed (P4):
it fails as long as BIRD does not do as it is told, since what BIRD still has may be announced. Only who comes first
waits for that; once BIRD has failed, withdrawals fail at once until it obeys, which is tried in the background. Or a
BIRD that hangs would hold up whatever else the node has to do.
As long as no instruction was heard BIRD goes on with what an earlier process left, also while there is no hub.

A node that is to be emptied first asks routers to prefer others (RFC 8326), and withdraws some seconds later if the
group has a node that is not to be emptied. Whether that one is well nobody asks here. Of what routers do not know by
then, such as after a restart, they are not told. One that its group does not name any more withdraws at once.

A VIP whose pool has attributes of its own waits until they were heard, as its route may not be for all routers; one
that is announced keeps what it carries.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import Aggregation, BgpSpeaking, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_dataplane_programmer.bgp.configuring import Route, host_route
from fleetlb_dataplane_programmer.bgp.reading import Session
from fleetlb_dataplane_programmer.bgp.routes import RouteOf
from fleetlb_dataplane_programmer.bgp.speaking import BirdSpeaker, OnSessions
from fleetlb_dataplane_programmer.instructions import is_out

GRACE_SECONDS = 5.0
"""For which routers are asked to prefer others before the routes go."""
_AGAIN_SECONDS = 1.0
_WITHDRAW_AGAIN_SECONDS = 5.0
_NOBODY = BgpSpeaking(asn=1, peers=())
_UNHEARD = "VIPs wait to be announced by BGP: nothing was heard from the manager yet, BIRD goes on with what it had"
_UNSAID = (
    "VIPs of pool {} wait to be announced by BGP: what their routes carry was not heard; if that stays so, the pool's"
    " condition Announced says why"
)
_UNTOLD = "VIPs are to be announced by BGP, and to which routers is not said: set spec.bgp of the BalancerGroup"


class Carried(NamedTuple):
    """What is known of a VIP that the node carries."""

    network: str = ""
    """Of its pool."""
    pool: str = ""
    """The pool whose own attributes its route carries."""


MakeSpeaker = Callable[[BgpSpeaking, OnSessions, RouteOf], BirdSpeaker]
"""Made once. Raises ValueError for what BIRD could not be told, OSError for files that cannot be read."""


class BgpAnnouncer:
    """`VipAnnouncer` by BGP. To be used from one event loop."""

    def __init__(
        self,
        node: str,
        make_speaker: MakeSpeaker,
        *,
        has_left: Callable[[], bool],
        router_id: Callable[[BgpSpeaking], str],
        on_trouble: Callable[[str], None],
        on_sessions: OnSessions = lambda _: None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """`has_left`: whether an earlier process left something. `on_trouble` hears what is wrong, "" if nothing is;
        `on_sessions` how the sessions are, after every look at BIRD."""
        self._node, self._make_speaker, self._has_left = node, make_speaker, has_left
        self._router_id, self._grace_seconds = router_id, grace_seconds
        self._on_trouble, self._on_sessions = on_trouble, on_sessions
        self._speaker: BirdSpeaker | None = None
        self._speaking: BgpSpeaking | None = None
        self._said: GroupInstructed | None = None
        self._carried: dict[str, Carried] = {}
        self._attributes: dict[str, RouteAttributes] = {}
        """Of pools that have some of their own."""
        self._are_routes_stale = False
        self._told: set[str] = set()
        """What the speaker was asked to announce."""
        self._leaves_at: float | None = None
        """When the routes of a node that is to be emptied go."""
        self._is_complete = self._is_completed = False
        self._problem = ""
        self._behind = ""
        """Why BIRD did not take what it was told last; "" if it did."""
        self._down: dict[str, Session] = {}
        self._wake = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._log = structlog.get_logger()

    @property
    def announced(self) -> int:
        """VIPs of which routers are told, or are about to be."""
        return len(self._told)

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """See `VipAnnouncer`. BIRD has it a moment later."""
        now = Carried(network, pool)
        self._are_routes_stale |= self._carried.get(address, now) != now
        self._carried[address] = now
        self._wake.set()

    async def withdraw(self, address: str) -> None:
        """See `VipAnnouncer`. Before the first instruction BIRD is not asked: it keeps what it had."""
        self._carried.pop(address, None)
        self._told.discard(address)
        if self._speaker is None:
            return
        self._speaker.change((), (address,))
        if not self._behind:
            try:
                await self._speaker.withdraw(address)
            except Transient as problem:
                self._behind = str(problem)
                self._wake.set()
        if self._behind:
            raise Transient(f"{address} may be announced still: {self._behind}", retry_after=_WITHDRAW_AGAIN_SECONDS)

    async def complete(self) -> None:
        """See `VipAnnouncer`."""
        self._is_complete = True
        self._wake.set()

    def heed(self, said: GroupInstructed) -> None:
        """The manager says what the group's nodes are to do. Returns at once."""
        self._said, before = said, self._attributes
        self._attributes = {each.pool: each.attributes for each in said.pools}
        self._are_routes_stale |= self._attributes != before
        self._wake.set()

    async def run(self) -> None:
        """Keep BIRD equal to what is wanted, for ever."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                self._wake.clear()
                seconds = await self._try_to_settle()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()

    async def _try_to_settle(self) -> float | None:
        """In how many seconds to look again, whatever happens; None: when something happens."""
        try:
            problem, seconds = await self._settle(), self._seconds_left()
            self._behind = ""
        except Transient as error:
            problem = self._behind = str(error)
            seconds = _AGAIN_SECONDS
        except (ValueError, OSError) as error:
            problem, seconds = str(error), _AGAIN_SECONDS
        if problem and problem != self._problem:
            self._log.error("VIPs are not announced by BGP as they should be", problem=problem)
        self._problem = problem
        self._tell()
        return seconds

    async def _settle(self) -> str:
        """Bring BIRD to what is wanted. Why VIPs go unannounced all the same, or "". Raises Transient, ValueError,
        OSError."""
        said = self._said
        if said is None:
            return _UNHEARD if self._carried else ""
        untold = _UNTOLD if said.bgp is None and self._carried else ""
        if said.bgp is None and self._speaker is None and not self._has_left():
            return untold
        speaker = await self._speak(said.bgp or _NOBODY)
        is_draining, is_complete = self._node in said.draining, self._is_complete  # both as of what is asked for now
        is_silent = said.bgp is None or self._is_gone() or is_out(said, self._node)
        leaves = is_draining and any(node not in said.draining for node in said.nodes)
        known, unsaid = self._known()
        wanted = set() if is_silent else known
        self._ask(speaker, set(filter(speaker.tells_of, wanted)) if leaves else wanted)
        if self._are_routes_stale:
            self._are_routes_stale = False
            await speaker.refresh()
        await speaker.drain(is_draining)
        if is_complete and not self._is_completed:
            await speaker.complete()
            self._is_completed = True
        self._plan_to_leave(leaves)
        return untold or unsaid

    async def _speak(self, speaking: BgpSpeaking) -> BirdSpeaker:
        if self._speaker is None:
            self._speaker = self._make_speaker(speaking, self._see, self._route_of)
            self._tasks.create_task(self._speaker.run(), name="bgp")
        elif speaking != self._speaking:
            await self._speaker.speak(speaking, router_id=self._router_id(speaking))
        self._speaking = speaking
        return self._speaker

    def _known(self) -> tuple[set[str], str]:
        """The VIPs that can be announced, and why others have to wait, or ""."""
        waiting = {address for address in self._carried if not self._is_known(address) and address not in self._told}
        pools = sorted({self._carried[address].pool for address in waiting})
        return set(self._carried) - waiting, _UNSAID.format(", ".join(pools)) if pools else ""

    def _is_known(self, address: str) -> bool:
        """Whether it is known what a VIP's route carries."""
        pool = self._carried[address].pool
        return not pool or pool in self._attributes

    def _route_of(self, address: str) -> Route:
        """Of its pool where the group asks for that, or of its own. Raises ValueError: it stays as it is."""
        speaking, (network, pool) = self._said.bgp if self._said else None, self._carried.get(address, Carried())
        if pool and pool not in self._attributes:
            raise ValueError(_UNSAID.format(pool))
        is_of_pool = speaking is not None and speaking.aggregate is Aggregation.POOL
        route = Route(network) if is_of_pool and network else host_route(address)
        return route._replace(attributes=self._attributes[pool]) if pool else route

    def _ask(self, speaker: BirdSpeaker, wanted: set[str]) -> None:
        speaker.change(wanted - self._told, self._told - wanted)
        self._told = wanted

    def _plan_to_leave(self, leaves: bool) -> None:
        if not leaves:
            if self._is_gone():
                self._wake.set()  # what was withdrawn comes back
            self._leaves_at = None
        elif self._leaves_at is None:
            self._leaves_at = _now() + self._grace_seconds

    def _is_gone(self) -> bool:
        return self._leaves_at is not None and _now() >= self._leaves_at

    def _seconds_left(self) -> float | None:
        if self._leaves_at is None or (self._is_gone() and not self._told):
            return None
        return max(0.0, self._leaves_at - _now())

    def _see(self, sessions: Mapping[str, Session]) -> None:
        self._on_sessions(sessions)
        before, self._down = self._down, {peer: each for peer, each in sorted(sessions.items()) if not each.is_up}
        if _problems(self._down) != _problems(before):
            if self._down:
                self._log.warning("sessions of BGP are not up", problems=_problems(self._down))
            else:
                self._log.info("all sessions of BGP are up")
        self._tell()

    def _tell(self) -> None:
        sessions = (f"{peer}: {each.problem or each.state}" for peer, each in self._down.items())
        self._on_trouble("; ".join(filter(None, (self._problem, *sessions))))


def _problems(down: Mapping[str, Session]) -> dict[str, str]:
    """Why sessions are down. Their states change all the time while they try."""
    return {peer: each.problem for peer, each in down.items()}


def _now() -> float:
    return asyncio.get_running_loop().time()
