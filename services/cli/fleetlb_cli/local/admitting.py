"""Accounts of the services in the API servers that this fleet starts, with the rights that the charts give them.

So whatever a local fleet can do can be done with those rights, and no service is an administrator. Every start makes
new tokens. Must not know any process.
"""

from collections.abc import Iterable

import msgspec

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.resources import NAMESPACES, Object, Resource
from fleetlb_cli.local import kubernetes
from fleetlb_cli.local.kubernetes import ApiServer
from fleetlb_cli.local.layout import replace_file
from fleetlb_cli.local.seeding import SYSTEM_NAMESPACE
from fleetlb_cli.rights.granting import GROUP, account, granted, rights_of

WATCHERS_NAMESPACE = "fleetlb-local"
"""In tenants' clusters: a watcher that joins as `fleetlb tenant join` says does not meet this one."""
TOKEN_SECONDS = 365 * 24 * 3600
"""Nothing renews a token of a local fleet but its next start."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who a service is for an API server."""

    name: str
    namespace: str
    roles: dict[str, str]
    """Names of its roles, and of the files with their rules."""


MANAGER = Account(name="fleetlb-manager", namespace=SYSTEM_NAMESPACE, roles={"fleetlb-manager": "manager"})
STATUS = Account(
    name="fleetlb-status",
    namespace=SYSTEM_NAMESPACE,
    roles={"fleetlb-status": "status", "fleetlb-status-page": "status-page"},
)
WATCHER = Account(
    name="fleetlb-tenant-watcher",
    namespace=WATCHERS_NAMESPACE,
    roles={"fleetlb-local-tenant-watcher": "tenant-watcher"},
)
AUDITED = (SYSTEM_NAMESPACE, WATCHERS_NAMESPACE)

_KINDS = {
    "ServiceAccount": Resource("", "v1", "serviceaccounts", Object, kind_name="ServiceAccount"),
    "ClusterRole": Resource(GROUP, "v1", "clusterroles", Object, namespaced=False, kind_name="ClusterRole"),
    "ClusterRoleBinding": Resource(
        GROUP, "v1", "clusterrolebindings", Object, namespaced=False, kind_name="ClusterRoleBinding"
    ),
    "Role": Resource(GROUP, "v1", "roles", Object, kind_name="Role"),
    "RoleBinding": Resource(GROUP, "v1", "rolebindings", Object, kind_name="RoleBinding"),
}


async def admit(server: ApiServer, accounts: Iterable[Account]) -> None:
    """Make accounts, grant their rights, and write a kubeconfig with a token for each. Raises ApiError."""
    cluster = await Cluster.connect(server.kubeconfig, field_manager="fleetlb-local")
    try:
        for each in accounts:
            await cluster.apply(NAMESPACES, {"metadata": {"name": each.namespace}})
            for item in objects_of(each):
                await cluster.apply(_KINDS[item["kind"]], item)
            token = await _token(cluster, each)
            text = kubernetes.kubeconfig_text(server, server.certificate.read_bytes(), each.name, token)
            replace_file(server.kubeconfig_of(each.name), text.encode())
    finally:
        await cluster.close()


def objects_of(who: Account) -> list[Object]:
    """The account, its roles, and their bindings."""
    subject = account(who.name, who.namespace)
    roles = [item for name, file in who.roles.items() for item in granted(rights_of(file), name, subject)]
    return [subject, *roles]


async def _token(cluster: Cluster, who: Account) -> str:
    """Of the TokenRequest API, whose requests are made below the account."""
    requests = Resource("", "v1", f"serviceaccounts/{who.name}/token", Object, kind_name="TokenRequest")
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = await cluster.create(requests, request, who.namespace)
    return str(answer["status"]["token"])
