"""What a kubelet, an autoscaler or an administrator does to the nodes of a tenant's cluster."""

import contextlib
import time
from typing import Any

from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import NODES
from fleetlb_cli.demo import manifests
from tests.stage.tenants import Tenant

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
DOOMED = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}
_HOLD = "example.com/hold"


async def exclude(tenant: Tenant, node: str, value: str | None = "") -> None:
    """Label a node as out of load balancers, in these words; None: take the label away."""
    await _patch(tenant, node, {"metadata": {"labels": {EXCLUDE: value}}})


async def taint(tenant: Tenant, node: str, *taints: dict[str, str]) -> None:
    """Set the taints of a node."""
    await _patch(tenant, node, {"spec": {"taints": list(taints)}})


async def cordon(tenant: Tenant, node: str) -> None:
    """What `kubectl cordon` does."""
    await _patch(tenant, node, {"spec": {"unschedulable": True}})


async def give_provider_id(tenant: Tenant, node: str, provider_id: str) -> None:
    """What a cloud's node controller does, once for each node."""
    await _patch(tenant, node, {"spec": {"providerID": provider_id}})


async def beat(tenant: Tenant, node: str, *, ready: bool = True) -> None:
    """A heartbeat; or word that the kubelet is not well."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {"type": "Ready", "status": str(ready), "reason": "KubeletSays", "lastHeartbeatTime": now}
    await _patch(tenant, node, {"status": {"conditions": [condition]}}, subresource="status")


async def give_addresses(tenant: Tenant, node: str, *addresses: tuple[str, str]) -> None:
    """Set the addresses of a node, each a type and a text."""
    listed = [{"type": kind, "address": text} for kind, text in addresses]
    await _patch(tenant, node, {"status": {"addresses": listed}}, subresource="status")


async def begin_deletion(tenant: Tenant, node: str) -> None:
    """Delete a node that somebody holds, so that it is there and being deleted."""
    await _patch(tenant, node, {"metadata": {"finalizers": [_HOLD]}})
    await tenant.cluster.delete(NODES, node)


async def end_deletion(tenant: Tenant, node: str) -> None:
    """Let go of it."""
    await _patch(tenant, node, {"metadata": {"finalizers": None}})


async def join(tenant: Tenant, node: str, *addresses: tuple[str, str]) -> None:
    """A node that is nobody's machine in the test's network, with these addresses."""
    await tenant.cluster.apply(NODES, manifests.node(node))
    await give_addresses(tenant, node, *addresses)


async def forget_all(tenant: Tenant) -> None:
    """Delete every node, whatever was done to it."""
    for item in await tenant.cluster.list(NODES):
        name = item["metadata"]["name"]
        with contextlib.suppress(NotFound):
            await tenant.cluster.delete(NODES, name)
            if item["metadata"].get("finalizers"):
                await end_deletion(tenant, name)


async def _patch(tenant: Tenant, node: str, body: Any, subresource: str | None = None) -> None:
    await tenant.cluster.patch(NODES, node, body, kind=PatchKind.MERGE, subresource=subresource)
