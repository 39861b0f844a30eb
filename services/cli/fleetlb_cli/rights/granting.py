"""Rules as objects that grant them to an account. Pure, but for reading the files beside it."""

import importlib.resources
from typing import Any

import msgspec
import yaml

from fleetlb.kube.resources import Object

GROUP = "rbac.authorization.k8s.io"


class Rights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of rules."""

    cluster: tuple[dict[str, Any], ...]
    """Rules everywhere."""
    namespace: tuple[dict[str, Any], ...]
    """Rules in the namespace of the account alone."""


def rights_of(name: str) -> Rights:
    """The rules in the file of this name: a service, or a part of one that can be left out."""
    text = importlib.resources.files(__package__).joinpath(f"{name}.yaml").read_text()
    return msgspec.convert(yaml.safe_load(text), Rights)


def account(name: str, namespace: str) -> Object:
    """A ServiceAccount."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }


def granted(rights: Rights, name: str, subject: Object) -> list[Object]:
    """Roles of this name, and what binds them to an account."""
    namespace = subject["metadata"]["namespace"]
    whom = {"kind": "ServiceAccount", "name": subject["metadata"]["name"], "namespace": namespace}
    everywhere = _role("ClusterRole", {"name": name}, rights.cluster, whom)
    return [*everywhere, *_role("Role", {"name": name, "namespace": namespace}, rights.namespace, whom)]


def _role(kind: str, metadata: Object, rules: tuple[Object, ...], whom: Object) -> list[Object]:
    version = f"{GROUP}/v1"
    if not rules:
        return []
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": list(rules)},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": metadata["name"]},
            "subjects": [whom],
        },
    ]
