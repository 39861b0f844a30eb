"""What a server holds for `fleetlb.testkit.fake_bus`: streams with their limits, and who follows them. No I/O."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import NO_HEADERS, Ack, Message, StreamState, TooLarge, headers_of

_births = itertools.count()


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern with `*` (one token) and `>` (one or more at the end)."""
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


class FakeStream:
    """One stream. Followers are queues; None in a queue says that continuity is lost."""

    def __init__(self, spec: StreamSpec, last_sequence: int = 0) -> None:
        """An empty stream, that counts on from a sequence."""
        self.spec = spec
        self.created_at = datetime.now(UTC) + timedelta(microseconds=next(_births))
        self.last_sequence = last_sequence
        self.messages: dict[str, list[Message]] = {}
        self.followers: dict[asyncio.Queue[Message | None], str] = {}
        self._ids: dict[str, int] = {}

    @property
    def state(self) -> StreamState:
        """As a real stream would tell it."""
        return StreamState(self.created_at, self.last_sequence, sum(map(len, self.messages.values())))

    def takes(self, subject: str) -> bool:
        """Whether messages on this subject are stored here."""
        return any(subject_matches(pattern, subject) for pattern in self.spec.subjects)

    def store(
        self, subject: str, body: bytes, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        """Store one message under the stream's limits and hand it to the followers."""
        if len(body) > self.spec.max_message_bytes:
            raise TooLarge(f"message size exceeds maximum allowed of {self.spec.name}")
        if message_id and message_id in self._ids:
            return Ack(self.spec.name, self._ids[message_id], duplicate=True)
        if self.spec.discard_new and self._size() + len(body) > self.spec.max_bytes:
            raise Transient(f"maximum bytes exceeded in {self.spec.name}")
        self.last_sequence += 1
        if message_id:
            self._ids[message_id] = self.last_sequence
        message = Message(subject, body, self.last_sequence, headers_of(message_id, trace, headers))
        kept = [] if self.spec.compacted else self.messages.get(subject, [])
        self.messages[subject] = [*kept, message][-(self.spec.max_messages_per_subject or 0) :]
        for queue, pattern in self.followers.items():
            if subject_matches(pattern, subject):
                queue.put_nowait(message)
        return Ack(self.spec.name, self.last_sequence)

    def last_per_subject(self, pattern: str) -> list[Message]:
        """The last message of every matching subject, in the order of the stream."""
        last = (kept[-1] for subject, kept in self.messages.items() if kept and subject_matches(pattern, subject))
        return sorted(last, key=lambda message: message.stream_sequence)

    def purge(self, subject: str, through: int = 0) -> None:
        """Forget the messages of one subject, or those up to a sequence."""
        kept = self.messages.pop(subject, [])
        later = [message for message in kept if through and message.stream_sequence > through]
        if later:
            self.messages[subject] = later

    def interrupt(self) -> None:
        """Make every follower begin anew."""
        for queue in self.followers:
            queue.put_nowait(None)

    def _size(self) -> int:
        return sum(len(message.data) for message in self._all())

    def _all(self) -> Iterable[Message]:
        return itertools.chain.from_iterable(self.messages.values())
