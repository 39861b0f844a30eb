"""What the tenants' watchers last said, folded from their streams. The tenant is who the stream belongs to, never a
name in a message. Anything that cannot be read, or would not fit an object, is Poison and changes nothing.

Bounded per tenant, because a watcher is not trusted: beyond the bounds, what is new is refused and what is known stays.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.v1 import InventoryObserved, NodesObserved, ServiceObserved
from fleetlb.domain.addresses import parse_address
from fleetlb.domain.errors import Poison
from fleetlb.domain.services import ServiceEndpoints, TenantNode, TenantService
from fleetlb_manager.identities import ClusterKey, ServiceKey, require_label

MAX_CLUSTERS = 64
MAX_SERVICES_PER_CLUSTER = 5000
"""As many as an inventory can name."""


class ObservedService(msgspec.Struct, frozen=True, kw_only=True):
    """A Service as its watcher last described it; `service` None: wanted no more."""

    digest: str
    wish: str
    service: TenantService | None
    endpoints: ServiceEndpoints | None
    shown: tuple[str, ...] = ()
    """What it shows as its addresses; a tenant can write there what it likes."""
    journey: Journey = NOT_TRAVELLED
    """How it came, until it has gone on."""
    answered: bool = False
    """Whether this very message was answered by `released`."""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a watcher holds, as it last said."""

    services: dict[str, str]
    watcher_version: str
    arrived: float
    """By this process's monotonic clock."""
    live: bool
    """Whether it came after the stream had been replayed: an old one proves no absence."""


class ObservedCluster:
    """One tenant cluster."""

    def __init__(self) -> None:
        """Nothing said yet."""
        self.services: dict[str, ObservedService] = {}
        self.nodes: tuple[TenantNode, ...] | None = None
        self.inventory: Inventory | None = None
        self.watcher_version = ""


class ServiceChanged(msgspec.Struct, frozen=True):
    """A message spoke of one Service."""

    key: ServiceKey


class NodesChanged(msgspec.Struct, frozen=True):
    """A message spoke of a cluster's nodes."""

    cluster: ClusterKey


class InventoryArrived(msgspec.Struct, frozen=True):
    """A message listed a cluster's Services."""

    cluster: ClusterKey


Observed = ServiceChanged | NodesChanged | InventoryArrived


class Observations:
    """All clusters of all tenants. Reading or folding one message costs O(size of the message)."""

    def __init__(self) -> None:
        """Nothing observed."""
        self._clusters: dict[ClusterKey, ObservedCluster] = {}
        self._per_tenant: dict[str, int] = {}
        self._showing: Counter[str] = Counter()
        self._replayed: set[str] = set()

    def fold(self, tenant: str, subject: str, data: bytes, now: float, trace: str = "") -> Observed:
        """Remember one message, sent with a trace context. Raises Poison."""
        parsed = subjects.parse_observed(subject)
        cluster = ClusterKey(tenant, require_label(parsed.cluster, "cluster UID"))
        if parsed.kind == "nodes":
            return self._fold_nodes(cluster, codec.decode(NodesObserved, data))
        if parsed.kind == "inventory":
            return self._fold_inventory(cluster, codec.decode(InventoryObserved, data), now)
        key = ServiceKey(*cluster, require_label(parsed.uid, "service UID"))
        return self._fold_service(key, codec.decode(ServiceObserved, data), trace)

    def service(self, key: ServiceKey) -> ObservedService | None:
        """What was last said of a Service; None: nothing at all."""
        cluster = self._clusters.get(key.cluster_key)
        return cluster.services.get(key.uid) if cluster else None

    def gone_on(self, key: ServiceKey, journey: Journey) -> None:
        """A change went on its way: what happens to the Service later has other causes."""
        said = self.service(key)
        if said is not None and said.journey == journey != NOT_TRAVELLED:
            self._clusters[key.cluster_key].services[key.uid] = msgspec.structs.replace(said, journey=NOT_TRAVELLED)

    def answered(self, key: ServiceKey) -> None:
        """The last message of a Service was answered by `released`; the next one is to be answered again."""
        said = self.service(key)
        if said is not None:
            self._clusters[key.cluster_key].services[key.uid] = msgspec.structs.replace(said, answered=True)

    def cluster(self, key: ClusterKey) -> ObservedCluster | None:
        """What was last said of a cluster."""
        return self._clusters.get(key)

    def clusters(self) -> Iterable[ClusterKey]:
        """Every cluster that somebody spoke of."""
        return self._clusters

    def services(self) -> Iterator[ServiceKey]:
        """Every Service that somebody spoke of."""
        for key, cluster in self._clusters.items():
            for uid in cluster.services:
                yield ServiceKey(*key, uid)

    def services_of(self, tenant: str) -> Iterator[ServiceKey]:
        """Every Service of one tenant."""
        return (key for key in self.services() if key.tenant == tenant)

    def showing(self, tenant: str) -> int:
        """How many Services of a tenant are wanted and show an address. O(1)."""
        return self._showing[tenant]

    def forget_service(self, key: ServiceKey) -> None:
        """The Service is gone and its subject purged."""
        if cluster := self._clusters.get(key.cluster_key):
            self._showing[key.tenant] -= _is_shown(cluster.services.pop(key.uid, None))

    def forget_tenant(self, tenant: str) -> None:
        """The tenant's stream is followed no more."""
        for key in [key for key in self._clusters if key.tenant == tenant]:
            del self._clusters[key]
        self._per_tenant.pop(tenant, None)
        self._showing.pop(tenant, None)
        self._replayed.discard(tenant)

    def restart(self, tenant: str) -> None:
        """A tenant's stream is replayed: what is known stays, but an inventory proves nothing until it is complete."""
        self._replayed.discard(tenant)

    def replayed(self, tenant: str) -> None:
        """The replay is complete."""
        self._replayed.add(tenant)

    def _fold_service(self, key: ServiceKey, message: ServiceObserved, trace: str) -> ServiceChanged:
        service = message.service
        if service is not None:
            require_label(service.namespace, "namespace")
            require_label(service.name, "name")
        cluster = self._at(key.cluster_key)
        known = cluster.services.get(key.uid)
        if known is None and len(cluster.services) >= MAX_SERVICES_PER_CLUSTER:
            raise Poison(f"more than {MAX_SERVICES_PER_CLUSTER} Services in one cluster")
        if known is not None and known.service == service:
            service = known.service  # one copy of an equal wish is enough
        said = cluster.services[key.uid] = ObservedService(
            digest=message.digest,
            wish=message.wish,
            service=service,
            endpoints=message.endpoints,
            shown=_addresses(message.shown),
            journey=Journey(trace, message.hops).overtaking(known.journey if known else NOT_TRAVELLED),
        )
        self._showing[key.tenant] += _is_shown(said) - _is_shown(known)
        return ServiceChanged(key)

    def _fold_nodes(self, key: ClusterKey, message: NodesObserved) -> NodesChanged:
        cluster = self._at(key)
        by_name = {node.name: node for node in message.nodes}
        cluster.nodes = tuple(by_name[name] for name in sorted(by_name))
        cluster.watcher_version = message.watcher_version
        return NodesChanged(key)

    def _fold_inventory(self, key: ClusterKey, message: InventoryObserved, now: float) -> InventoryArrived:
        self._at(key).inventory = Inventory(
            services=message.services,
            watcher_version=message.watcher_version,
            arrived=now,
            live=key.tenant in self._replayed,
        )
        return InventoryArrived(key)

    def _at(self, key: ClusterKey) -> ObservedCluster:
        cluster = self._clusters.get(key)
        if cluster is None:
            clusters = self._per_tenant.get(key.tenant, 0)
            if clusters >= MAX_CLUSTERS:
                raise Poison(f"more than {MAX_CLUSTERS} clusters of one tenant")
            self._per_tenant[key.tenant] = clusters + 1
            cluster = self._clusters[key] = ObservedCluster()
        return cluster


def _is_shown(said: ObservedService | None) -> bool:
    return said is not None and said.service is not None and bool(said.shown)


def _addresses(shown: tuple[str, ...]) -> tuple[str, ...]:
    """In the form in which addresses are compared. Raises Poison."""
    try:
        return tuple(str(parse_address(text)) for text in shown)
    except ValueError as problem:
        raise Poison(f"shown: {problem}") from problem
