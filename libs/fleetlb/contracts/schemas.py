"""What other programs need to speak with fleetlb: JSON Schemas of the messages, an AsyncAPI document, the CRDs.

All of it is generated from the Python types, so that code and documentation cannot part. Knows no file system and no
YAML: `deploy/schemas/generate.py` writes what this module says.
"""

from typing import Any

import msgspec

from fleetlb.contracts.channels import CHANNELS, MESSAGES, Channel, name_of
from fleetlb.contracts.cloud_events import ATTRIBUTES, OPTIONAL
from fleetlb.contracts.crds import all_crds
from fleetlb.contracts.events import NodeEvent, ServiceEvent
from fleetlb.contracts.v1 import Message

Document = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MEANINGS = {
    "account": "Public key of the tenant's NATS account, written by the server.",
    "address": "A VIP, such as 192-0-2-1; an IPv6 address is fully expanded.",
    "cluster": "UID of the tenant cluster's namespace kube-system.",
    "group": "A BalancerGroup.",
    "key": "A virtual server: address, port and protocol, such as 192-0-2-1_443_tcp.",
    "lease": "Name of the Lease whose holder speaks.",
    "node": "A balancer node; a dot in its name is written as an underscore.",
    "tenant": "A Tenant; a dot in its name is written as an underscore.",
    "uid": "UID of the Service.",
}


def documents() -> dict[str, Document]:
    """Every generated document by its path in the repository; the suffix names its format."""
    schemas = {f"proto-schemas/v1/{name_of(kind)}.schema.json": message_schema(kind) for kind in MESSAGES}
    crds = {f"deploy/crds/{crd['spec']['names']['plural']}.yaml": crd for crd in all_crds()}
    return {**schemas, "proto-schemas/asyncapi.yaml": asyncapi(), **crds}


def message_schema(kind: type[Message]) -> Document:
    """The JSON Schema of one message. Unknown fields are allowed: readers ignore them."""
    schema = msgspec.json.schema(kind)
    return {"$schema": DIALECT, "$id": f"urn:fleetlb:v1:{name_of(kind)}", **schema}


def asyncapi() -> Document:
    """The bus as an AsyncAPI 3 document. Operations speak of the part that is named in them."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "fleetlb",
            "version": "1.0.0",
            "description": "Messages between the parts of fleetlb, over NATS, in the hub's account."
            " Each holds the full state of its subject: keep the last one per subject, and losing, repeating or"
            " reordering any is harmless. Events, below fleetlb.v1.events, are for integrations instead: a history of"
            " CloudEvents in binary mode (docs/events.md).",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {name: body for channel in CHANNELS for name, body in _operations(channel).items()},
        "components": {
            "messages": {name_of(kind): _message(kind) for kind in MESSAGES},
            "parameters": {name: {"description": text} for name, text in _MEANINGS.items()},
        },
    }


def _message(kind: type[Message]) -> Document:
    name = name_of(kind)
    envelope = {"headers": _envelope()} if issubclass(kind, ServiceEvent | NodeEvent) else {}
    return {
        "name": str(kind.__struct_config__.tag),
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").split("\n", 1)[0],
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./v1/{name}.schema.json"},
        },
        **envelope,
    }


def _envelope() -> Document:
    """The headers of every event."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in ATTRIBUTES.items()},
        "required": [name for name in ATTRIBUTES if name not in OPTIONAL],
    }


def _channel(channel: Channel) -> Document:
    kinds = [channel.message, *([channel.reply] if channel.reply else [])]
    body: Document = {
        "address": channel.subject,
        "summary": channel.summary,
        "messages": {name_of(kind): {"$ref": f"#/components/messages/{name_of(kind)}"} for kind in kinds},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in channel.parameters},
    }
    extras = {"x-stream": channel.stream, "x-subject-in-a-tenant-account": channel.local}
    return body | {name: text for name, text in extras.items() if text}


def _operations(channel: Channel) -> dict[str, Document]:
    """One `send` of the writer and one `receive` of each reader."""
    place = f"#/channels/{channel.name}"
    body: Document = {
        "channel": {"$ref": place},
        "messages": [{"$ref": f"{place}/messages/{name_of(channel.message)}"}],
    }
    if channel.reply:
        answer = {"$ref": f"{place}/messages/{name_of(channel.reply)}"}
        body["reply"] = {"channel": {"$ref": place}, "messages": [answer]}
    sends = {f"{channel.writer}_sends_{channel.name}": {"action": "send", **body}}
    receives = {f"{reader}_receives_{channel.name}": {"action": "receive", **body} for reader in channel.readers}
    return sends | receives
