"""Writes what the object of a Service says: the answer to its wish, for everybody to see.

An object is made or changed by its version alone; who finds that it has changed meanwhile looks at it anew, and leaves
it to the worker to decide again.
"""

from typing import Protocol

import msgspec
import structlog

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    CLUSTER_LABEL,
    NAME_LABEL,
    NAMESPACE_LABEL,
    TENANT_LABEL,
    LoadBalancer,
    LoadBalancerSpec,
)
from fleetlb.domain.errors import Transient
from fleetlb.domain.traces import trace_id
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb_manager.identities import ServiceKey, namespace_of
from fleetlb_manager.load_balancers import key_of
from fleetlb_manager.workbench import Workbench

log = structlog.get_logger(__name__)


class LoadBalancerStore(Protocol):
    """LoadBalancers in the API server."""

    async def create(self, item: LoadBalancer) -> LoadBalancer:
        """Make the object of a Service. Raises AlreadyExists."""

    async def read(self, name: str, namespace: str) -> LoadBalancer:
        """The object as it is. Raises NotFound."""

    async def set_spec(self, item: LoadBalancer, spec: LoadBalancerSpec) -> LoadBalancer:
        """Replace the spec. Raises Conflict, NotFound."""


class Answering:
    """Makes LoadBalancers say what was decided."""

    def __init__(self, bench: Workbench, store: LoadBalancerStore) -> None:
        """`store`: where they are."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._load_balancers = store

    async def write(self, key: ServiceKey, spec: LoadBalancerSpec, trace: str) -> LoadBalancer:
        """Make the object say this, because of a change; writes nothing if it does already."""
        known = self._memory.load_balancers.get(key)
        if known is not None and known.spec.says_the_same(spec):
            return known
        spec = msgspec.structs.replace(spec, trace=trace)
        namespace = namespace_of(key.tenant)
        try:
            if known is None:
                item = await self._load_balancers.create(new_load_balancer(key, spec))
            else:
                item = await self._load_balancers.set_spec(known, spec)
        except NotFound as problem:
            if known is not None:
                self._folding.load_balancer_gone(known)
            raise Transient(f"load balancer {namespace}/{key.uid}: {problem}") from problem
        except (AlreadyExists, Conflict) as problem:
            await self._look_again(key, known, problem)
            raise Transient(f"load balancer {namespace}/{key.uid} changed meanwhile") from problem
        self._folding.load_balancer_set(item)
        log.info(
            "answered a wish",
            service=str(key),
            addresses=spec.addresses,
            refusal=spec.refusal.reason if spec.refusal else None,
            trace_id=trace_id(trace),
        )
        return item

    async def _look_again(self, key: ServiceKey, known: LoadBalancer | None, problem: Exception) -> None:
        try:
            found = await self._load_balancers.read(key.uid, namespace_of(key.tenant))
        except NotFound:
            raise Transient(f"{key}: the object came and went") from problem
        if key_of(found) != key:
            log.warning("two clusters of a tenant have a Service of one UID", service=str(key))
            raise Transient(f"{key}: the object belongs to another cluster", retry_after=300.0) from problem
        if known is not None and _revision_of(found) == _revision_of(known):
            raise problem  # not an old picture: the API server refuses the spec itself
        self._folding.load_balancer_set(found)


def new_load_balancer(key: ServiceKey, spec: LoadBalancerSpec) -> LoadBalancer:
    """The object of a Service, named by its UID in its tenant's namespace."""
    labels = {
        TENANT_LABEL: key.tenant,
        CLUSTER_LABEL: key.cluster,
        NAMESPACE_LABEL: spec.service.namespace,
        NAME_LABEL: spec.service.name,
    }
    return LoadBalancer(metadata=ObjectMeta(name=key.uid, namespace=namespace_of(key.tenant), labels=labels), spec=spec)


def _revision_of(item: LoadBalancer) -> tuple[str, int]:
    return item.metadata.uid, item.metadata.generation
