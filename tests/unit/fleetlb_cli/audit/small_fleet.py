"""A picture in which every promise holds: one tenant with one Service on one node; and ways to spoil it."""

from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressClaimSpec,
    AddressPool,
    AddressPoolSpec,
    AddressPoolStatus,
    BalancerGroup,
    BalancerGroupSpec,
    ClaimOwner,
    LoadBalancer,
    LoadBalancerSpec,
    LoadBalancerStatus,
    PoolCounts,
)
from fleetlb.contracts.tenants import Tenant, TenantSpec, TenantStatus, TenantUsage
from fleetlb.contracts.v1 import (
    LoadBalancerRevision,
    Owner,
    Probe,
    RealizedState,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import SERVING, Condition, Status
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb_cli.audit.picture import Picture, Place

NOW = 1_800_000_000.0
VIP = "192.0.2.1"
KEY = VirtualServerKey(VIP, 80, Protocol.TCP)
OWNER = Owner(tenant="acme", cluster_uid="c1", service_uid="u1")
OTHER = Owner(tenant="globex", cluster_uid="c2", service_uid="u2")
WISH, NODE = Place("default", "", KEY), Place("default", "node-1", KEY)

TENANT = Tenant(
    metadata=ObjectMeta(name="acme", generation=1),
    spec=TenantSpec(node_cidrs=("10.1.0.0/16",), pod_cidrs=("10.244.0.0/16",)),
    status=TenantStatus(usage=TenantUsage(load_balancers=1, addresses=1, ports=1)),
)
POOL = AddressPool(
    metadata=ObjectMeta(name="default", generation=1),
    spec=AddressPoolSpec(addresses=("192.0.2.0/30",)),
    status=AddressPoolStatus(ipv4=PoolCounts(total=4, used=1, quarantined=0, free=3)),
)
GROUP = BalancerGroup(
    metadata=ObjectMeta(name="default"), spec=BalancerGroupSpec(engine=EngineName.IPVS, nodes=("node-1",))
)
CLAIM = AddressClaim(
    metadata=ObjectMeta(name=VIP, creation_timestamp="2026-11-01T00:00:00Z"),
    spec=AddressClaimSpec(
        address=VIP,
        pool="default",
        owner=ClaimOwner(tenant="acme", cluster_uid="c1", service_uid="u1", namespace="shop", name="web"),
        ports=("80/TCP",),
        generation=3,
    ),
)
SERVICE = TenantService(
    namespace="shop", name="web", ports=(ServicePort(port=80, node_port=30080),), ip_families=(Family.IPV4,)
)
BALANCER = LoadBalancer(
    metadata=ObjectMeta(name="u1", namespace="tenant-acme", uid="lb1", generation=2),
    spec=LoadBalancerSpec(
        tenant="acme", cluster_uid="c1", wish="w", service=SERVICE, group="default", pool="default", addresses=(VIP,)
    ),
    status=LoadBalancerStatus(
        observed_generation=2,
        addresses=(VIP,),
        conditions=(Condition(type=SERVING, status=Status.TRUE, reason="Complete", message="served"),),
    ),
)
DESIRED = VirtualServerDesired(
    key=KEY,
    generation=3,
    revision=7,
    owner=OWNER,
    load_balancer=LoadBalancerRevision("lb1", 2),
    server=VirtualServer(key=KEY, real_servers=(RealServer("10.1.0.5", 30080, node="a"),)),
)
REALIZED = VirtualServerRealized(
    node="node-1",
    key=KEY,
    generation=3,
    revision=7,
    state=RealizedState.PROGRAMMED,
    owner=OWNER,
    load_balancer=LoadBalancerRevision("lb1", 2),
    real_servers=1,
    probe=Probe.ANSWERED,
)
SOUND = Picture(
    taken_at=NOW,
    tenants={"acme": TENANT},
    pools={"default": POOL},
    groups={"default": GROUP},
    claims={VIP: CLAIM},
    load_balancers=(BALANCER,),
    desired={WISH: DESIRED},
    realized={NODE: REALIZED},
)


def with_claim(**changes: object) -> Picture:
    """The claim says something else."""
    return replace(SOUND, claims={VIP: replace(CLAIM, spec=replace(CLAIM.spec, **changes))})


def with_realized(**changes: object) -> Picture:
    """The node says something else."""
    return replace(SOUND, realized={NODE: replace(REALIZED, **changes)})


def sent_to(*real_servers: RealServer) -> Picture:
    """The nodes are asked to send traffic there; the node holds as many."""
    server = VirtualServer(key=KEY, real_servers=real_servers)
    desired = {WISH: replace(DESIRED, server=server)}
    return replace(SOUND, desired=desired, realized={NODE: replace(REALIZED, real_servers=len(real_servers))})


def with_balancer(**changes: object) -> Picture:
    """The load balancer is another one."""
    return replace(SOUND, load_balancers=(replace(BALANCER, **changes),))
