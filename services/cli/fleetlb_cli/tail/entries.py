"""One message as a person or a machine reads it. Values."""

from datetime import UTC, datetime

import msgspec

from fleetlb.domain.traces import trace_id
from fleetlb_cli.tenants.tables import printable

NOTHING = "-"


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message."""

    at: float
    """When it was heard, in seconds since 1970 by this machine's clock."""
    kind: str
    """The participle of its subject: observed, allowed, desired, realized, reported, released, …"""
    subject: str
    hop: str = ""
    """The last station of the change that it tells of; empty: it has none."""
    trace: str = ""
    """W3C trace context; empty: nobody traced it."""
    tenant: str = ""
    """Whose it is; empty: nobody's, or nobody has said."""
    service: str = ""
    """NAMESPACE/NAME; likewise."""
    text: str = ""
    """What it says, in words."""
    is_beat: bool = False
    """Whether it is sent again and again though nothing happens."""


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry as `-o json` prints it."""

    time: str
    kind: str
    hop: str
    trace: str
    tenant: str
    service: str
    text: str
    subject: str


def as_line(entry: Entry) -> str:
    """Time of day, kind, hop, trace id, whose it is, and what it says."""
    moment = datetime.fromtimestamp(entry.at, UTC)
    whose = "/".join(part for part in (entry.tenant, entry.service) if part)
    said = f"{whose}: {entry.text}" if whose else entry.text
    start = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {entry.kind:<9} {entry.hop or NOTHING:<11}"
    return printable(f"{start} {trace_id(entry.trace) or NOTHING:<32} {said}")


def as_json(entry: Entry) -> str:
    """One JSON object, on one line."""
    told = Told(
        time=datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        kind=entry.kind,
        hop=entry.hop,
        trace=trace_id(entry.trace),
        tenant=entry.tenant,
        service=entry.service,
        text=entry.text,
        subject=entry.subject,
    )
    return msgspec.json.encode(told).decode()
