"""All parts of the watcher, put together: which event marks which key, and in what order things begin.

Begins in two halves, each when it can: the tenant's API server, so that Services get their finalizers and say that the
hub cannot be reached; and the hub, so that they are told. Nothing is told before everything has been seen once.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.resources import Resource
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import Selection
from fleetlb.kube.watching import Reflector
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb.runtime.workers import Reconciler
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.acting import SERVICES, ServicePatcher
from fleetlb_tenant_watcher.clocks import SYSTEM_CLOCKS, Clocks
from fleetlb_tenant_watcher.hearing import Ear, Snapshots
from fleetlb_tenant_watcher.kube_objects import SERVICE_NAME_LABEL, EndpointSlice, Node
from fleetlb_tenant_watcher.linking import HubLink
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.nodes import ADDRESS_TYPES, AddressType
from fleetlb_tenant_watcher.publishing import INVENTORY, NODES, Publisher
from fleetlb_tenant_watcher.recording import EventRecorder
from fleetlb_tenant_watcher.records import Arrival
from fleetlb_tenant_watcher.repeating import Repeats
from fleetlb_tenant_watcher.writing import Writer

ENDPOINT_SLICES: Resource[EndpointSlice] = Resource(
    "discovery.k8s.io", "v1", "endpointslices", EndpointSlice, kind_name="EndpointSlice"
)
NODE_OBJECTS: Resource[Node] = Resource("", "v1", "nodes", Node, namespaced=False, kind_name="Node")
API_RETRIES = Backoff(initial=0.2, cap=60.0)
HUB_RETRIES = Backoff(initial=0.1, cap=5.0)

Spawn = Callable[[Coroutine[Any, Any, object], str], object]


class Watcher:
    """One tenant cluster's watcher."""

    def __init__(
        self,
        cluster: Cluster,
        cluster_uid: str,
        selection: Selection,
        identity: str,
        *,
        tracing: Tracing = OFF,
        with_pods: bool = False,
        address_types: Iterable[AddressType] = ADDRESS_TYPES,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        """Does nothing yet. `with_pods`: the hub is told of pods too; `address_types`: and of these of its nodes."""
        self._clocks = clocks
        self._tracing = tracing
        self.memory = Memory(selection, with_pods=with_pods, address_types=address_types)
        self._link = HubLink(self._repeat)
        self._publisher = Publisher(self.memory, self._link, cluster_uid, self._clocks, tracing)
        self._recorder = EventRecorder(cluster, identity, self._clocks)
        self._writer = Writer(
            self.memory,
            ServicePatcher(cluster, self._clocks),
            self._recorder,
            clocks=self._clocks,
            tracing=tracing,
            hub_connected=lambda: self._link.connected,
            on_change=self._mark,
        )
        self.writes: Reconciler[str] = Reconciler(self._writer.reconcile, name="services", backoff=API_RETRIES)
        self.messages: Reconciler[str] = Reconciler(
            self._publisher.reconcile, name="messages", concurrency=32, backoff=HUB_RETRIES
        )
        self._repeats = Repeats(self._publisher.unsay, lambda: (NODES, *self.memory, INVENTORY), self.messages.add)
        self._ear = Ear(
            self.memory, cluster_uid, self._clocks, on_report=self.writes.add, on_resync=self._repeat, tracing=tracing
        )
        self._snapshots = Snapshots(self.memory, self._link, cluster_uid, self._clocks, on_turn=self.writes.add)
        self._services = Reflector(cluster, SERVICES, on_set=self._see, on_gone=self._lose, keep=False)
        self._slices = Reflector(
            cluster,
            ENDPOINT_SLICES,
            on_set=self._see_slice,
            on_gone=self._lose_slice,
            label_selector=SERVICE_NAME_LABEL,
            keep=False,
        )
        self._nodes = Reflector(cluster, NODE_OBJECTS, on_set=self._see_node, on_gone=self._lose_node, keep=False)

    def start(self, spawn: Spawn) -> None:
        """Watch the cluster and write to it."""
        spawn(self._services.run(), "watch services")
        spawn(self._slices.run(), "watch endpointslices")
        spawn(self._nodes.run(), "watch nodes")
        spawn(self.writes.run(), "write services")
        spawn(self._recorder.run(), "record events")

    async def synced(self) -> None:
        """Return once everything has been seen."""
        for reflector in (self._services, self._slices, self._nodes):
            await reflector.synced.wait()

    async def join_hub(self, bus: Bus, spawn: Spawn) -> None:
        """Talk to the hub from now on. Returns when everything has been seen and is about to be told."""
        await self._ear.listen(bus)
        self._link.attach(bus)
        bus.on_reconnect(self._on_reconnect)
        spawn(self.messages.run(), "publish")
        spawn(self._repeats.run(), "repeat")
        spawn(self._snapshots.run(), "ask for snapshots")
        await self.synced()
        self._publisher.begin()
        for key in (NODES, *self.memory, INVENTORY):
            self.messages.add(key)
        self._snapshots.want()
        self._snapshots.notice_turn()

    def _on_reconnect(self) -> None:
        self._repeat("reconnect")
        self._snapshots.want()
        self._snapshots.notice_turn()

    def _repeat(self, reason: str) -> None:
        self._repeats.ask(reason)

    def _mark(self, uid: str) -> None:
        """Something about a Service has changed."""
        self.writes.add(uid)
        self.messages.add(uid)

    def _see(self, service: Service) -> None:
        uid = service.metadata.uid
        before = self.memory.wish_of(uid)
        if self.memory.see(service, self._clocks.now()):
            self._note_arrival(uid)
            if self.memory.wish_of(uid) != before and self.memory.nodes.holds_back:
                self.messages.add(NODES)
            self._mark(uid)
        counts.SERVICES.set(len(self.memory))

    def _lose(self, service: Service) -> None:
        uid = service.metadata.uid
        if self.memory.lose(uid, self._clocks.now()):
            self._mark(uid)
        counts.SERVICES.set(len(self.memory))

    def _see_slice(self, item: EndpointSlice) -> None:
        self._mark_messages(self.memory.see_slice(item))

    def _lose_slice(self, item: EndpointSlice) -> None:
        self._mark_messages(self.memory.lose_slice(item.metadata.namespace, item.metadata.name))

    def _mark_messages(self, uids: list[str]) -> None:
        for uid in uids:
            self._note_arrival(uid)
            self.messages.add(uid)

    def _note_arrival(self, uid: str) -> None:
        if uid not in self.memory.arrivals:
            trace = self._tracing.begin()
            self.memory.arrivals[uid] = Arrival(self._clocks.micros(), trace, self._tracing.follow(trace))

    def _see_node(self, node: Node) -> None:
        if self.memory.nodes.put(node):
            self.messages.add(NODES)
        counts.NODES.set(len(self.memory.nodes))

    def _lose_node(self, node: Node) -> None:
        if self.memory.nodes.drop(node.metadata.name):
            self.messages.add(NODES)
        counts.NODES.set(len(self.memory.nodes))
