"""The records of what integrations were told, folded from their stream, and kept there. Decides nothing."""

from collections.abc import Callable, Mapping
from typing import Generic, NoReturn, Protocol, TypeVar

import msgspec
import structlog

from fleetlb.contracts import codec
from fleetlb.contracts.streams import TOLD_STREAM
from fleetlb.contracts.told import Told
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import NO_HEADERS, Ack, Callback, Message, MessageHandler
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb_status.judging import Term

log = structlog.get_logger(__name__)

K = TypeVar("K")
T = TypeVar("T", bound=Told)


class RecordBus(Protocol):
    """The part of the bus that records and events need."""

    async def publish(
        self, subject: str, body: bytes, *, message_id: str, trace: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> Ack:
        """Put a message into its stream, and wait for its acknowledgement. Raises Transient."""

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Remove the messages of one subject. Raises Transient."""

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        """Never returns: the last message of every subject, then what comes."""


class Records(Generic[K, T]):
    """Records of one kind by what they are about."""

    def __init__(
        self,
        bus: RecordBus,
        kind: type[T],
        subject_filter: str,
        *,
        key_of: Callable[[str], K],
        subject_of: Callable[[K], str],
        on_complete: Callback,
        term: Term,
    ) -> None:
        """`key_of` raises Poison; `on_complete`: all records are known, for the first time or anew; `term`: who has one
        is the only one who writes and forgets."""
        self._bus = bus
        self._kind = kind
        self._filter = subject_filter
        self._key_of = key_of
        self._subject_of = subject_of
        self._on_complete = on_complete
        self._term = term
        self._records: dict[K, T] = {}
        self._seen: set[K] = set()
        self._replaying = True

    @property
    def is_complete(self) -> bool:
        """Whether all records are known."""
        return not self._replaying

    def keys(self) -> tuple[K, ...]:
        """All that something was told of."""
        return tuple(self._records)

    def get(self, key: K) -> T | None:
        """What was told last."""
        return self._records.get(key)

    async def follow(self) -> NoReturn:
        """Read them, for ever."""
        await self._bus.replay_and_follow(
            TOLD_STREAM.name, self._filter, self._fold, on_replayed=self._on_replayed, on_restart=self._on_restart
        )
        raise AssertionError("following never ends")

    async def write(self, key: K, record: T) -> None:
        """Keep a record. Raises Transient: whether it is kept is then unknown."""
        state = "way" if record.on_its_way else "end"
        name = f"{self._subject_of(key)}-{record.generation}-{record.revision}-{state}"
        await self._bus.publish(self._subject_of(key), codec.encode(record), message_id=name)
        self._keep(key, record)

    async def forget(self, key: K) -> None:
        """What it was about is gone. Raises Transient."""
        await self._bus.purge_subject(TOLD_STREAM.name, self._subject_of(key))
        self._records.pop(key, None)

    def _fold(self, message: Message) -> None:
        if not message.data:
            return
        try:
            key, record = self._key_of(message.subject), codec.decode(self._kind, message.data)
        except Poison as problem:
            UNREADABLE.labels("told").inc()
            log.warning("a record cannot be read", subject=message.subject[:200], problem=str(problem))
            return
        if record.is_over and not self._replaying and self._term() is None:
            self._records.pop(key, None)  # whoever tells forgets it in the stream too
        else:
            self._keep(key, record)

    def _keep(self, key: K, record: T) -> None:
        known = self._records.get(key)
        if known is None or known.order <= record.order:
            self._records[key] = record
        if self._replaying:
            self._seen.add(key)

    def _on_restart(self) -> None:
        self._replaying = True
        self._seen.clear()

    def _on_replayed(self) -> None:
        """What is missing was forgotten by somebody else, or is lost: then who tells still knows it and tells again."""
        for key in self._records.keys() - self._seen:
            if self._term() is None or self._records[key].is_over:
                del self._records[key]
            else:
                self._doubt(key)
        self._seen.clear()
        self._replaying = False
        self._on_complete()

    def doubt(self) -> None:
        """Nobody knows any more of what was told."""
        for key in self.keys():
            self._doubt(key)

    def _doubt(self, key: K) -> None:
        """A record without a number is so old that it is told again."""
        record = self._records[key]
        if not record.on_its_way and not record.is_over:
            self._records[key] = msgspec.structs.replace(record, revision=0)
