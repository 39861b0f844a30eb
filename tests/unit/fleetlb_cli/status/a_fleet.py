"""A fleet in which all is well, as it was read; what is given is changed."""

from typing import Any

from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressPool,
    AddressPoolSpec,
    AddressPoolStatus,
    BalancerGroupStatus,
    BalancerNode,
    LoadBalancer,
    LoadBalancerStatus,
    PoolCounts,
)
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec, TenantStatus, TenantUsage
from fleetlb.domain.conditions import READY, SERVING, Condition, Status
from fleetlb.kube.holding import Held
from fleetlb.testkit.load_balancers import ACCOUNT, ADDRESS, CLUSTER, a_group, a_load_balancer, a_tenant
from fleetlb_cli.status.sight import Sight

NOW = 1_800_000_000.0
IS_READY = Condition(type=READY, status=Status.TRUE, reason="Complete")
TENANT = replace(
    a_tenant(), status=TenantStatus(account=ACCOUNT, usage=TenantUsage(addresses=1), conditions=(IS_READY,))
)
NODE = BalancerNode(name="node-1", version="1.0", ready=True, virtual_servers=3)
GROUP = replace(a_group(), status=BalancerGroupStatus(nodes=(NODE,)))
POOL = AddressPool(
    metadata=ObjectMeta(name="public"),
    spec=AddressPoolSpec(addresses=("192.0.2.0/30",)),
    status=AddressPoolStatus(ipv4=PoolCounts(total=4, used=1, quarantined=1, free=2), conditions=(IS_READY,)),
)


def judged(status: Status, reason: str, message: str = "") -> LoadBalancerStatus:
    """What the status service said of the present generation."""
    serving = Condition(type=SERVING, status=status, reason=reason, message=message)
    return LoadBalancerStatus(observed_generation=1, addresses=(ADDRESS,), conditions=(serving,))


def a_balancer(**changed: Any) -> LoadBalancer:
    """One that serves, but for what is changed."""
    return a_load_balancer(**({"status": judged(Status.TRUE, "ProbeAnswered")} | changed))


def a_sight(**changed: Any) -> Sight:
    """All is well, but for what is changed."""
    well: dict[str, Any] = {
        "taken_at": NOW,
        "tenants": (TENANT,),
        "clusters": (TenantCluster(metadata=ObjectMeta(name=CLUSTER), spec=TenantClusterSpec(tenant="acme")),),
        "load_balancers": (a_balancer(),),
        "pools": (POOL,),
        "groups": (GROUP,),
        "managers": (Held("fleetlb-manager", "m-1", True),),
        "status": Held("fleetlb-status", "s-1", True),
        "nats": "nats://hub:4222",
        "following": {"default": frozenset({"node-1"})},
        "watchers": {CLUSTER: NOW - 10},
    }
    return Sight(**(well | changed))
