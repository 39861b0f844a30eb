"""Trace context of W3C (https://www.w3.org/TR/trace-context/) as text: `00-<trace id>-<span id>-<flags>`. Pure.

A change keeps its trace id from the tenant's API server to the tenant's Service; the span id names the step that sent
it on. A text that is none counts as no context at all: it comes from tenants.
"""

import re

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_MARK = re.compile(r" \[trace [0-9a-f]{32}\]$")
SAMPLED = 1
"""The flag of a span that somebody may have recorded."""
TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8


def valid(text: str) -> str:
    """The context, or nothing if it is none."""
    return text if _FORM.fullmatch(text) else ""


def trace_id(context: str) -> str:
    """Its trace id, 32 hexadecimal digits; empty without a context."""
    return context[3:35]


def span_id(context: str) -> str:
    """Its span id, 16 hexadecimal digits; empty without a context."""
    return context[36:52]


def is_sampled(context: str) -> bool:
    """Whether its spans are worth recording."""
    return bool(context) and bool(int(context[53:55], 16) & SAMPLED)


def beginning(random: bytes, *, sampled: bool) -> str:
    """A context that nothing came before, from 24 random bytes."""
    trace, span = random[:TRACE_ID_BYTES].hex(), random[TRACE_ID_BYTES:].hex()
    return f"00-{trace}-{span}-{SAMPLED if sampled else 0:02x}"


def following(context: str, random: bytes) -> str:
    """The next step of a trace, from 8 random bytes."""
    return f"{context[:36]}{random.hex()}{context[52:]}"


def marked(message: str, context: str) -> str:
    """A text for people, with the trace of the change that led to it at its end."""
    return f"{unmarked(message)} [trace {trace_id(context)}]" if context else message


def unmarked(message: str) -> str:
    """The text alone."""
    return _MARK.sub("", message)


def mark_of(message: str) -> str:
    """The trace id at the end of a text, or nothing."""
    found = _MARK.search(message)
    return found.group()[8:-1] if found else ""
