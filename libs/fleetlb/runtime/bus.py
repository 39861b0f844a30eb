"""The bus as services see it: a port and the values that cross it.

Delivery is level-triggered: a follower gets the last message of every subject, then what comes, and after any doubt
about continuity everything again. Nothing is acknowledged, so nothing can be lost by acknowledging. This module must
not know NATS; `fleetlb.runtime.jetstream` speaks it, `fleetlb.testkit.fake_bus` plays it.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain import traces
from fleetlb.domain.errors import FleetlbError, Transient

PUBLISH_SECONDS = 3.0
REQUEST_SECONDS = 3.0
TRACE_HEADER = "traceparent"
NO_HEADERS: Mapping[str, str] = {}


class Message(msgspec.Struct, frozen=True):
    """One message."""

    subject: str
    data: bytes
    stream_sequence: int = 0
    """0: it was in no stream."""
    headers: Mapping[str, str] = NO_HEADERS

    @property
    def trace(self) -> str:
        """The W3C trace context of what sent it; empty if there is none, or nothing that is one."""
        return traces.valid(self.headers.get(TRACE_HEADER, ""))


class Ack(msgspec.Struct, frozen=True):
    """A stream's word that it holds a message. `duplicate`: it held one with this id before, at `sequence`."""

    stream: str
    sequence: int
    duplicate: bool = False


def headers_of(message_id: str = "", trace: str = "", others: Mapping[str, str] = NO_HEADERS) -> Mapping[str, str]:
    """What travels with a message: an id by which its stream knows a repetition, and the sender's trace context."""
    headers = {**others, "Nats-Msg-Id": message_id} if message_id else dict(others)
    return headers | {TRACE_HEADER: trace} if trace else headers


class StreamState(msgspec.Struct, frozen=True):
    """What a stream holds; another `created_at` means another stream under the same name."""

    created_at: datetime
    last_sequence: int
    messages: int


class StreamMissing(Transient):
    """No stream takes this subject, or none of this name exists, yet."""


class TooLarge(FleetlbError):
    """The message exceeds what the connection or the stream takes; sending it again cannot help."""


class Misconfigured(FleetlbError):
    """A stream's or consumer's settings are refused, or must not be as they are: an operator must act."""


MessageHandler = Callable[[Message], None]
Responder = Callable[[str, bytes], Awaitable[bytes | None]]
Callback = Callable[[], None]


class Bus(Protocol):
    """What a service may do. Methods that talk raise Transient when the outcome is unknown or the bus is away."""

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now."""

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        """Put a message into the stream that takes the subject, and wait for its acknowledgement.

        `trace`: the W3C trace context of the step that sends it. `headers`: what else stands beside the body.

        Transient means unknown: call again with the same id. StreamMissing and TooLarge mean that it was not stored.
        """

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        """Send without any stream: whoever listens now gets it. Raises Transient while the bus is away."""

    async def request(self, subject: str, body: bytes, timeout: float = REQUEST_SECONDS) -> bytes:
        """Ask, and return the first answer. Raises Transient when nobody answers in time."""

    async def listen(self, subject: str, handler: MessageHandler) -> None:
        """Call the handler for every message sent on a subject, from now on and over reconnects.

        A handler that raises is logged and counted; the next message comes all the same.
        """

    async def serve(self, subject: str, responder: Responder, queue: str = "") -> None:
        """Answer requests on a subject, one at a time; members of one `queue` share them.

        No answer if the responder returns None, or raises.
        """

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        """Make a stream with these settings exist, creating or updating it only where needed. Raises Misconfigured."""

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        """Never returns. The last message of every subject, `on_replayed`, then each message as it comes.

        When continuity is in doubt (reconnect, gap, consumer or stream gone) it waits for the stream, calls
        `on_restart`, and begins anew. A stream that does not exist yet is waited for.
        """

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        """Remove the messages of one subject from a stream; none there is success.

        `through`: a stream sequence; what came after it stays. 0: all of them.
        """

    async def delete_stream(self, name: str) -> None:
        """Remove a stream with all that it holds; none there is success."""

    def dial_anew(self, reason: str) -> None:
        """Begin another connection at once, with the credentials of now; what waits for an answer raises Transient."""

    def on_reconnect(self, callback: Callback) -> None:
        """Call back each time the connection stands again; not for the first time."""

    async def close(self) -> None:
        """Send what is written, under a time limit, and end the connection."""
