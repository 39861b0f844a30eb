"""Spans of the changes that pass a process: contexts are always made, spans only where somebody collects them.

A context costs two microseconds, so every change has a trace id that can be read in conditions, Events and logs. Spans
are told once they are over, as plain values; `fleetlb.runtime.otlp` sends them away. Off, which is the default, nothing
of OpenTelemetry is even imported.
"""

import enum
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from fleetlb.domain import traces

Attributes = Mapping[str, str | int]
NO_ATTRIBUTES: Attributes = {}


class Kind(enum.Enum):
    """What part of a conversation a span is, as OpenTelemetry has it."""

    INTERNAL = "internal"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done for a change. Times: microseconds since 1970."""

    trace: str
    """Its own context."""
    name: str
    began: int
    ended: int
    parent: str = ""
    """The context of the step before; empty: it is the first."""
    kind: Kind = Kind.INTERNAL
    attributes: Attributes = NO_ATTRIBUTES
    links: tuple[str, ...] = ()
    """Contexts of changes that this one took along."""


class Sink(Protocol):
    """Where spans go."""

    def samples(self, trace_id: str) -> bool:
        """Whether a trace that begins here is worth recording."""

    def emit(self, span: Span) -> None:
        """Take a span; never waits."""

    async def close(self) -> None:
        """Send what is left, within a few seconds."""


def microseconds() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


class Tracing:
    """Contexts for one process, and its spans."""

    def __init__(self, sink: Sink | None = None, *, now: Callable[[], int] = microseconds) -> None:
        """Without a sink nothing is recorded."""
        self.sink = sink
        self.now = now
        """Microseconds since 1970, as spans and stations have them."""

    def begin(self) -> str:
        """The context of a change that begins here. Those who record nothing leave the choice to those who do."""
        random = secrets.token_bytes(traces.TRACE_ID_BYTES + traces.SPAN_ID_BYTES)
        context = traces.beginning(random, sampled=True)
        if self.sink is None or self.sink.samples(traces.trace_id(context)):
            return context
        return traces.beginning(random, sampled=False)

    def follow(self, context: str) -> str:
        """The context of the next step; of a first one if there was none."""
        return traces.following(context, secrets.token_bytes(traces.SPAN_ID_BYTES)) if context else self.begin()

    def records(self, context: str) -> bool:
        """Whether a span of this context would be kept."""
        return self.sink is not None and traces.is_sampled(context)

    def record(self, span: Span) -> None:
        """Tell of a span that is over."""
        if self.sink is not None and traces.is_sampled(span.trace):
            self.sink.emit(span)

    def record_publish(self, trace: str, parent: str, subject: str, began: int, ended: int) -> None:
        """Tell of a message that was sent. `subject`: with names in braces where it has keys."""
        if self.records(trace):
            kind, attributes = Kind.PRODUCER, messaging("publish", "send", subject)
            name = f"publish {subject}"
            self.record(
                Span(trace=trace, parent=parent, name=name, kind=kind, began=began, ended=ended, attributes=attributes)
            )

    def record_process(self, sent: str, subject: str, began: int, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Tell of a message that was taken in, until now. `sent`: the context of whoever sent it."""
        if self.records(sent):
            told = {**messaging("process", "process", subject), **attributes}
            self.record(
                Span(
                    trace=self.follow(sent),
                    parent=sent,
                    name=f"process {subject}",
                    kind=Kind.CONSUMER,
                    began=began,
                    ended=self.now(),
                    attributes=told,
                )
            )


OFF = Tracing()
"""Contexts, and no spans."""


def messaging(name: str, kind: str, subject: str) -> Attributes:
    """The conventions of OpenTelemetry for messages: what was done with which kind of subject."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.template": subject,
    }
