"""Reads a compacted stream from its beginning and follows it, through one consumer after another.

The consumer is ephemeral, needs no acknowledgements and is pulled: so many messages, or so long, at a time. After any
doubt about its completeness a new one begins anew. What counts as doubt is decided in `replay_progress`.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec
import structlog
from nats.aio.msg import Msg

from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime import metrics
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Callback, Message, MessageHandler
from fleetlb.runtime.connection import Connection
from fleetlb.runtime.jetstream_api import API, call
from fleetlb.runtime.replay_progress import (
    Position,
    Progress,
    Pulling,
    Turn,
    consumer_request,
    position_of,
    pull_request,
)
from fleetlb.runtime.session import Session, happens

REOPEN = Backoff(initial=0.1, cap=5.0, factor=2.0, jitter=0.5)


class Handlers(msgspec.Struct, frozen=True):
    """Whom a follower tells."""

    on_message: MessageHandler
    on_replayed: Callback
    on_restart: Callback


class _Info(msgspec.Struct):
    num_pending: int = 0


class _Reading:
    """One consumer, from its creation to its loss."""

    def __init__(self, session: Session, source: tuple[str, str], handlers: Handlers, pulling: Pulling) -> None:
        self._session = session
        self._stream, self._filter = source
        self._handlers = handlers
        self._pulling = pulling
        self._progress = Progress(batch=pulling.batch)
        self._consumer = f"fleetlb-{secrets.token_hex(8)}"
        self._inbox = session.new_inbox()
        self._lost = asyncio.Event()
        self._heard = 0.0
        self.cause = ""
        self.replayed = False
        self._log = structlog.get_logger("fleetlb.bus").bind(stream=self._stream)

    async def read(self, *, restarted: bool) -> None:
        """Return when the consumer is lost, with `cause` set. Raises Transient when it cannot be created."""
        create = f"{API}.CONSUMER.CREATE.{self._stream}.{self._consumer}.{self._filter}"
        request = consumer_request(self._stream, self._consumer, self._filter, self._pulling)
        subscription = await self._session.subscribe(f"{self._inbox}.*", self._on_message)
        try:
            info = await call(self._session, create, request, _Info)
            if restarted:
                self._tell(self._handlers.on_restart)
            if info.num_pending == 0:
                self._progress.replaying = False
                self._finish_replay()
            self._heard = asyncio.get_running_loop().time()
            await self._pull()
            with self._session.watched(self._on_session_end):
                await self._watch_silence()
        finally:
            await self._discard(subscription)

    async def _watch_silence(self) -> None:
        loop = asyncio.get_running_loop()
        patience = 2.5 * self._pulling.heartbeat_seconds
        while not self._lost.is_set():
            if await happens(self._lost, patience):
                return
            if loop.time() - self._heard >= patience:
                self._lose("silence")

    async def _on_message(self, message: Msg) -> None:
        if self._lost.is_set():
            return
        self._heard = asyncio.get_running_loop().time()
        headers = message.headers
        if headers and "Status" in headers and message.subject.startswith(self._inbox):
            pull = int(message.subject.rpartition(".")[2])
            turn = self._progress.status(pull, headers["Status"], headers.get("Description", ""))
            cause = headers.get("Description") or headers["Status"]
        else:
            position = position_of(message.reply)
            turn = self._progress.message(position.consumer_sequence, position.pending)
            cause = "gap"
            if turn is not Turn.LOST:
                self._deliver(message, position, headers or {})
        await self._act(turn, cause)

    async def _act(self, turn: Turn, cause: str) -> None:
        match turn:
            case Turn.WAIT:
                return
            case Turn.LOST:
                self._lose(cause)
                return
            case Turn.REPLAYED:
                self._finish_replay()
        try:
            await self._pull()
        except FleetlbError as problem:
            self._lose(str(problem))

    async def _pull(self) -> None:
        number = self._progress.pulled()
        body = msgspec.json.encode(pull_request(self._pulling, replaying=self._progress.replaying))
        subject = f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._session.publish(subject, body, reply=f"{self._inbox}.{number}")

    def _deliver(self, message: Msg, position: Position, headers: Mapping[str, str]) -> None:
        metrics.BUS_MESSAGES.inc()
        try:
            self._handlers.on_message(Message(message.subject, message.data, position.stream_sequence, headers))
        except Exception:
            metrics.BUS_HANDLER_ERRORS.inc()
            self._log.exception("the handler of a message failed; going on", subject=message.subject)

    def _finish_replay(self) -> None:
        self.replayed = True
        self._tell(self._handlers.on_replayed)

    def _tell(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            metrics.BUS_HANDLER_ERRORS.inc()
            self._log.exception("a callback of a follower failed; going on")

    def _on_session_end(self) -> None:
        self._lose("disconnected")

    def _lose(self, cause: str) -> None:
        if not self._lost.is_set():
            self.cause = cause
            self._lost.set()

    async def _discard(self, subscription: Any) -> None:
        """Leave nothing behind on a server that is still there; otherwise it forgets the consumer by itself."""
        self._lost.set()
        if self._session.ended.is_set():
            return
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()
            subject = f"{API}.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            await self._session.publish(subject, b"", reply=f"{self._inbox}.0")


class Follower:
    """Reads and follows one stream for ever."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subject_filter: str,
        handlers: Handlers,
        *,
        pulling: Pulling | None = None,
        reopen: Backoff = REOPEN,
    ) -> None:
        """Does nothing yet."""
        self._connection = connection
        self._source = (stream, subject_filter)
        self._handlers = handlers
        self._pulling = pulling or Pulling()
        self._reopen = reopen
        self._log = structlog.get_logger("fleetlb.bus").bind(stream=stream)

    async def run(self) -> NoReturn:
        """Open one consumer after another."""
        attempt = 0
        cause = "start"
        begun = False
        while True:
            session = await self._connection.session()
            reading = _Reading(session, self._source, self._handlers, self._pulling)
            metrics.BUS_REPLAYS.labels(_label(cause)).inc()
            try:
                await reading.read(restarted=begun)
                begun = True
                attempt = 0 if reading.replayed else attempt
                cause = reading.cause
                self._log.info("the stream must be read anew", cause=cause)
            except FleetlbError as problem:
                cause = cause if attempt else type(problem).__name__
                if attempt == 0:
                    self._log.info("the stream cannot be read yet; waiting for it", cause=str(problem))
            if session.ended.is_set():
                continue
            await asyncio.sleep(self._reopen.delay(attempt, random.random()))  # noqa: S311 - jitter
            attempt += 1


def _label(cause: str) -> str:
    """A cause as one of a few metric labels."""
    known = ("start", "gap", "silence", "disconnected", "StreamMissing")
    return cause if cause in known else "consumer"
