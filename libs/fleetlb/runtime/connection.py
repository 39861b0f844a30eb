"""Keeps one logical connection to NATS for ever: dials, watches, dials again with jitter, subscribes anew.

The client library's own reconnecting is off: it gives up for good after several of the server's errors (revoked or
expired credentials, an oversized message) and buffers what its caller was told had failed. One loop here instead.
It must not know streams.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from fleetlb.domain.errors import Transient
from fleetlb.runtime import metrics, server_versions
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Callback
from fleetlb.runtime.nats_accounts import sign_nonce
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.nats_tls import NO_FILES, SCHEME, DemandingClient, TlsFiles, explained
from fleetlb.runtime.session import Session, cancels_so_far, discard, happens, honour_cancellation

REDIAL = Backoff(initial=0.2, cap=5.0, factor=1.7, jitter=0.6)
_KEEPALIVE_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_DIAL_SECONDS = 5
_REFUSED_CREDENTIALS = ("authorization", "authentication")

MessageReceiver = Callable[[Msg], Awaitable[None]]
Greeted = Callable[[str], None]
"""Hears what speaks against a server that has greeted; an empty text: nothing does."""


class Dialling(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect and as whom. `creds` and `tls` are read at every attempt, so renewed ones are taken up.

    `takes_any_server`: of one that there is an objection to, say so and go on. It is for those who do not run the
    server and keep nobody apart.
    """

    url: str
    name: str
    creds: Keyring | None = None
    tls: TlsFiles = NO_FILES
    max_payload: int = 1024 * 1024
    inbox_prefix: str = "_INBOX"
    takes_any_server: bool = False

    @property
    def demands_tls(self) -> bool:
        """Whether nothing may be said in the clear."""
        return SCHEME in self.url


class _Lasting(msgspec.Struct, frozen=True):
    subject: str
    queue: str
    receiver: MessageReceiver


class Connection:
    """A connection that comes back. `run` must be running for anything else to work."""

    def __init__(
        self,
        dialling: Dialling,
        *,
        redial: Backoff = REDIAL,
        keepalive_seconds: float = _KEEPALIVE_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
        on_greeted: Greeted = lambda _: None,
    ) -> None:
        """Does nothing yet. Every `keepalive_seconds` the server must answer a ping within `answer_seconds`."""
        self._dialling = dialling
        self._redial = redial
        self._keepalive_seconds = keepalive_seconds
        self._answer_seconds = answer_seconds
        self._on_greeted = on_greeted
        self._session: Session | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._lasting: list[_Lasting] = []
        self._callbacks: list[Callback] = []
        self._log = structlog.get_logger("fleetlb.bus").bind(nats=dialling.url)

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._session is not None

    def on_reconnect(self, callback: Callback) -> None:
        """Call back each time the connection stands again."""
        self._callbacks.append(callback)

    def dial_anew(self, reason: str) -> None:
        """End the current session, if there is one; the next one follows at once."""
        if self._session is not None:
            self._session.end(reason)

    async def session(self) -> Session:
        """The current session, waiting for one if there is none, or for the next if this one has ended."""
        while True:
            if self._session is None:
                await self._up.wait()
            elif self._session.ended.is_set():
                await self._down.wait()  # whoever begins the next one has not had its turn yet, and must have it
            else:
                return self._session

    def current(self) -> Session:
        """The current session. Raises Transient when there is none."""
        if self._session is None:
            raise Transient("not connected to NATS")
        return self._session

    async def subscribe(self, subject: str, receiver: MessageReceiver, queue: str = "") -> None:
        """Receive what is sent on a subject, over reconnects. Returns once the server knows, if connected."""
        lasting = _Lasting(subject, queue, receiver)
        self._lasting.append(lasting)
        if self._session is not None:
            with contextlib.suppress(Transient):
                await self._session.subscribe(subject, receiver, queue)
                await self._session.settle(self._answer_seconds)

    async def run(self) -> NoReturn:
        """Keep connected until cancelled."""
        connects = 0
        while True:
            session = await self._establish()
            try:
                await self._serve(session, first=connects == 0)
            finally:
                self._session = None
                self._up.clear()
                self._down.set()
                metrics.BUS_CONNECTED.set(0)
                await session.close("closed")
            connects += 1
            self._log.warning("the connection to NATS ended; connecting again", reason=session.reason)

    async def _serve(self, session: Session, *, first: bool) -> None:
        try:
            await session.open()
            for lasting in self._lasting:
                await session.subscribe(lasting.subject, lasting.receiver, lasting.queue)
        except (NatsError, Transient) as problem:
            session.end(str(problem))
            return
        self._session = session
        self._down.clear()
        self._up.set()
        metrics.BUS_CONNECTED.set(1)
        metrics.BUS_CONNECTS.inc()
        if not first:
            self._call_back()
        await self._watch(session)

    async def _watch(self, session: Session) -> None:
        while not session.ended.is_set():
            if await happens(session.ended, self._keepalive_seconds):
                return
            try:
                await session.flush(self._answer_seconds)
            except Transient as problem:
                session.end(str(problem))

    def _call_back(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                metrics.BUS_HANDLER_ERRORS.inc()
                self._log.exception("a callback after reconnecting failed")

    async def _establish(self) -> Session:
        told = ""
        attempt = 0
        while True:
            try:
                session = await self._dial()
            except (NatsError, OSError, TimeoutError, ValueError, Transient) as problem:
                text = self._explain(problem)
                if text != told:
                    self._log.warning("cannot connect to NATS; trying until it works", error=text)
                told = text
                await asyncio.sleep(self._redial.delay(attempt, random.random()))  # noqa: S311 - jitter
                attempt += 1
            else:
                self._log.info("connected to NATS", attempts=attempt + 1)
                return session

    def _explain(self, problem: Exception) -> str:
        text = explained(problem) if self._dialling.demands_tls else str(problem) or type(problem).__name__
        if self._dialling.creds is None or not any(word in text.lower() for word in _REFUSED_CREDENTIALS):
            return text
        return f"{text}; the credentials are {self._dialling.creds.describe()}"

    async def _dial(self) -> Session:
        options = self._options()
        client = DemandingClient() if self._dialling.demands_tls else Client()
        holder: list[Session] = []
        problems: list[Exception] = []

        async def on_error(problem: Exception) -> None:
            if holder:
                self._on_error(holder[0], problem)
            else:
                problems.append(problem)

        async def on_closed() -> None:
            if holder:
                holder[0].end(str(client.last_error or "closed by the server"))

        cancels = cancels_so_far()
        try:
            async with asyncio.timeout(2 * _DIAL_SECONDS):
                await client.connect(error_cb=on_error, closed_cb=on_closed, **options)
            honour_cancellation(since=cancels)
            self._judge(_version_of(client))
        except BaseException as problem:
            await discard(client)
            honour_cancellation(since=cancels)
            if problems and isinstance(problem, NatsError):
                raise problems[-1] from problem
            raise
        holder.append(Session(client, max_payload=self._dialling.max_payload))
        return holder[0]

    def _judge(self, version: str) -> None:
        """Raises Transient about a server that must not be worked with: another may answer next."""
        objection = server_versions.objection(version)
        self._on_greeted(objection)
        if objection and not self._dialling.takes_any_server:
            raise Transient(objection)
        if objection:
            self._log.warning("going on, though the hub should not use this server", problem=objection)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "servers": self._dialling.url.split(","),
            "name": self._dialling.name,
            "inbox_prefix": self._dialling.inbox_prefix,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.1,
            "connect_timeout": _DIAL_SECONDS,
            # A publish without a connection fails at once instead of being sent later behind its caller's back.
            "pending_size": -1,
        }
        if self._dialling.demands_tls:
            options["tls"] = self._dialling.tls.context()
        if self._dialling.creds is not None:
            newest = self._dialling.creds.newest()
            options["user_jwt_cb"] = lambda: bytearray(newest.jwt.encode())
            options["signature_cb"] = lambda nonce: sign_nonce(newest.seed, nonce)
        return options

    def _on_error(self, session: Session, problem: Exception) -> None:
        text = str(problem)
        if "permissions violation" in text.lower():
            session.refused(text)
            self._log.error("NATS refused a subject", error=text)
        elif not session.ended.is_set():
            self._log.debug("NATS client error", error=text)


def _version_of(client: Client) -> str:
    """What the server calls its version; the library's own word for it raises on garbage."""
    return str(client._server_info.get("version", ""))
