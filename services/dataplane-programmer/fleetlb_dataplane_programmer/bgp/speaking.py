"""Announces VIPs by a BIRD on this node: writes the files that it includes, and has it read them.

The files hold the whole state, so whatever was missed or lost is mended by writing them anew, and a BIRD that starts
anew has its routes at once. Of BIRD's own configuration one line is needed, and `protocol device`:
`include "DIRECTORY/*.conf";`. The directory's group is BIRD's (mode 2750, root:bird), as the files may hold passwords.
"""

import asyncio
import pathlib
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog

from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import BgpPeer, BgpSpeaking
from fleetlb_dataplane_programmer.bgp.coalescing import Together
from fleetlb_dataplane_programmer.bgp.configuring import (
    ROUTES_FILE,
    SESSIONS_FILE,
    Line,
    check_password,
    host_route,
    parse_routes,
    routes_text,
    session_of,
    sessions_text,
)
from fleetlb_dataplane_programmer.bgp.control import BirdControl
from fleetlb_dataplane_programmer.bgp.daemon import Bird
from fleetlb_dataplane_programmer.bgp.files import read_text
from fleetlb_dataplane_programmer.bgp.measuring import REPAIRS, SessionGauges
from fleetlb_dataplane_programmer.bgp.reading import Session
from fleetlb_dataplane_programmer.bgp.routes import RouteOf, Routes

OnSessions = Callable[[Mapping[str, Session]], None]
"""Hears how the sessions are, by peer, after every look."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The node, and where things are on it."""

    node: str
    router_id: str
    directory: pathlib.Path
    """Of the files that BIRD includes; all others in it stay."""
    passwords: pathlib.Path | None = None
    """The directory of the files that peers name."""
    audit_seconds: float = 5.0
    """Between two looks at BIRD."""


class BirdSpeaker:
    """Announces VIPs by BGP. To be used from one event loop."""

    def __init__(
        self,
        speaking: BgpSpeaking,
        control: BirdControl,
        place: Place,
        *,
        route_of: RouteOf = host_route,
        on_sessions: OnSessions = lambda _: None,
    ) -> None:
        """Nothing is written yet. Raises ValueError for what BIRD could not be told, OSError for unreadable files."""
        self._place, self._on_sessions = place, on_sessions
        self._speaking = self._checked(speaking)
        self._routes = Routes(route_of, parse_routes(read_text(place.directory / ROUTES_FILE) or ""))
        self._bird = Bird(control, place.directory)
        self._bring = Together(self._bring_bird)
        self._held: tuple[int, dict[str, Line]] | None = None
        """The version of the routes, and the routes, that BIRD was seen to have; None while that may change."""
        self._gauges = SessionGauges()
        self._trouble = ""
        self._log = structlog.get_logger()

    async def announce(self, address: str) -> None:
        """Have BIRD tell a VIP's route to its peers; returns once BIRD has it. Raises Transient, ValueError."""
        self._routes.add(address, self._speaking.attributes)
        await self._brought()

    async def withdraw(self, address: str) -> None:
        """Have it told no longer; returns once BIRD does not have it. Raises Transient, ValueError."""
        self._routes.remove(address)
        await self._brought()

    async def complete(self) -> None:
        """Every wish is announced: withdraw what an earlier process left. Raises Transient."""
        self._routes.complete()
        await self._brought()

    async def drain(self, is_leaving: bool) -> None:
        """Have routers prefer other nodes for every VIP, or no longer (RFC 8326). Raises Transient."""
        self._routes.leave(is_leaving)
        await self._brought()

    def change(self, added: Iterable[str], removed: Iterable[str]) -> None:
        """Announce some VIPs and others no more, from the next call that waits for BIRD on. Raises ValueError."""
        for address in removed:
            self._routes.remove(address)
        for address in added:
            self._routes.add(address, self._speaking.attributes)

    def tells_of(self, address: str) -> bool:
        """Whether routers are told of a VIP, or may still be by what an earlier process left. Raises ValueError."""
        return self._routes.tells_of(address, self._speaking.attributes)

    async def speak(self, speaking: BgpSpeaking, *, router_id: str = "") -> None:
        """From now on like this; sessions that are the same stay. `router_id`: "" for the same as before.

        Raises Transient, ValueError.
        """
        self._speaking = self._checked(speaking)
        self._place = msgspec.structs.replace(self._place, router_id=router_id or self._place.router_id)
        await self._bring.run()

    async def refresh(self) -> None:
        """What is announced for VIPs has changed. Raises Transient."""
        await self._bring.run()

    async def run(self) -> None:
        """Look after BIRD until cancelled. It keeps what it has."""
        while True:
            try:
                await self._audit()
                self._tell(await self._sessions(), "")
            except Transient as problem:
                silent = {peer.name: Session(protocol="", problem=str(problem)) for peer in self._peers()}
                self._tell(silent, str(problem))
            await asyncio.sleep(self._place.audit_seconds)

    async def _brought(self) -> None:
        if self._held is None or self._held[0] != self._routes.version:
            await self._bring.run()

    async def _bring_bird(self) -> None:
        """Have BIRD hold what is wanted now."""
        self._held = None
        version, is_leaving = self._routes.version, self._routes.is_leaving
        lines = self._routes.lines(self._speaking.attributes)
        await self._bird.take(self._texts(lines))
        await self._bird.settle(lines.values(), is_leaving=is_leaving)
        self._held = version, lines

    async def _audit(self) -> None:
        """Mend what others changed, or what could not be done before."""
        held = self._held
        if self._bring.is_running:
            return
        if held is not None:
            if await self._bird.is_as(self._texts(held[1]), held[1]) or self._held is not held:
                return
            REPAIRS.inc()
            self._log.warning("BIRD is not as it was left; it is told anew", routes=len(held[1]))
        await self._bring.run()

    def _texts(self, lines: Mapping[str, Line]) -> dict[str, str]:
        """What the files are to hold. The sessions' file includes the other, which has to be there first."""
        passwords, _ = self._passwords()
        return {
            ROUTES_FILE: routes_text(lines.values(), is_leaving=self._routes.is_leaving),
            SESSIONS_FILE: sessions_text(self._speaking, self._place.node, self._place.router_id, passwords),
        }

    def _passwords(self) -> tuple[dict[str, str], dict[str, str]]:
        """By peer: passwords, and why there is none."""
        found: dict[str, str] = {}
        problems: dict[str, str] = {}
        for peer in self._peers():
            if peer.password_file:
                try:
                    found[peer.name] = self._password(peer.password_file)
                except (OSError, ValueError) as problem:
                    problems[peer.name] = f"its password cannot be had: {problem}"
        return found, problems

    def _password(self, name: str) -> str:
        if self._place.passwords is None:
            raise ValueError("this node has no directory of passwords")
        path = self._place.passwords / name
        text = read_text(path)
        if text is None:
            raise ValueError(f"there is no file {path}")
        return check_password(text.removesuffix("\n"))

    async def _sessions(self) -> dict[str, Session]:
        """By peer; one without a password is not in BIRD at all."""
        held, (_, problems) = await self._bird.sessions(), self._passwords()
        sessions = {}
        for peer in self._peers():
            protocol = session_of(peer.name)
            absent = Session(protocol=protocol, problem=problems.get(peer.name, "BIRD has no such session"))
            sessions[peer.name] = held.get(protocol, absent)
        return sessions

    def _peers(self) -> tuple[BgpPeer, ...]:
        return self._speaking.peers_of(self._place.node)

    def _checked(self, speaking: BgpSpeaking) -> BgpSpeaking:
        passwords = {peer.name: "any" for peer in speaking.peers}
        sessions_text(speaking, self._place.node, self._place.router_id, passwords)
        return speaking

    def _tell(self, sessions: Mapping[str, Session], trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                self._log.error("VIPs cannot be announced by BGP", problem=trouble)
            else:
                self._log.info("VIPs can be announced by BGP again")
        self._gauges.show(sessions)
        self._on_sessions(sessions)
