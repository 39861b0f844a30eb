"""Builders of what the status service judges: load balancers, and the words of nodes about them.

Sensible in all that a test does not care for. Must not know any service of ours.
"""

import msgspec

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    BalancerGroup,
    BalancerGroupSpec,
    LoadBalancer,
    LoadBalancerSpec,
    LoadBalancerStatus,
)
from fleetlb.contracts.tenants import Tenant, TenantSpec, TenantStatus
from fleetlb.contracts.v1 import LoadBalancerRevision, Owner, Probe, RealizedState, VirtualServerRealized
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.runtime.bus import Message

ACCOUNT = "AACME"
CLUSTER = "cluster-1"
SERVICE = "service-1"
ADDRESS = "192.0.2.1"
KEY = f"{ADDRESS}:443/tcp"


def a_load_balancer(
    name: str = SERVICE,
    *,
    generation: int = 1,
    ports: tuple[int, ...] = (443,),
    uid: str = "",
    status: LoadBalancerStatus | None = None,
    **spec: object,
) -> LoadBalancer:
    """A load balancer of tenant acme with one address; further arguments replace fields of its spec."""
    wish = TenantService(namespace="shop", name="web", ports=tuple(ServicePort(port=p, node_port=31000) for p in ports))
    base = LoadBalancerSpec(
        tenant="acme", cluster_uid=CLUSTER, wish="wish-1", service=wish, group="default", addresses=(ADDRESS,)
    )
    changed = msgspec.structs.replace(base, **spec)
    metadata = ObjectMeta(
        name=name, namespace=f"tenant-{changed.tenant}", uid=uid or f"uid-of-{name}", generation=generation
    )
    return LoadBalancer(metadata=metadata, spec=changed, status=status or LoadBalancerStatus())


def a_word(
    key: str = KEY,
    *,
    node: str = "node-1",
    about: int | None = 1,
    uid: str = "",
    service: str = SERVICE,
    tenant: str = "acme",
    **changes: object,
) -> VirtualServerRealized:
    """What a node says of one virtual server: programmed and answered, `about` that generation of the load balancer."""
    base = VirtualServerRealized(
        node=node,
        key=parse_key(key),
        generation=1,
        revision=about or 1,
        state=RealizedState.PROGRAMMED,
        owner=Owner(tenant=tenant, cluster_uid=CLUSTER, service_uid=service),
        load_balancer=None if about is None else LoadBalancerRevision(uid or f"uid-of-{service}", about),
        real_servers=1,
        probe=Probe.ANSWERED,
    )
    return msgspec.structs.replace(base, **changes)


def as_message(word: VirtualServerRealized, *, group: str = "default") -> Message:
    """The word as it comes from the bus."""
    return Message(subjects.realized(group, word.node, word.key), codec.encode(word), 1)


def a_group(*nodes: str, name: str = "default") -> BalancerGroup:
    """A group of these nodes, of node-1 if none is given."""
    spec = BalancerGroupSpec(engine=EngineName.ENVOY, nodes=nodes or ("node-1",))
    return BalancerGroup(metadata=ObjectMeta(name=name, uid=f"uid-of-{name}"), spec=spec)


def a_tenant(name: str = "acme", account: str = ACCOUNT) -> Tenant:
    """A tenant whose account is known."""
    metadata = ObjectMeta(name=name, uid=f"uid-of-{name}")
    return Tenant(metadata=metadata, spec=TenantSpec(node_cidrs=("10.0.0.0/8",)), status=TenantStatus(account=account))
