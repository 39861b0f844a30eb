"""Translates a StreamSpec to the server's JSON, and says whether what the server has agrees with it. Pure.

Three features are off on every stream, because a tenant's message could use them against others: roll-up headers,
per-message lifetimes, and direct reads (which may be stale).
"""

from datetime import datetime
from typing import Any

import msgspec

from fleetlb.contracts.streams import StreamSpec
from fleetlb.runtime.bus import StreamState

_FORBIDDEN = ("allow_rollup_hdrs", "allow_msg_ttl", "allow_direct", "mirror_direct", "allow_msg_schedules")
_NANOSECONDS = 1_000_000_000


class _State(msgspec.Struct):
    last_seq: int = 0
    messages: int = 0


class StreamInfo(msgspec.Struct):
    """The part of the server's answer about a stream that is used."""

    created: datetime
    config: dict[str, Any]
    state: _State


def stream_config(spec: StreamSpec) -> dict[str, Any]:
    """The settings of a stream as the server takes them."""
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": "memory" if spec.compacted else "file",
        "max_bytes": spec.max_bytes,
        "max_msg_size": spec.max_message_bytes,
        "max_msgs_per_subject": 1 if spec.compacted else -1,
        "discard": "new" if spec.discard_new else "old",
        "max_age": round((spec.max_age_seconds or 0) * _NANOSECONDS),
        "allow_rollup_hdrs": False,
        "allow_msg_ttl": False,
        "allow_direct": False,
    }


def differences(spec: StreamSpec, actual: dict[str, Any]) -> dict[str, Any]:
    """Settings that an update must change; empty when the stream is as wished."""
    return {name: value for name, value in stream_config(spec).items() if actual.get(name, _absent(value)) != value}


def must_be_remade(spec: StreamSpec, actual: dict[str, Any]) -> bool:
    """Whether only a new stream can be as wished: the server moves none between disk and memory. What is in a compacted
    stream is said again; no other may be lost like this."""
    return spec.compacted and "storage" in differences(spec, actual)


def forbidden_features(actual: dict[str, Any]) -> tuple[str, ...]:
    """Features that are on and must not be."""
    return tuple(name for name in _FORBIDDEN if actual.get(name))


def updated_config(spec: StreamSpec, actual: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration for an update: what an operator set beside ours (replicas, placement) stays."""
    return {**actual, **stream_config(spec)}


def state_of(info: StreamInfo) -> StreamState:
    """The port's view of a stream."""
    return StreamState(created_at=info.created, last_sequence=info.state.last_seq, messages=info.state.messages)


def _absent(value: object) -> object:
    """The server leaves out what is zero or false."""
    return type(value)() if isinstance(value, bool | int) else None
