"""The fields of a values.yaml, from its text: their comments, defaults and kinds; what is made of them."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_KEY = re.compile(r"^( *)([A-Za-z]\w*):")
PULLING = {"enum": ["Always", "IfNotPresent", "Never"]}
TEXTS = {"items": {"type": "string"}}
TEXT_BY_NAME = {"additionalProperties": {"type": "string"}}
PORT = {"minimum": 1, "maximum": 65535}
AT_LEAST_ONE = {"minimum": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "logLevel": {"enum": ["debug", "info", "warning", "error"]},
    "pullPolicy": PULLING,
    "imagePullSecrets": TEXTS,
    "commonLabels": TEXT_BY_NAME,
    "podLabels": TEXT_BY_NAME,
    "podAnnotations": TEXT_BY_NAME,
    "labels": TEXT_BY_NAME,
    "annotations": TEXT_BY_NAME,
    "nodeSelector": TEXT_BY_NAME,
    "extraEnv": {"items": {"type": "object", "required": ["name"]}},
    "tolerations": {"items": {"type": "object"}},
    "topologySpreadConstraints": {"items": {"type": "object"}},
    "replicas": AT_LEAST_ONE,
    "nats.replicas": {"enum": [1, 3]},
    "nats.streamReplicas": {"enum": [0, 1, 3, 5]},
    "nats.service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "nats.service.nodePort": {"minimum": 0, "maximum": 65535},
    "nats.service.externalTrafficPolicy": {"enum": ["Cluster", "Local"]},
    "nats.jetstream.size": {"pattern": "^[1-9][0-9]*[MGT]i$"},
    "nats.jetstream.maxMemoryStore": {"pattern": "^[1-9][0-9]*[MGT]i$"},
    "manager.partitions": {"minimum": 1, "maximum": 64},
    "manager.credentialsSeconds": {"minimum": 10},
    "manager.annotations.allow": TEXTS,
    "manager.annotations.deny": TEXTS,
    "manager.annotations.default": TEXTS,
    "status.events.days": {"minimum": 1, "maximum": 3650},
    "status.events.mebibytes": AT_LEAST_ONE,
    "status.page.port": PORT,
    "terminationGracePeriodSeconds": {"minimum": 0},
    "dialects": {"items": {"enum": ["metallb", "cilium", "kube-vip", "kubelb"]}},
    "serviceLabels": TEXTS,
    "nodeAddressTypes": {"items": {"enum": ["InternalIP", "ExternalIP"]}},
}
"""Beside the kind of its default: of one field by its path, or of all that have this name."""
KINDS = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


class Field(NamedTuple):
    """One value that can be given."""

    path: tuple[str, ...]
    text: str
    """What it means."""
    default: Any


def fields_of(text: str) -> list[Field]:
    """Every field that has a comment, in the order of the file. Raises ValueError for a value without any."""
    values, comment = yaml.safe_load(text), ""
    found: list[Field] = []
    place: list[str] = []
    described: set[tuple[str, ...]] = set()
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment = f"{comment} {line.strip(' #')}".strip()
            continue
        if match := _KEY.match(line):
            depth = len(match[1]) // 2
            place = [*place[:depth], match[2]]
            if comment and not any(tuple(place[:n]) in described for n in range(1, depth + 1)):
                described.add(tuple(place))
                found.append(Field(tuple(place), comment, _at(values, place)))
        comment = ""
    _require_all(values, described)
    return found


def _at(values: Any, place: list[str]) -> Any:
    for name in place:
        values = values[name]
    return values


def _require_all(values: Any, described: set[tuple[str, ...]], place: tuple[str, ...] = ()) -> None:
    for name, value in values.items():
        path = (*place, name)
        if path in described:
            continue
        if not isinstance(value, dict) or not value:
            raise ValueError(f"values.yaml: {'.'.join(path)} has no comment that says what it means")
        _require_all(value, described, path)


def schema_of(fields: list[Field]) -> dict[str, Any]:
    """A JSON Schema that knows these fields, and takes no others."""
    root = _section()
    for field in fields:
        section = root
        for name in field.path[:-1]:
            section = section["properties"].setdefault(name, _section())
        section["properties"][field.path[-1]] = _leaf(field)
    root["properties"]["global"] = {"description": "Of a chart that this is a part of; not read.", "type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _section() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _leaf(field: Field) -> dict[str, Any]:
    shape = SHAPES.get(".".join(field.path), SHAPES.get(field.path[-1], {}))
    return {"description": field.text, "type": KINDS[type(field.default)], **shape}


def page_of(chart: Path, fields: list[Field]) -> str:
    """README.md of a chart."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    head = (chart / "README.head.md").read_text("utf-8").rstrip()
    rows = [f"| `{'.'.join(field.path)}` | {_cell(field)} | `{json.dumps(field.default)}` |" for field in fields]
    return "\n".join(
        [
            "<!-- Generated by deploy/helm/generate_charts.py from README.head.md and values.yaml. Do not edit. -->",
            f"# {about['name']}",
            "",
            f"{about['description']}.",
            "",
            head,
            "",
            "## Values",
            "",
            "| value | what it is | default |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(field: Field) -> str:
    return field.text.replace("|", "\\|")


def versioned(text: str, version: str) -> str:
    """Chart.yaml, whose versions are those of the services."""
    return re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {version}", text)
