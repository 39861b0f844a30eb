"""Bare clients doing the very writes that a served Service costs, with nobody deciding anything in between."""

import ipaddress
import time

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressClaimSpec,
    ClaimOwner,
    LoadBalancer,
    LoadBalancerSpec,
    LoadBalancerStatus,
)
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS
from fleetlb.kube.patching import add_finalizer, replace_part
from fleetlb.kube.resources import SERVICES, Object
from fleetlb_cli.bench.tenant import PORT, each

BARE_CLASS = "bench.fleetlb.dev/bare"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
FIRST = int(ipaddress.IPv4Address("198.19.0.1"))
WRITES = 6
"""Service, finalizer, claim, load balancer, its status, the Service's status."""


class BareClients:
    """Writes into two clusters as fast as they take it."""

    def __init__(self, tenant: Cluster, hub: Cluster, namespace: str) -> None:
        """`namespace` must be in both; everything that reacts to these objects should be stopped."""
        self._tenant = tenant
        self._hub = hub
        self._namespace = namespace

    async def write(self, count: int) -> float:
        """Seconds for `count` times the writes of one Service, several writers at once."""
        clock = time.perf_counter()
        await each([str(number) for number in range(count)], self._write_one)
        return time.perf_counter() - clock

    async def _write_one(self, number: str) -> None:
        name, address = f"bare-{number}", str(ipaddress.IPv4Address(FIRST + int(number)))
        uid = await self._create_service(name)
        finalizer = add_finalizer(uid, FINALIZER)
        where = {"namespace": self._namespace}
        await self._tenant.patch(SERVICES, name, finalizer, kind=PatchKind.STRATEGIC, **where)
        await self._hub.create(ADDRESS_CLAIMS, _claim(address, uid, self._namespace, name))
        balancer = await self._hub.create(LOAD_BALANCERS, _load_balancer(address, uid, self._namespace, name))
        said = replace_part(
            balancer.metadata.uid, "status", LoadBalancerStatus(addresses=(address,), conditions=_told())
        )
        await self._hub.patch(LOAD_BALANCERS, uid, said, kind=PatchKind.JSON, subresource="status", **where)
        body: Object = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "Proxy"}]}, "conditions": _told()}
        patch = {"metadata": {"uid": uid}, "status": body}
        await self._tenant.patch(SERVICES, name, patch, kind=PatchKind.STRATEGIC, subresource="status", **where)

    async def _create_service(self, name: str) -> str:
        spec: Object = {"type": "LoadBalancer", "loadBalancerClass": BARE_CLASS, "ports": [{"port": PORT}]}
        spec["allocateLoadBalancerNodePorts"] = False
        item = {"metadata": {"name": name, "namespace": self._namespace}, "spec": spec}
        uid: str = (await self._tenant.create(SERVICES, item))["metadata"]["uid"]
        return uid


def _claim(address: str, uid: str, namespace: str, name: str) -> AddressClaim:
    owner = ClaimOwner(tenant="bare", cluster_uid="bare", service_uid=uid, namespace=namespace, name=name)
    spec = AddressClaimSpec(address=address, pool="bare", owner=owner, ports=(f"{PORT}/TCP",))
    return AddressClaim(metadata=ObjectMeta(name=address), spec=spec)


def _load_balancer(address: str, uid: str, namespace: str, name: str) -> LoadBalancer:
    service = TenantService(namespace=namespace, name=name, ports=(ServicePort(port=PORT, node_port=30000),))
    spec = LoadBalancerSpec(tenant="bare", cluster_uid="bare", wish="0", service=service, addresses=(address,))
    return LoadBalancer(metadata=ObjectMeta(name=uid, namespace=namespace), spec=spec)


def _told() -> tuple[Condition, ...]:
    kinds = (PROVISIONED, SERVING)
    since = "2026-01-01T00:00:00Z"
    return tuple(Condition(type=k, status=Status.TRUE, reason="Complete", last_transition_time=since) for k in kinds)
