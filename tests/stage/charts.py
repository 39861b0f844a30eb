"""The charts, through the Helm that deploy/helm/fetch.sh builds."""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from fleetlb.kube.resources import Object

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "helm"
HUB, TENANT = FOLDER / "fleetlb", FOLDER / "fleetlb-tenant"
RELEASES = {HUB: "fleetlb", TENANT: "fleetlb-tenant"}
NAMESPACE = "fleetlb-system"
CASES = {
    f"{chart.name}-{file.name.removesuffix('-values.yaml')}": (chart, file)
    for chart in RELEASES
    for file in sorted((chart / "ci").glob("*-values.yaml"))
}
"""Each chart with each of the files of values that it is tested with."""


class HelmError(Exception):
    """Helm said no; the text is what it said."""


@functools.cache
def helm() -> str:
    """Path of the binary."""
    answer = subprocess.run([FOLDER / "fetch.sh"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def run(*arguments: str, timeout: float = 60) -> str:
    """What Helm prints. Raises HelmError."""
    answer = subprocess.run([helm(), *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    if answer.returncode != 0:
        raise HelmError(answer.stderr)
    return answer.stdout


def settings(values: dict[str, Any]) -> list[str]:
    """Options that give values, by their paths."""
    return [word for path, value in values.items() for word in ("--set-json", f"{path}={json.dumps(value)}")]


def rendered(chart: Path, file: Path | None = None, values: dict[str, Any] | None = None) -> list[Object]:
    """The objects of a release. Raises HelmError."""
    given = [] if file is None else ["--values", str(file)]
    text = run("template", RELEASES[chart], str(chart), "--namespace", NAMESPACE, *given, *settings(values or {}))
    return [item for item in yaml.safe_load_all(text) if item]


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """By kind and name."""
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def pods(objects: list[Object]) -> list[Object]:
    """Templates of pods."""
    return [item["spec"]["template"] for item in objects if item["kind"] in ("Deployment", "StatefulSet")]


def environ_of(template: Object) -> dict[str, str]:
    """What the container of a pod is told, of our own; what a kubelet fills in is a letter A in all its places."""
    (container,) = template["spec"]["containers"]
    told = {each["name"]: each.get("value", "A" * 56) for each in container["env"]}
    return {name: text for name, text in told.items() if name.startswith("FLEETLB_")}
