"""Let a watcher into a cluster, as docs/local-fleet.md tells a user to: with kubectl, and no more rights than it needs.

Must not know what the watcher does with them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

MANIFEST = Path(__file__).resolve().parents[2] / "deploy/install/fleetlb-tenant/rights.yaml"
NAMESPACE = "fleetlb-system"
ACCOUNT = "fleetlb-tenant-watcher"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
TOKEN_SECONDS = 24 * 3600
_SECONDS = 60


class AdmissionError(Exception):
    """The cluster does not let itself be attached; the text says what it said."""


class Kubectl(msgspec.Struct, frozen=True, kw_only=True):
    """kubectl with an administrator's kubeconfig."""

    kubeconfig: Path
    program: str = str(Path(sys.executable).parent / "kubectl")

    def run(self, *arguments: str) -> str:
        """What it prints. Raises AdmissionError."""
        answer = self.attempt(*arguments)
        if answer.returncode != 0:
            raise AdmissionError(f"kubectl {' '.join(arguments)}: {answer.stderr.strip()}")
        return answer.stdout

    def attempt(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """How it ends, well or not; `given` is its standard input."""
        command = [self.program, "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False)

    def read(self, *arguments: str) -> Any:
        """What it prints as JSON."""
        return json.loads(self.run(*arguments, "--output", "json"))


def is_admitted(kubectl: Kubectl) -> bool:
    """Whether somebody has let a watcher in already."""
    return bool(kubectl.run("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "name"))


def admit(kubectl: Kubectl) -> str:
    """Create the watcher's account and rights; its kubeconfig, with a token of a day's life."""
    kubectl.run("apply", "--filename", str(MANIFEST))
    life = f"--duration={TOKEN_SECONDS}s"
    token = kubectl.run("create", "token", ACCOUNT, "--namespace", NAMESPACE, life).strip()
    return watchers_kubeconfig(kubectl.read("config", "view", "--raw", "--minify", "--flatten"), token)


def dismiss(kubectl: Kubectl) -> None:
    """Take back what `admit` created."""
    kubectl.run("delete", "--filename", str(MANIFEST), "--ignore-not-found")


def held_services(kubectl: Kubectl) -> list[str]:
    """Services that a watcher has put its finalizer on."""
    metadata = [service["metadata"] for service in kubectl.read("get", "services", "--all-namespaces")["items"]]
    return [f"{each['namespace']}/{each['name']}" for each in metadata if FINALIZER in each.get("finalizers", [])]


def watchers_kubeconfig(administrators: dict[str, Any], token: str) -> str:
    """The same cluster, with the token in the place of whatever lets the administrator in. JSON, which is YAML too."""
    (cluster,) = administrators["clusters"]
    context = {"cluster": cluster["name"], "user": ACCOUNT}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": ACCOUNT, "user": {"token": token}}],
            "contexts": [{"name": ACCOUNT, "context": context}],
            "current-context": ACCOUNT,
        },
        indent=2,
    )
