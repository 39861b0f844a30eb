"""Translates a StreamSpec to the server's JSON, and says whether what the server has agrees with it. Pure.

Some features are off on every stream: those that a tenant's message could use against others (roll-up headers,
lifetimes, schedules, counters, batches), those that carry messages past the wall between tenants (mirrors, sources,
republishing, other subjects), and those that break what we rely on (direct reads, which may be stale; no
acknowledgement; no purge).
"""

from datetime import datetime
from typing import Any

import msgspec

from fleetlb.contracts.streams import StreamSpec
from fleetlb.runtime.bus import StreamState

_FORBIDDEN = (
    "allow_rollup_hdrs", "allow_msg_ttl", "allow_msg_schedules", "allow_msg_counter", "allow_atomic", "allow_batched",
    "allow_direct", "mirror_direct", "mirror", "sources", "republish", "subject_transform", "no_ack", "deny_purge",
    "sealed",
)  # fmt: skip
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
        "storage": "memory" if spec.compacted and not spec.on_disk else "file",
        "max_bytes": spec.max_bytes,
        "max_msg_size": spec.max_message_bytes,
        "max_msgs_per_subject": 1 if spec.compacted else spec.max_messages_per_subject or -1,
        "discard": "new" if spec.discard_new else "old",
        "max_age": round((spec.max_age_seconds or 0) * _NANOSECONDS),
        "allow_rollup_hdrs": False,
        "allow_msg_ttl": False,
        "allow_direct": False,
        "num_replicas": spec.replicas,
    }


def new_stream_config(spec: StreamSpec, now: float) -> dict[str, Any]:
    """The settings of a stream that is made now, in seconds since 1970.

    One that counts on begins at the microsecond: no stream takes a message in each for as long as it lives.
    """
    first = {"first_seq": round(now * 1_000_000)} if spec.counts_on else {}
    return {**stream_config(spec), **first}


def differences(spec: StreamSpec, actual: dict[str, Any]) -> dict[str, Any]:
    """Settings that an update must change; empty when the stream is as wished."""
    return {name: value for name, value in _wished(spec, actual).items() if actual.get(name, _absent(value)) != value}


def must_be_remade(spec: StreamSpec, actual: dict[str, Any]) -> bool:
    """Whether only a new stream can be as wished: the server moves none between disk and memory. What is in a compacted
    stream is said again; no other may be lost like this."""
    return spec.compacted and "storage" in differences(spec, actual)


def forbidden_features(actual: dict[str, Any]) -> tuple[str, ...]:
    """Features that are on and must not be."""
    return tuple(name for name in _FORBIDDEN if actual.get(name))


def updated_config(spec: StreamSpec, actual: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration for an update: what an operator set beside ours (placement, more replicas) stays."""
    allowed = {name: value for name, value in actual.items() if name not in _FORBIDDEN}
    return {**allowed, **_wished(spec, actual)}


def complaint(spec: StreamSpec, actual: dict[str, Any]) -> str:
    """Which settings of a stream must not be as they are, and the cure if no update helps; empty: all is well."""
    wished = differences(spec, actual)
    wrong = [f"{name} is {_shown(actual.get(name))}, not {_shown(value)}" for name, value in wished.items()]
    wrong += [f"{name} is {_shown(actual[name])}" for name in forbidden_features(actual) if name not in wished]
    if not wrong:
        return ""
    loss = "what it held is said again" if spec.compacted else "what it holds is lost, so read it before"
    return (
        f"stream {spec.name} has settings that must not be: {', '.join(wrong)};"
        f" if they cannot be changed, remove it (nats stream rm {spec.name}): it is made anew, {loss}"
    )


def state_of(info: StreamInfo) -> StreamState:
    """The port's view of a stream."""
    return StreamState(created_at=info.created, last_sequence=info.state.last_seq, messages=info.state.messages)


def _wished(spec: StreamSpec, actual: dict[str, Any]) -> dict[str, Any]:
    return {**stream_config(spec), "num_replicas": max(spec.replicas, actual.get("num_replicas") or 1)}


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:64]


def _absent(value: object) -> object:
    """The server leaves out what is zero or false."""
    return type(value)() if isinstance(value, bool | int) else None
