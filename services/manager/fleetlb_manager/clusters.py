"""One tenant cluster at a time: its nodes into its object, its inventory against what was observed.

A change of nodes is one write here and none on any LoadBalancer. An inventory finds what lost messages hide: Services
that are gone, and Services that were never heard of, for which the watcher is asked to say everything again.
"""

from typing import Any, Protocol

import structlog

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import TENANT_LABEL
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec
from fleetlb.contracts.v1 import ResyncRequested
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantNode
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb_manager import timestamps
from fleetlb_manager.identities import ClusterKey, ServiceKey, namespace_of
from fleetlb_manager.inventories import Absences, is_out_of_step
from fleetlb_manager.observations import Inventory, ObservedCluster
from fleetlb_manager.standing import Standing
from fleetlb_manager.workbench import Workbench

RESYNC_SECONDS = 10.0
"""A watcher is asked at most this often."""
SETTLING_SECONDS = 2.0
"""An inventory may overtake the messages it speaks of: what differs is looked at again after this time."""
CONTACT_SECONDS = 600.0
"""`lastContact` is renewed this often; a write for every inventory would be a write for nothing."""

log = structlog.get_logger(__name__)


class ClusterStore(Protocol):
    """TenantClusters in the API server."""

    async def create(self, item: TenantCluster) -> TenantCluster:
        """Make the object of a tenant cluster. Raises AlreadyExists."""

    async def read(self, name: str, namespace: str) -> TenantCluster:
        """The object as it is. Raises NotFound."""

    async def set_nodes(self, item: TenantCluster, nodes: tuple[TenantNode, ...]) -> TenantCluster:
        """Replace the nodes. Raises Conflict, NotFound."""

    async def set_status(self, item: TenantCluster, status: dict[str, Any]) -> TenantCluster:
        """Say what is known of the watcher. Raises Conflict, NotFound."""


class ClusterBus(Protocol):
    """What is needed of a bus."""

    async def notify(self, subject: str, body: bytes) -> None:
        """Send to whoever listens."""

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Remove the messages of one subject."""


class Clusters:
    """Keeps TenantClusters and judges inventories."""

    def __init__(self, bench: Workbench, store: ClusterStore, bus: ClusterBus) -> None:
        """No cluster was looked at yet."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._authority = bench.authority
        self._clock = bench.clock
        self._store = store
        self._bus = bus
        self._judged: dict[ClusterKey, Inventory] = {}
        self._asked: dict[ClusterKey, float] = {}

    async def reconcile(self, key: ClusterKey) -> float | None:
        """Do what is left to do for one cluster; the seconds until it must be looked at again."""
        observed = self._memory.observations.cluster(key)
        if not self._authority.acting or observed is None or key.tenant not in self._memory.tenants:
            return None
        if self._memory.standing_of(key.tenant) is Standing.LEAVING:
            return None
        item = await self._ensure_object(key, observed)
        inventory = observed.inventory
        if inventory is None:
            return None
        if item is not None:
            await self._report(item, inventory)
        if self._judged.get(key) is not inventory and inventory.live:
            self._judged[key] = inventory
            await self._judge(key, observed, inventory)
        return await self._compare(key, observed, inventory)

    async def _ensure_object(self, key: ClusterKey, observed: ObservedCluster) -> TenantCluster | None:
        known = self._memory.clusters.get(key)
        if known is None and observed.nodes is None:
            return None
        if known is None:
            spec = TenantClusterSpec(tenant=key.tenant, nodes=observed.nodes or ())
            meta = ObjectMeta(name=key.cluster, namespace=namespace_of(key.tenant), labels={TENANT_LABEL: key.tenant})
            try:
                known = await self._store.create(TenantCluster(metadata=meta, spec=spec))
            except AlreadyExists:
                known = await self._store.read(key.cluster, namespace_of(key.tenant))
            except NotFound as problem:
                raise Transient(f"the namespace of tenant {key.tenant} is not there yet") from problem
            self._folding.cluster_set(known)
        if observed.nodes is not None and known.spec.nodes != observed.nodes:
            try:
                known = await self._store.set_nodes(known, observed.nodes)
            except (NotFound, Conflict) as problem:
                self._folding.cluster_gone(known)
                raise Transient(f"cluster {key} was deleted meanwhile") from problem
            self._folding.cluster_set(known)
        return known

    async def _report(self, item: TenantCluster, inventory: Inventory) -> None:
        status, now = item.status, self._clock.wall()
        since = timestamps.to_seconds(status.last_contact)
        is_recent = since is not None and now - since < CONTACT_SECONDS
        services = len(inventory.services)
        if is_recent and (status.watcher_version, status.services) == (inventory.watcher_version, services):
            return
        wanted = {
            "lastContact": timestamps.to_text(now),
            "watcherVersion": inventory.watcher_version,
            "services": services,
        }
        try:
            self._folding.cluster_set(await self._store.set_status(item, wanted))
        except (NotFound, Conflict):
            log.debug("a cluster's object changed while its status was written", cluster=item.metadata.name)

    async def _judge(self, key: ClusterKey, observed: ObservedCluster, inventory: Inventory) -> None:
        """What one live inventory proves."""
        absences = self._memory.absences.setdefault(key, Absences())
        known = {service.uid for service in self._memory.services_in(key)}
        for uid in absences.note(known, inventory.services, inventory.arrived):
            log.info("two inventories do not name a Service: it is gone", cluster=str(key), service=uid)
            self._marks.service(ServiceKey(*key, uid))
        for uid in [uid for uid in observed.services if uid not in inventory.services]:
            service, of_service = observed.services[uid], ServiceKey(*key, uid)
            if absences.is_proven(uid) or (service.service is None and self._is_released(of_service)):
                await self._forget(of_service)

    def _is_released(self, key: ServiceKey) -> bool:
        return self._memory.load_balancers.get(key) is None and not self._memory.claims.of(key)

    async def _forget(self, key: ServiceKey) -> None:
        """A message about a Service that its watcher does not hold any more must not come again after a restart."""
        account = self._memory.account_of(key.tenant)
        if account:
            subject = subjects.observed_service(account, key.cluster, key.uid)
            await self._bus.purge_subject(streams.observed_stream(account).name, subject)
            self._memory.observations.forget_service(key)

    async def _compare(self, key: ClusterKey, observed: ObservedCluster, inventory: Inventory) -> float | None:
        """Ask the watcher to say everything again if its inventory shows what its messages did not."""
        known = {uid: service.digest for uid, service in observed.services.items()}
        if not inventory.live or not is_out_of_step(known, inventory.services):
            return None
        now = self._clock.monotonic()
        if now - inventory.arrived < SETTLING_SECONDS:
            return SETTLING_SECONDS - (now - inventory.arrived) + 0.01
        left = self._asked.get(key, -RESYNC_SECONDS) + RESYNC_SECONDS - now
        if left > 0:
            return left
        self._asked[key] = now
        log.info("a watcher holds Services that it did not speak of; asking it again", cluster=str(key))
        account = self._memory.account_of(key.tenant)
        if account:
            body = codec.encode(ResyncRequested(reason="the inventory names what the messages did not show"))
            await self._bus.notify(subjects.resync(account, key.cluster), body)
        return None
