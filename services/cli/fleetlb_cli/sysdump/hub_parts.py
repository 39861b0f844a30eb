"""What the management cluster and NATS hold. Adapters; they write nothing. Secrets are not even asked for."""

import platform
import time
from functools import partial
from typing import Any

import msgspec

import fleetlb
from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.resources import LEASES, Object, Resource
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.jetstream_api import API, read
from fleetlb.runtime.reading import ASK_SECONDS
from fleetlb_cli.audit.gathering import read_stream
from fleetlb_cli.audit.running import look as audit
from fleetlb_cli.reaching import Target
from fleetlb_cli.status.looking import Look
from fleetlb_cli.sysdump.parts import File, Part, as_json, as_json_lines

OUR_KINDS: tuple[Resource[Any], ...] = (
    TENANTS,
    TENANT_CLUSTERS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    ADDRESS_CLAIMS,
)
MOST_MESSAGES = 50_000
"""Of one stream, the newest."""


def versions_part(cluster: Cluster) -> Part:
    """Of this command and of the API server; those of nodes and watchers stand in their objects."""

    async def collect() -> list[File]:
        said = {
            "takenAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "fleetlb": fleetlb.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "kubernetes": msgspec.json.decode(await cluster.raw("/version")),
        }
        return [as_json("versions.json", said)]

    return Part("versions", collect)


def object_parts(cluster: Cluster, namespace: str) -> list[Part]:
    """Our kinds, and the Leases in the namespace of the fleet's processes."""
    parts = [Part(repr(kind), partial(_objects, cluster, kind, None)) for kind in OUR_KINDS]
    return [*parts, Part("leases", partial(_objects, cluster, LEASES, namespace))]


async def _objects(cluster: Cluster, kind: Resource[Any], namespace: str | None) -> list[File]:
    """As the API server has them, with what this version does not know of."""
    whole = Resource(kind.group, kind.version, kind.plural, Object, kind.namespaced, kind_name=kind.kind_name)
    items = await cluster.list(whole, namespace)
    for item in items:
        item.get("metadata", {}).pop("managedFields", None)
    return [as_json_lines(f"objects/{kind.plural}.jsonl", items)]


def status_part(look: Look) -> Part:
    """What `fleetlb status` says."""

    async def collect() -> list[File]:
        return [as_json("status.json", await look())]

    return Part("status", collect)


def audit_part(cluster: Cluster, bus: Bus, target: Target, settle: float) -> Part:
    """What `fleetlb audit` says. `settle`: seconds between its two looks."""

    async def collect() -> list[File]:
        return [as_json("audit.json", await audit(cluster, bus, target, settle))]

    return Part("audit", collect)


def streams_part(bus: Bus) -> Part:
    """Settings, state and last messages of every stream."""

    async def collect() -> list[File]:
        streams = await _streams(bus)
        files = [as_json("streams.json", streams)]
        for stream in streams:
            spec = StreamSpec(
                name=stream["config"]["name"],
                subjects=tuple(stream["config"].get("subjects", ())),
                max_bytes=0,
                max_message_bytes=0,
            )
            messages = await read_stream(bus, spec) if spec.subjects and stream["state"]["messages"] else []
            newest = sorted(messages, key=lambda each: each.stream_sequence)[-MOST_MESSAGES:]
            files.append(as_json_lines(f"streams/{spec.name}.jsonl", [_told(message) for message in newest]))
        return files

    return Part("streams", collect)


def missing_part(title: str, problem: str) -> Part:
    """One that cannot be had."""

    async def collect() -> list[File]:
        raise Transient(problem)

    return Part(title, collect)


class _Streams(msgspec.Struct):
    total: int
    streams: list[dict[str, Any]] | None = None


async def _streams(bus: Bus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = msgspec.json.encode({"offset": len(found)})
        page = read(await bus.request(f"{API}.STREAM.LIST", body, ASK_SECONDS), _Streams)
        found.extend(page.streams or ())
        if not page.streams or len(found) >= page.total:
            return found


def _told(message: Message) -> dict[str, object]:
    """What is no JSON is not repeated: nobody can say what is in it."""
    try:
        body = msgspec.json.decode(message.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = f"{len(message.data)} bytes that are no JSON"
    return {
        "subject": message.subject,
        "sequence": message.stream_sequence,
        "traceparent": message.trace,
        "body": body,
    }
