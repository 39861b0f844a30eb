"""A chart as a flat manifest, for those who use no Helm."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "fleetlb-system"
URL = "nats://HUB:4222"
"""Stands where whoever installs a watcher must say where the hub is."""
OF_A_POD = ("Deployment", "NetworkPolicy")
HELMS_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
FIRST = {kind: place for place, kind in enumerate(("Namespace", "CustomResourceDefinition", "ServiceAccount"))}
LAST = ("Deployment", "StatefulSet")

Object = dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """All of them."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def flat(helm: str, chart: Path, release: str, told: dict[str, str]) -> list[Object]:
    """The objects of a release, its namespace first, without what only Helm reads."""
    settings = [word for name, text in told.items() for word in ("--set", f"{name}={text}")]
    command = [helm, "template", release, str(chart), "--namespace", NAMESPACE, *settings]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    objects = [item for item in yaml.safe_load_all(text) if item]
    for item in objects:
        _unlabel(item)
    return sorted([namespace, *objects], key=_place)


def text_of(objects: list[Object]) -> str:
    """As one stream of documents."""
    return str(yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=1000))


def _place(item: Object) -> int:
    """In the order in which they can be created."""
    if item["kind"] in LAST:
        return 100
    return FIRST.get(item["kind"], 50)


def _unlabel(item: Object) -> None:
    template = item.get("spec", {}).get("template", {}) if isinstance(item.get("spec"), dict) else {}
    for metadata in (item["metadata"], template.get("metadata", {})):
        for label in HELMS_LABELS:
            metadata.get("labels", {}).pop(label, None)
