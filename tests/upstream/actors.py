"""What a cluster is given so that its pods can ask: a namespace, two backends in one pod, clients, Services. Pure."""

import enum
from typing import Any

NAMESPACE = "fleetlb-in-cluster"
PORT = 80
"""Of every Service."""
PROXY_PROTOCOL = {"fleetlb.dev/proxy-protocol": "v2"}
HEARD = "/tmp/heard"
"""All that the listener was ever told."""
_NETEXEC_PORT, _LISTENER_PORT = 8080, 8090


class Client(enum.StrEnum):
    """Pods that ask, and the container of each that can."""

    ELSEWHERE = "elsewhere"
    """On a node without a backend."""
    NEIGHBOUR = "neighbour"
    """On the backend's node."""
    BACKEND = "backend"
    """The backend itself."""


class Target(enum.StrEnum):
    """Services that are asked."""

    CLUSTER = "cluster"
    LOCAL = "local"
    PROXIED = "proxied"
    """With the PROXY protocol; its backend keeps what it hears and says nothing."""


LISTENER = "listener"


def namespace() -> dict[str, Any]:
    """The place for all of them."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def pods(image: str, home: str, elsewhere: str) -> list[dict[str, Any]]:
    """The backend at home, a client beside it, a client elsewhere."""
    netexec = ["/agnhost", "netexec", f"--http-port={_NETEXEC_PORT}"]
    listen = ["sh", "-c", f"exec nc -l -k {_LISTENER_PORT} > {HEARD}"]
    backend = [(Client.BACKEND.value, netexec), (LISTENER, listen)]
    idle = ["/agnhost", "pause"]
    return [
        _pod(image, Client.BACKEND, home, backend),
        _pod(image, Client.NEIGHBOUR, home, [(Client.NEIGHBOUR.value, idle)]),
        _pod(image, Client.ELSEWHERE, elsewhere, [(Client.ELSEWHERE.value, idle)]),
    ]


def service(target: Target) -> dict[str, Any]:
    """A LoadBalancer in front of the backend."""
    is_proxied = target is Target.PROXIED
    metadata = {"name": target.value, "namespace": NAMESPACE, "annotations": PROXY_PROTOCOL if is_proxied else {}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local" if target is Target.LOCAL else "Cluster",
            "selector": {"app": Client.BACKEND.value},
            "ports": [{"port": PORT, "targetPort": _LISTENER_PORT if is_proxied else _NETEXEC_PORT}],
        },
    }


def _pod(image: str, client: Client, node: str, containers: list[tuple[str, list[str]]]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": client.value, "namespace": NAMESPACE, "labels": {"app": client.value}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": name, "image": image, "command": command} for name, command in containers],
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
        },
    }
