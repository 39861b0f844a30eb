"""The objects that a platform team would have written: CRDs, one pool, one balancer group, one Tenant per tenant.

Written out in full, defaults too, for whoever reads them with kubectl. Applied without force: what somebody has changed
since stays as it is. Must not know any process.
"""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path

from fleetlb.contracts import object_meta, objects, tenants
from fleetlb.contracts.crds import all_crds
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.resources import NAMESPACES, SECRETS, Object, Resource
from fleetlb_cli.local.choices import Choices, Ranges
from fleetlb_cli.local.layout import replace_file

POOL = "default"
SYSTEM_NAMESPACE = "fleetlb-system"
QUARANTINE_SECONDS = 5
NODE_PORTS = "30000-32767"
POLL_SECONDS = 0.1


def _resource(plural: str, kind: type) -> Resource[Object]:
    return Resource(object_meta.GROUP, object_meta.VERSION, plural, Object, namespaced=False, kind_name=kind.__name__)


_POOLS = _resource("addresspools", objects.AddressPool)
_GROUPS = _resource("balancergroups", objects.BalancerGroup)
_TENANTS = _resource("tenants", tenants.Tenant)


def pool_object(ranges: Ranges, group: str) -> Object:
    """The one pool of a local fleet."""
    spec = {
        "addresses": _cidrs(ranges),
        "autoAssign": True,
        "avoidBuggyIPs": False,
        "quarantineSeconds": QUARANTINE_SECONDS,
        "group": group,
    }
    return {"metadata": {"name": POOL}, "spec": spec}


def group_object(name: str, engine: EngineName, nodes: tuple[str, ...], forwarding: Forwarding) -> Object:
    """The one balancer group of a local fleet."""
    spec = {"engine": engine.value, "nodes": list(nodes), "forwarding": forwarding.value}
    return {"metadata": {"name": name}, "spec": spec}


def tenant_object(name: str, ranges: Ranges, group: str, pods: tuple[str, ...] = ()) -> Object:
    """A tenant whose backends may live in its own ranges alone; no quotas."""
    spec = {
        "nodeCIDRs": _cidrs(ranges),
        "podCIDRs": list(pods),
        "nodePortRange": NODE_PORTS,
        "pools": [POOL],
        "groups": [group],
    }
    return {"metadata": {"name": name}, "spec": spec}


async def seed(cluster: Cluster, chosen: Choices, group: Object, tenants: Mapping[str, tuple[str, ...]]) -> None:
    """Write every object into the management cluster. `tenants`: with the networks of their pods, if those serve."""
    await apply_crds(cluster, all_crds())
    await _apply(cluster, NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
    name_of_group = group["metadata"]["name"]
    await _apply(cluster, _GROUPS, group)
    await _apply(cluster, _POOLS, pool_object(chosen.pool, name_of_group))
    for name, pods in tenants.items():
        await _apply(cluster, _TENANTS, tenant_object(name, chosen.tenants[name], name_of_group, pods))


async def write_credentials(cluster: Cluster, tenant: str, path: Path) -> None:
    """Wait until the manager has made the tenant's NATS credentials, and write them where its watcher reads them."""
    while True:
        try:
            secret = await cluster.get(SECRETS, tenants.WATCHER_CREDENTIALS_SECRET, f"tenant-{tenant}")
        except (NotFound, Transient):
            await asyncio.sleep(POLL_SECONDS)
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, base64.b64decode(secret["data"][tenants.WATCHER_CREDENTIALS_KEY]))
        return


async def _apply(cluster: Cluster, resource: Resource[Object], item: Object) -> None:
    try:
        await cluster.apply(resource, item, force=False, field_manager="fleetlb-local")
    except Conflict:  # somebody else's word stands
        return


def _cidrs(ranges: Ranges) -> list[str]:
    return [ranges.cidr] if ranges.cidr6 is None else [ranges.cidr, ranges.cidr6]
