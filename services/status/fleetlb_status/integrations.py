"""All that tells integrations, put together: records, tellers, their queues and the streams they need."""

from collections.abc import Coroutine, Iterator
from typing import Any

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import StreamSpec
from fleetlb.contracts.told import NodeTold, ServiceTold
from fleetlb.kube.leases import Clock
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.workers import Reconciler
from fleetlb_status.event_streams import EventStreams
from fleetlb_status.judging import Judging, Term
from fleetlb_status.memory import Key
from fleetlb_status.nodes import NodeKey, NodeNews, Nodes
from fleetlb_status.service_news import ServiceNews
from fleetlb_status.telling import Teller
from fleetlb_status.told import Records

PAUSE_SECONDS = 0.2
"""Tenants are told first; a new Service is then mostly told of at once with all that there is."""


class Integrations:
    """What is noted here is told while this replica may act."""

    def __init__(self, judging: Judging, bus: Bus, term: Term, clock: Clock, events: StreamSpec) -> None:
        """`events`: their stream; what was told is told again when half of its time is over."""
        self._judging = judging
        self.nodes = Nodes(self._node_changed)
        self.streams = EventStreams(bus, events, on_new=self._tell_again)
        self._of_services: Records[Key, ServiceTold] = Records(
            bus,
            ServiceTold,
            subjects.SERVICES_TOLD,
            key_of=_service_of,
            subject_of=lambda key: subjects.told_service(key[0].removeprefix("tenant-"), key[1]),
            on_complete=self.begin_term,
            term=term,
        )
        self._of_nodes: Records[NodeKey, NodeTold] = Records(
            bus,
            NodeTold,
            subjects.NODES_TOLD,
            key_of=subjects.parse_told,
            subject_of=lambda key: subjects.told_node(*key),
            on_complete=self.begin_term,
            term=term,
        )
        tell_services: Teller[Key, ServiceTold] = Teller(
            ServiceNews(judging, clock.monotonic),
            self._of_services,
            bus,
            term,
            repeat_seconds=(events.max_age_seconds or 0) / 2,
            clock=clock,
        )
        tell_nodes: Teller[NodeKey, NodeTold] = Teller(
            NodeNews(self.nodes),
            self._of_nodes,
            bus,
            term,
            repeat_seconds=(events.max_age_seconds or 0) / 2,
            clock=clock,
        )
        self.services: Reconciler[Key] = Reconciler(
            tell_services.reconcile, name="events", concurrency=16, lane_of=lambda key: key[0]
        )
        self.balancer_nodes: Reconciler[NodeKey] = Reconciler(tell_nodes.reconcile, name="node events", concurrency=2)

    def work(self) -> Iterator[tuple[Coroutine[Any, Any, object], str]]:
        """What runs for ever, and its name."""
        yield self.streams.run(), "keep the streams of events"
        yield self._of_services.follow(), "follow what was told of Services"
        yield self._of_nodes.follow(), "follow what was told of nodes"
        yield self.services.run(), "events"
        yield self.balancer_nodes.run(), "node events"

    def begin_term(self) -> None:
        """Look at everything: whoever told before may have ended in between."""
        for key in {*self._judging.memory.load_balancers, *self._of_services.keys()}:
            self.service_changed(key)
        for node in {*self.nodes.known(), *self._of_nodes.keys()}:
            self._node_changed(node)

    def _tell_again(self) -> None:
        """The history of events is empty: who reads it shall find all that stands."""
        self._of_services.doubt()
        self._of_nodes.doubt()
        self.begin_term()

    def service_changed(self, key: Key) -> None:
        """There may be news of a Service."""
        self.services.add_after(key, PAUSE_SECONDS)

    def _node_changed(self, key: NodeKey) -> None:
        self.balancer_nodes.add_after(key, PAUSE_SECONDS)


def _service_of(subject: str) -> Key:
    tenant, uid = subjects.parse_told(subject)
    return f"tenant-{tenant}", uid
