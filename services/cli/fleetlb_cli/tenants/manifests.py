"""Everything that a tenant's cluster needs to be served, as one manifest for `kubectl apply`. Pure."""

import importlib.resources
import urllib.parse
from collections.abc import Iterable

import msgspec
import yaml

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET
from fleetlb.kube.resources import Object

NAMESPACE = "fleetlb-system"
WATCHER = "fleetlb-tenant-watcher"
IMAGE = "ghcr.io/fleetlb/tenant-watcher"
PORT = 8080
_FOLDER = "/etc/fleetlb"
_USER = 65532
_SCHEMES = ("nats", "tls", "ws", "wss")


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """What a watcher is installed with."""

    nats_url: str
    image: str
    credentials: str
    """The credentials file, in base64 as in a Secret."""
    load_balancer_class: str | None = None
    pod_backends: bool = False
    """Whether it tells of pods."""

    def __repr__(self) -> str:
        return f"Joining(nats_url={self.nats_url!r}, image={self.image!r})"


def trouble_with_url(text: str) -> str:
    """What is wrong with the hub's address; empty: nothing."""
    cure = "write nats://HOST:PORT; several with commas between them"
    for url in text.split(","):
        try:
            parts = urllib.parse.urlsplit(url)
            sound = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            return f"--nats-url {text[:80]}: {cure}"
    return ""


def rights() -> list[Object]:
    """The watcher's namespace, account and rights."""
    text = importlib.resources.files(__package__).joinpath("watcher.yaml").read_text()
    return list(yaml.safe_load_all(text))


def manifest(joining: Joining) -> list[Object]:
    """In the order in which they can be created."""
    return [*rights(), _secret(joining.credentials), _deployment(joining)]


def to_yaml(objects: Iterable[Object]) -> str:
    """As one stream of documents."""
    return yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=1000)


def installing(path: str) -> list[str]:
    """The commands that install the watcher from a file."""
    kubectl = "kubectl --context YOUR-CLUSTER"
    return [
        f"{kubectl} apply -f {path}",
        f"{kubectl} -n {NAMESPACE} rollout status deployment/{WATCHER}",
    ]


def _secret(credentials: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": WATCHER_CREDENTIALS_SECRET, "namespace": NAMESPACE},
        "type": "Opaque",
        "data": {WATCHER_CREDENTIALS_KEY: credentials},
    }


def _deployment(joining: Joining) -> Object:
    """One replica at a time: two would do the same work twice."""
    labels = {"app.kubernetes.io/name": WATCHER}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WATCHER, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod(joining)},
        },
    }


def _pod(joining: Joining) -> Object:
    """The Secret is mounted as a folder, because a single file of it would never be renewed."""
    return {
        "serviceAccountName": WATCHER,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(joining)],
        "volumes": [
            {"name": "credentials", "secret": {"secretName": WATCHER_CREDENTIALS_SECRET, "defaultMode": 0o440}}
        ],
    }


def _container(joining: Joining) -> Object:
    return {
        "name": "watcher",
        "image": joining.image,
        "env": [{"name": name, "value": text} for name, text in _settings(joining).items()],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "credentials", "mountPath": _FOLDER, "readOnly": True}],
    }


def _settings(joining: Joining) -> dict[str, str]:
    settings = {
        "FLEETLB_HTTP_ADDRESS": f"0.0.0.0:{PORT}",
        "FLEETLB_NATS_URL": joining.nats_url,
        "FLEETLB_NATS_CREDS": f"{_FOLDER}/{WATCHER_CREDENTIALS_KEY}",
        "FLEETLB_NATS_CREDS_SECRET": f"{NAMESPACE}/{WATCHER_CREDENTIALS_SECRET}",
    }
    if joining.load_balancer_class is not None:
        settings["FLEETLB_LOAD_BALANCER_CLASS"] = joining.load_balancer_class
    if joining.pod_backends:
        settings["FLEETLB_POD_BACKENDS"] = "true"
    return settings
