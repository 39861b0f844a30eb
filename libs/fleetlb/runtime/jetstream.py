"""The bus over NATS JetStream: the adapter behind `fleetlb.runtime.bus.Bus`.

It must not know what is in a message, nor any subject of ours. The connection is `fleetlb.runtime.connection`, reading
streams is `fleetlb.runtime.replaying`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, time

import msgspec
import structlog
from nats.aio.msg import Msg

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.runtime import metrics, stream_config
from fleetlb.runtime.bus import (
    NO_HEADERS,
    PUBLISH_SECONDS,
    REQUEST_SECONDS,
    Ack,
    Callback,
    Message,
    MessageHandler,
    Misconfigured,
    Responder,
    StreamMissing,
    StreamState,
    headers_of,
)
from fleetlb.runtime.connection import Connection, Dialling, Greeted
from fleetlb.runtime.jetstream_api import API, call, read
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.nats_tls import NO_FILES, TlsFiles
from fleetlb.runtime.replay_progress import Pulling
from fleetlb.runtime.replaying import Follower, Handlers
from fleetlb.runtime.session import NobodyAnswers

_PUBLISHES_IN_FLIGHT = 128
_FLUSH_SECONDS = 2.0


class _PubAck(msgspec.Struct):
    stream: str
    seq: int
    duplicate: bool = False


class _Done(msgspec.Struct):
    success: bool = False


class JetStreamBus:
    """A bus over one NATS connection that is kept for ever; see `fleetlb.runtime.bus.Bus` for what each method does."""

    def __init__(
        self, dialling: Dialling, *, pulling: Pulling | None = None, on_greeted: Greeted = lambda _: None
    ) -> None:
        """Does nothing until `begin`."""
        self._connection = Connection(dialling, on_greeted=on_greeted)
        self._pulling = pulling
        self._slots = asyncio.Semaphore(_PUBLISHES_IN_FLIGHT)
        self._keeper: asyncio.Task[None] | None = None
        self._replicas = 1
        self._log = structlog.get_logger("fleetlb.bus")

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        tasks: asyncio.TaskGroup,
        creds: Path | Keyring | None = None,
        tls: TlsFiles = NO_FILES,
        name: str = "fleetlb",
        max_payload: int = 1024 * 1024,
        takes_any_server: bool = False,
        on_greeted: Greeted = lambda _: None,
    ) -> "JetStreamBus":
        """A bus that has begun.

        `creds`: a credentials file, or a keyring that is given newer ones. `tls`: what counts where `url` says tls://.
        `max_payload`: what the user's account may send at once; a larger message would cost the connection.
        `takes_any_server`, `on_greeted`: see `Connection`.
        """
        keyring = Keyring(creds) if isinstance(creds, Path) else creds
        dialling = Dialling(
            url=url, name=name, creds=keyring, tls=tls, max_payload=max_payload, takes_any_server=takes_any_server
        )
        bus = cls(dialling, on_greeted=on_greeted)
        await bus.begin(tasks)
        return bus

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Return once connected, however long that takes; the connection is kept by a task of `tasks`."""
        self._keeper = tasks.create_task(self._connection.run(), name="bus connection")
        try:
            await self._connection.session()
        except asyncio.CancelledError:
            self._keeper.cancel()
            raise

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._connection.connected

    def replicate(self, replicas: int) -> None:
        """Have every stream that is ensured from now on held by so many servers at least."""
        self._replicas = replicas

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        """Put a message into its stream and wait for the acknowledgement."""
        began = perf_counter()
        outcome = "unknown"
        try:
            async with self._slots:
                sent = headers_of(message_id, trace, headers)
                answer = await self._connection.current().request(subject, body, PUBLISH_SECONDS, headers=sent)
            ack = read(answer.data, _PubAck)
            outcome = "duplicate" if ack.duplicate else "stored"
        except NobodyAnswers:
            outcome = "missing"
            raise StreamMissing(f"no stream takes {subject}") from None
        finally:
            metrics.BUS_PUBLISHES.labels(outcome).inc()
        metrics.BUS_PUBLISH_SECONDS.observe(perf_counter() - began)
        return Ack(ack.stream, ack.seq, ack.duplicate)

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        """Send without any stream."""
        await self._connection.current().publish(subject, body, headers=headers_of(trace=trace))

    async def request(self, subject: str, body: bytes, timeout: float = REQUEST_SECONDS) -> bytes:
        """Ask and return the first answer."""
        return (await self._connection.current().request(subject, body, timeout)).data

    async def listen(self, subject: str, handler: MessageHandler) -> None:
        """Call the handler for every message sent on a subject."""

        async def receive(message: Msg) -> None:
            try:
                handler(Message(message.subject, message.data, headers=message.headers or NO_HEADERS))
            except Exception:
                metrics.BUS_HANDLER_ERRORS.inc()
                self._log.exception("the handler of a message failed; going on", subject=message.subject)

        await self._connection.subscribe(subject, receive)

    async def serve(self, subject: str, responder: Responder, queue: str = "") -> None:
        """Answer requests on a subject."""

        async def receive(message: Msg) -> None:
            try:
                answer = await responder(message.subject, message.data)
                if answer is not None and message.reply:
                    await self._connection.current().publish(message.reply, answer)
            except Transient as problem:
                # Whoever asks may ask a thousand times a second: it must not fill the log.
                self._log.debug("a request is not answered", subject=message.subject, problem=str(problem))
            except Exception:
                metrics.BUS_HANDLER_ERRORS.inc()
                self._log.exception("a request could not be answered", subject=message.subject)

        await self._connection.subscribe(subject, receive, queue)

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        """Create the stream, or change it where it differs. Raises Misconfigured when the server cannot comply."""
        spec = msgspec.structs.replace(spec, replicas=max(spec.replicas, self._replicas))
        try:
            info = await self._stream_request("INFO", spec.name, None)
            if stream_config.must_be_remade(spec, info.config):
                await call(self._connection.current(), f"{API}.STREAM.DELETE.{spec.name}", None, _Done)
                raise StreamMissing(spec.name)
        except StreamMissing:
            info = await self._create(spec)
        if complaint := stream_config.complaint(spec, info.config):
            info = await self._mend(spec, info, complaint)
        return stream_config.state_of(info)

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        """Never returns: everything of a stream, then what comes."""
        handlers = Handlers(on_message, on_replayed, on_restart)
        await Follower(self._connection, stream, subject_filter, handlers, pulling=self._pulling).run()

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        """Remove the messages of one subject, or those up to a sequence."""
        bound = {"seq": through + 1} if through else {}  # the server keeps `seq` itself
        await call(self._connection.current(), f"{API}.STREAM.PURGE.{stream}", {"filter": subject, **bound}, _Done)

    async def delete_stream(self, name: str) -> None:
        """Remove a stream with all that it holds."""
        with contextlib.suppress(StreamMissing):
            await call(self._connection.current(), f"{API}.STREAM.DELETE.{name}", None, _Done)

    def dial_anew(self, reason: str) -> None:
        """Begin another connection, with the credentials of now."""
        self._connection.dial_anew(reason)

    def on_reconnect(self, callback: Callback) -> None:
        """Call back each time the connection stands again."""
        self._connection.on_reconnect(callback)

    async def close(self) -> None:
        """Send what is written and end the connection."""
        if self._connection.connected:
            with contextlib.suppress(Transient):
                await self._connection.current().settle(_FLUSH_SECONDS)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def _create(self, spec: StreamSpec) -> stream_config.StreamInfo:
        """A stream that somebody makes in the same moment, beginning elsewhere, is as good."""
        try:
            return await self._stream_request("CREATE", spec.name, stream_config.new_stream_config(spec, time()))
        except Misconfigured as problem:
            try:
                return await self._stream_request("INFO", spec.name, None)
            except StreamMissing:
                raise problem from None

    async def _mend(self, spec: StreamSpec, info: stream_config.StreamInfo, complaint: str) -> stream_config.StreamInfo:
        try:
            info = await self._stream_request("UPDATE", spec.name, stream_config.updated_config(spec, info.config))
        except Misconfigured as problem:
            raise Misconfigured(f"{complaint} ({problem})") from None
        if complaint := stream_config.complaint(spec, info.config):
            raise Misconfigured(complaint)
        return info

    async def _stream_request(self, verb: str, name: str, body: dict[str, object] | None) -> stream_config.StreamInfo:
        session = self._connection.current()
        return await call(session, f"{API}.STREAM.{verb}.{name}", body, stream_config.StreamInfo)
