"""How far one consumer has been read, and what to do after each of the server's messages. Pure: events in, turns out.

Every message carries its number in the consumer; a number left out means that messages were lost on the way. This
module must not know a connection: `fleetlb.runtime.replaying` acts on what is decided here.
"""

from enum import Enum
from typing import Any

import msgspec

_MIB = 1024 * 1024
_NANOSECONDS = 1_000_000_000


class Pulling(msgspec.Struct, frozen=True, kw_only=True):
    """How a follower pulls. Silence for 2.5 heartbeats counts as the loss of the consumer."""

    batch: int = 500
    max_bytes: int = 8 * _MIB
    expires_seconds: float = 240.0
    heartbeat_seconds: float = 20.0
    inactive_seconds: float = 60.0


class Turn(Enum):
    """What to do after an event."""

    WAIT = "wait"
    PULL = "pull"
    REPLAYED = "replayed"
    LOST = "lost"


class Progress:
    """How far one consumer has been read. Pure: events in, turns out.

    While replaying, a pull asks for what is there and ends by itself; after that a pull waits for what comes.
    """

    def __init__(self, *, batch: int) -> None:
        """Of a consumer of which nothing was read."""
        self.replaying = True
        self.pull = 0
        self._batch = batch
        self._taken = 0
        self._expected = 1

    def pulled(self) -> int:
        """A pull was sent; returns its number."""
        self.pull += 1
        self._taken = 0
        return self.pull

    def message(self, consumer_sequence: int, pending: int) -> Turn:
        """A message came; `pending` more are waiting in the stream. LOST means: do not use it."""
        if consumer_sequence != self._expected:
            return Turn.LOST
        self._expected += 1
        self._taken += 1
        if self.replaying and pending == 0:
            return self._replayed()
        return Turn.PULL if self._taken >= self._batch else Turn.WAIT

    def status(self, pull: int, code: str, description: str) -> Turn:
        """The server said something about a pull."""
        text = description.lower()
        if code == "100":
            return Turn.WAIT
        if code == "503" or (code == "409" and ("deleted" in text or "shutdown" in text or "leadership" in text)):
            return Turn.LOST
        if pull != self.pull:
            return Turn.WAIT
        if code in ("404", "408"):
            return self._replayed() if self.replaying else Turn.PULL
        if code == "409" and ("maxbytes" in text or "batch completed" in text):
            return Turn.PULL
        return Turn.LOST

    def _replayed(self) -> Turn:
        self.replaying = False
        return Turn.REPLAYED


class Position(msgspec.Struct, frozen=True):
    """What the reply subject of a delivered message says about it."""

    stream_sequence: int
    consumer_sequence: int
    pending: int


def position_of(reply: str) -> Position:
    """Parse `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<n>.<stream seq>.<consumer seq>.<time>.<pending>`."""
    tokens = reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    return Position(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 3]))


def consumer_request(stream: str, name: str, subject_filter: str, pulling: Pulling) -> dict[str, Any]:
    """The request for an ephemeral consumer that starts with the last message of each subject."""
    config = {
        "name": name,
        "deliver_policy": "last_per_subject",
        "ack_policy": "none",
        "filter_subject": subject_filter,
        "inactive_threshold": round(pulling.inactive_seconds * _NANOSECONDS),
        "mem_storage": True,
        "num_replicas": 1,
    }
    return {"stream_name": stream, "config": config, "action": "create"}


def pull_request(pulling: Pulling, *, replaying: bool) -> dict[str, Any]:
    """The body of one pull."""
    body: dict[str, Any] = {"batch": pulling.batch, "max_bytes": pulling.max_bytes}
    if replaying:
        return {**body, "no_wait": True}
    return {
        **body,
        "expires": round(pulling.expires_seconds * _NANOSECONDS),
        "idle_heartbeat": round(pulling.heartbeat_seconds * _NANOSECONDS),
    }
