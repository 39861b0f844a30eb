"""Keeps the watcher's credentials good: asks the hub for the next ones, again and again, and takes them when they come.

A new key is offered each time and its seed stays here. Whether it is time, the hub decides: so it can have everybody
renew before it revokes what was issued so far. What is taken is kept first, so that a restart finds it; the connection
is then made anew with it, long before the old credentials expire.
"""

import asyncio
import random
from typing import NoReturn, Protocol

import structlog
from prometheus_client import Gauge

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import CredentialsIssued, CredentialsRequested
from fleetlb.domain.errors import FleetlbError, Poison, Transient
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.bus import Message
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_credentials import Credentials, Keyring, credentials_of

EXPIRES = Gauge(
    "fleetlb_credentials_expire_timestamp_seconds", "When the credentials in use expire; 0: never.", unit="seconds"
)
ASK_SECONDS = 30.0
"""Between questions, give or take a half: far shorter than the notice that a rotation gives."""
ANSWER_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Hub(Protocol):
    """The way to the hub."""

    @property
    def connected(self) -> bool:
        """Whether it stands."""

    async def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        """Ask, or raise Transient."""

    def dial_anew(self, reason: str) -> None:
        """Begin another connection, with the credentials of now."""


class Shelf(Protocol):
    """Where credentials outlive the process."""

    async def keep(self, text: str) -> None:
        """Replace the credentials there by those of a file's text. Raises FleetlbError or OSError."""


class Renewing:
    """Asks for the next credentials."""

    def __init__(self, keyring: Keyring, hub: Hub, shelf: Shelf) -> None:
        """`shelf` keeps what `keyring` is given."""
        self._keyring = keyring
        self._hub = hub
        self._shelf = shelf
        self._wanted = asyncio.Event()
        self._unkept: Credentials | None = None
        self._present: Credentials | None = None

    def want(self) -> None:
        """Ask soon: the connection is another one, and the hub may have waited to be asked."""
        self._wanted.set()

    def hear(self, message: Message) -> None:
        """The hub has something to issue; whatever the message says, asking is right."""
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Ask when it is time, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._pause() * (0.5 + random.random())):  # noqa: S311 - jitter
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.turn()

    def _pause(self) -> float:
        """Several questions fit into even a short life."""
        life = (self._present.expires_at or 0) - self._present.issued_at if self._present else 0
        return min(ASK_SECONDS, life / 8) if life > 0 else ASK_SECONDS

    async def turn(self) -> None:
        """Ask once, if the hub can be asked."""
        if self._unkept is not None:
            await self._keep(self._unkept)
        if not self._hub.connected:
            return
        try:
            issued = await self._ask()
        except (Transient, Poison, ValueError, OSError) as problem:
            log.debug("no answer about credentials; asking again", problem=str(problem))
            return
        if issued is not None:
            await self._keep(issued)
            self._keyring.take(issued)
            self._note(issued)
            log.info("credentials renewed; connecting with them", expires_at=issued.expires_at)
            self._hub.dial_anew("credentials renewed")

    async def _ask(self) -> Credentials | None:
        """The next credentials, or None: the present ones are good. Raises Transient, Poison, ValueError, OSError."""
        present = self._keyring.newest()
        self._note(present)
        seed = nats_accounts.new_seed(KeyKind.USER)
        user = nats_accounts.public_key(seed)
        request = CredentialsRequested(user=user, issued_at=present.issued_at, expires_at=present.expires_at or 0)
        answer = await self._hub.request(subjects.LOCAL_CREDENTIALS, codec.encode(request), ANSWER_SECONDS)
        jwt = codec.decode(CredentialsIssued, answer).jwt
        if not jwt:
            return None
        if nats_accounts.claims_of(jwt).get("sub") != user:
            raise Poison("the hub issued credentials for another key")
        return credentials_of(jwt, seed)

    async def _keep(self, credentials: Credentials) -> None:
        """Without a shelf that takes them they hold as long as the process; it is tried again at the next turn."""
        try:
            await self._shelf.keep(nats_accounts.creds_file(credentials.jwt, credentials.seed))
        except (FleetlbError, OSError) as problem:
            if self._unkept is None:
                log.warning("renewed credentials cannot be kept; a restart needs the old ones", problem=str(problem))
            self._unkept = credentials
        else:
            self._unkept = None

    def _note(self, credentials: Credentials) -> None:
        self._present = credentials
        EXPIRES.set(credentials.expires_at or 0)
