"""Everything that a tenant's cluster needs to be served, as one manifest for `kubectl apply`. Pure."""

import base64
import importlib.resources
import urllib.parse
from collections.abc import Iterable

import msgspec
import yaml

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET
from fleetlb.kube.resources import Object
from fleetlb.runtime.nats_tls import CA, CERT, KEY
from fleetlb_cli.papers import NO_PAPERS, Papers

NAMESPACE = "fleetlb-system"
WATCHER = "fleetlb-tenant-watcher"
_PAPERS, _PAPERS_SECRET, _PLACE = "nats-tls", "fleetlb-nats-client-tls", "/etc/fleetlb/nats-tls"
_VARIABLES = {"ca.crt": CA, "tls.crt": CERT, "tls.key": KEY}
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
    papers: Papers = NO_PAPERS

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


def manifest(joining: Joining) -> list[Object]:
    """In the order in which they can be created: what the chart fleetlb-tenant makes, filled in, and the Secret."""
    text = importlib.resources.files(__package__).joinpath("watcher.yaml").read_text()
    *objects, deployment = yaml.safe_load_all(text)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["image"] = joining.image
    told = {each["name"]: each for each in container["env"]} | _told(joining)
    container["env"] = list(told.values())
    if joining.papers != NO_PAPERS:
        container["volumeMounts"].append({"name": _PAPERS, "mountPath": _PLACE, "readOnly": True})
        volume = {"name": _PAPERS, "secret": {"secretName": _PAPERS_SECRET, "defaultMode": 0o440}}
        deployment["spec"]["template"]["spec"]["volumes"].append(volume)
    return [*objects, *secrets(joining), deployment]


def secrets(joining: Joining) -> list[Object]:
    """What must be there before a watcher can start, however it is installed."""
    papers = [] if joining.papers == NO_PAPERS else [papers_secret(joining.papers)]
    return [credentials_secret(joining.credentials), *papers]


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


def credentials_secret(credentials: str) -> Object:
    """What a watcher connects to the hub with; the credentials in base64."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": WATCHER_CREDENTIALS_SECRET, "namespace": NAMESPACE},
        "type": "Opaque",
        "data": {WATCHER_CREDENTIALS_KEY: credentials},
    }


def papers_secret(papers: Papers) -> Object:
    """What a watcher and NATS trust each other by, as the chart fleetlb-tenant mounts it."""
    held = {name: base64.b64encode(content).decode() for name, content in _files(papers).items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _PAPERS_SECRET, "namespace": NAMESPACE},
        "type": "Opaque",
        "data": held,
    }


def _files(papers: Papers) -> dict[str, bytes]:
    named = {"ca.crt": papers.ca, "tls.crt": papers.cert, "tls.key": papers.key}
    return {name: content for name, content in named.items() if content}


def _told(joining: Joining) -> dict[str, dict[str, str]]:
    """Environment variables by name, in the chart's order."""
    settings = {"FLEETLB_NATS_URL": joining.nats_url}
    if joining.load_balancer_class is not None:
        settings["FLEETLB_LOAD_BALANCER_CLASS"] = joining.load_balancer_class
    if joining.pod_backends:
        settings["FLEETLB_POD_BACKENDS"] = "true"
    for name in _files(joining.papers):
        settings[_VARIABLES[name]] = f"{_PLACE}/{name}"
    return {name: {"name": name, "value": text} for name, text in settings.items()}
