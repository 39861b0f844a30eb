"""Single messages that the hub's streams hold, read without a consumer."""

import base64
from datetime import datetime

import msgspec

from fleetlb.domain.traces import valid
from fleetlb.runtime.bus import TRACE_HEADER, Bus, StreamMissing
from fleetlb.runtime.jetstream_api import API, read

ASK_SECONDS = 5.0


class Kept(msgspec.Struct, frozen=True):
    """The last message of a subject."""

    data: bytes
    trace: str
    """Its trace context; empty if it has none."""
    at: float
    """When the stream took it, in seconds since 1970."""


class _Message(msgspec.Struct):
    time: str
    data: str = ""
    hdrs: str = ""


class _Answer(msgspec.Struct):
    message: _Message


async def last_message(bus: Bus, stream: str, subject: str) -> Kept | None:
    """What a stream holds last on a subject; None: nothing, or there is no stream. Raises Transient."""
    body = msgspec.json.encode({"last_by_subj": subject})
    try:
        found = read(await bus.request(f"{API}.STREAM.MSG.GET.{stream}", body, ASK_SECONDS), _Answer).message
    except StreamMissing:
        return None
    return Kept(base64.b64decode(found.data), _trace(found.hdrs), datetime.fromisoformat(found.time).timestamp())


def _trace(encoded: str) -> str:
    for line in base64.b64decode(encoded).decode(errors="replace").splitlines():
        name, _, text = line.partition(":")
        if name.lower() == TRACE_HEADER:
            return valid(text.strip())
    return ""
