"""The Envoy engine: keeps the wishes, and turns what Envoy acknowledges into outcomes.

Envoys may come, go and overlap (a new one starts before the old one drains). All are sent everything; the one that
connected last decides the outcomes. It must not know gRPC (that is `server`) nor Envoy's messages (`resources`).
"""

import asyncio
import contextlib
import pathlib
from collections.abc import Callable

import msgspec
import structlog

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.engine import OnConnected, OnOutcome, Outcome, State
from fleetlb_dataplane_programmer.envoy.delta import Retry, Session, Standing
from fleetlb_dataplane_programmer.envoy.resources import build, unfit
from fleetlb_dataplane_programmer.envoy.server import AdsServer
from fleetlb_dataplane_programmer.envoy.store import Store

_STATES = {
    Standing.HELD: State.PROGRAMMED,
    Standing.GONE: State.REMOVED,
    Standing.REFUSED: State.REJECTED,
}


class _Wish(msgspec.Struct):
    key: VirtualServerKey
    token: int
    unfit: str | None = None
    told: Outcome | None = None


class EnvoyEngine:
    """`Engine` on an Envoy that connects to `socket`. To be used from one event loop."""

    name = "envoy"
    capabilities = frozenset({"tcp", "udp", "affinity", "source-ranges", "proxy-protocol"})

    def __init__(
        self,
        socket: pathlib.Path,
        on_outcome: OnOutcome,
        *,
        on_connected: OnConnected | None = None,
        retry: Retry = Retry(),  # noqa: B008 (frozen)
        chunk: int = 250,
    ) -> None:
        """`chunk`: virtual servers per push, so that the first of many answers before the last is loaded."""
        self._on_outcome = on_outcome
        self._on_connected = on_connected
        self._retry = retry
        self._chunk = chunk
        self._store = Store()
        self._wishes: dict[str, _Wish] = {}
        self._sessions: dict[Session, Callable[[], None]] = {}
        self._server = AdsServer(socket, self._attach, self._detach)
        self._log = structlog.get_logger().bind(engine=self.name)

    @property
    def connected(self) -> bool:
        """Whether an Envoy is there."""
        return bool(self._sessions)

    def apply(self, server: VirtualServer, token: int) -> None:
        """Wish for this virtual server; see `Engine`."""
        name, reason = str(server.key), unfit(server)
        self._wishes[name] = wish = _Wish(server.key, token, reason)
        if reason is None:
            self._store.put(name, build(server))
            self._changed(name)
        else:  # Envoy keeps what it had
            asyncio.get_running_loop().call_soon(self._tell_unfit, name, wish)

    def remove(self, key: VirtualServerKey, token: int) -> None:
        """Wish for nothing under this key; see `Engine`."""
        name = str(key)
        self._wishes[name] = _Wish(key, token)
        self._store.put(name, None)
        self._changed(name)

    def complete(self) -> None:
        """Let pushes start; see `Engine`."""
        self._store.complete = True
        for wake in self._sessions.values():
            wake()

    async def start(self) -> None:
        """Listen. Raises FleetlbError if the socket cannot be had."""
        await self._server.start()

    async def stop(self) -> None:
        """Hang up at once. Envoy keeps what it has and keeps serving."""
        await self._server.stop()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            await self.start()
            stack.push_async_callback(self.stop)
            await asyncio.Event().wait()

    def _changed(self, name: str) -> None:
        for session, wake in self._sessions.items():
            session.changed(name)
            wake()

    def _tell_unfit(self, name: str, wish: _Wish) -> None:
        if self._wishes.get(name) is wish:
            self._tell(name, Standing.REFUSED, wish.unfit or "")

    def _attach(self, wake: Callable[[], None]) -> Session:
        session: Session

        def on_standing(name: str, standing: Standing, message: str) -> None:
            if session is next(reversed(self._sessions), None):
                self._tell(name, standing, message)

        session = Session(self._store, on_standing, retry=self._retry, chunk=self._chunk)
        self._sessions[session] = wake
        self._log.info("envoy connected", envoys=len(self._sessions))
        if self._on_connected is not None and len(self._sessions) == 1:
            self._on_connected(True)
        return session

    def _detach(self, session: Session) -> None:
        del self._sessions[session]
        self._log.info("envoy disconnected", envoys=len(self._sessions))
        if self._sessions:
            session, wake = next(reversed(self._sessions.items()))
            session.review()
            wake()
        elif self._on_connected is not None:
            self._on_connected(False)

    def _tell(self, name: str, standing: Standing, message: str) -> None:
        wish = self._wishes.get(name)
        if wish is None:
            return
        if wish.unfit is not None:
            standing, message = Standing.REFUSED, wish.unfit
        outcome = Outcome(state=_STATES[standing], token=wish.token, message=message)
        if outcome == wish.told:
            return
        wish.told = outcome
        if standing is Standing.GONE:
            del self._wishes[name]
            self._store.forget(name)
        self._on_outcome(wish.key, outcome)
