"""The envelope of events: CloudEvents 1.0 in NATS binary mode, attributes as headers beside the data. Pure.

The names follow the NATS protocol binding 1.0.3: every attribute is a header `ce-…` with its value percent-encoded.
`content-type` stands there for readers that look at nothing else.
"""

from collections.abc import Mapping
from urllib.parse import quote

from fleetlb.contracts.events import Event, NodeEvent

SPEC_VERSION = "1.0"
MEDIA_TYPE = "application/json"
_UNCHANGED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

ATTRIBUTES: Mapping[str, str] = {
    "ce-specversion": "1.0.",
    "ce-id": "Names the event; the same event said twice has the same id.",
    "ce-source": "What it is about, as /clusters/{cluster}/services/{uid} or /groups/{group}/nodes/{node}.",
    "ce-type": "dev.fleetlb.v1.{type}, as in the data.",
    "ce-subject": "namespace/name of the Service, or the name of the node.",
    "ce-time": "When it was found out (RFC 3339).",
    "ce-datacontenttype": "application/json.",
    "ce-dataschema": "urn:fleetlb:v1:{type}, the $id of the data's schema.",
    "ce-traceparent": "W3C trace context of the change that led there; also as traceparent. Absent: none is known.",
}
"""Every header that an event may have, and what it says."""
OPTIONAL = ("ce-traceparent",)


def headers_of(event: Event, *, event_id: str, time: str, trace: str = "") -> Mapping[str, str]:
    """The headers of an event; `time`: RFC 3339. Whatever its names hold, no header can be broken by them."""
    kind = str(type(event).__struct_config__.tag)
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event_id,
        "source": _source(event),
        "type": kind,
        "subject": event.node if isinstance(event, NodeEvent) else f"{event.namespace}/{event.name}",
        "time": time,
        "datacontenttype": MEDIA_TYPE,
        "dataschema": f"urn:fleetlb:v1:{kind.rpartition('.')[2]}",
    }
    if trace:
        attributes["traceparent"] = trace
    return {f"ce-{name}": quote(value, safe=_UNCHANGED) for name, value in attributes.items()} | {
        "content-type": MEDIA_TYPE
    }


def _source(event: Event) -> str:
    if isinstance(event, NodeEvent):
        return f"/groups/{event.group}/nodes/{event.node}"
    return f"/clusters/{event.cluster_uid}/services/{event.uid}"
