"""One replica put together: watches and streams into memory, memory into reports and objects while it may act."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.objects import BalancerGroup, LoadBalancer
from fleetlb.contracts.streams import StreamSpec, events_stream, realized_stream
from fleetlb.contracts.v1 import (
    NodeRealized,
    ServiceReleased,
    SnapshotAnswered,
    SnapshotRequested,
    VirtualServerRealized,
)
from fleetlb.domain.errors import Poison, Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.continuity import Continuity
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS, LOAD_BALANCERS, TENANTS
from fleetlb.kube.leases import SYSTEM_CLOCK, Clock, LeaseHolder
from fleetlb.kube.watching import Reflector
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.marks import BusMarks
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb.runtime.workers import Reconciler
from fleetlb_status.census import Census
from fleetlb_status.following import Following, Spawn
from fleetlb_status.integrations import Integrations
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Key, Memory
from fleetlb_status.publishing import Place, Reporter
from fleetlb_status.writing import DEBOUNCE_SECONDS, KubernetesStatusWriter, ObjectWriter, moment

LEASE = "fleetlb-status"
DEFAULT_EVENTS = events_stream()
SNAPSHOT_SECONDS = 1.0
"""A cluster that asks again sooner gets its reports after this time: asking costs a tenant little, answering much."""


class Replica:
    """Judges while it holds the Lease; without it, only keeps its memory warm."""

    def __init__(
        self,
        cluster: Cluster,
        bus: Bus,
        *,
        namespace: str,
        identity: str,
        spawn: Spawn,
        tracing: Tracing = OFF,
        clock: Clock = SYSTEM_CLOCK,
        events: StreamSpec = DEFAULT_EVENTS,
    ) -> None:
        """Does nothing yet; `spawn` runs what never returns; `events`: the stream in which integrations are told."""
        self._bus = bus
        self._spawn = spawn
        self._clock = clock
        self._log = structlog.get_logger("fleetlb-status")
        self.memory = Memory(self._on_change)
        self._followers: list[Callable[[Key], None]] = []
        self._census = Census()
        following = Following(self.memory, bus, on_change=self._on_change, spawn=spawn, clock=clock.monotonic)
        announcements = self._announcements = following.announcements
        judging = self.judging = Judging(self.memory, announcements)
        self._wire_workers(judging, cluster, tracing)
        self.integrations = Integrations(judging, bus, self._term, clock, events)
        self.releases: Reconciler[Place] = Reconciler(self._release, name="releases", lane_of=lambda place: place[0])
        self._released: dict[Place, Journey] = {}
        self._replayed: dict[str, asyncio.Event] = {}
        self._answered: dict[tuple[str, str], float] = {}
        memory = self.memory
        self._reflectors = (
            Reflector(cluster, TENANTS, on_set=memory.set_tenant, on_gone=memory.drop_tenant),
            Reflector(cluster, ADDRESS_POOLS, on_set=following.set_pool, on_gone=announcements.drop_pool),
            Reflector(cluster, BALANCER_GROUPS, on_set=self._on_group, on_gone=self._on_group_gone),
            Reflector(cluster, LOAD_BALANCERS, on_set=memory.set_load_balancer, on_gone=self._on_balancer_gone),
        )
        self.lease = LeaseHolder(
            cluster,
            namespace=namespace,
            name=LEASE,
            identity=identity,
            clock=clock,
            on_acquired=self._on_acquired,
            on_lost=self._on_lost,
        )
        self.continuity = Continuity(cluster, self.lease, BusMarks(bus), on_open=self._on_acquired)

    def _wire_workers(self, judging: Judging, cluster: Cluster, tracing: Tracing) -> None:
        """Who tells tenants, and who writes what people of the hub read."""
        self._reporter = Reporter(
            judging,
            self._bus,
            self._term,
            self._census,
            clock=self._clock.monotonic,
            now=lambda: int(self._clock.wall() * 1_000_000),
            tracing=tracing,
        )
        writer = ObjectWriter(
            judging,
            KubernetesStatusWriter(cluster),
            self._term,
            clock=self._clock.monotonic,
            now=lambda: moment(self._clock.wall()),
        )
        self.reports: Reconciler[Key] = Reconciler(
            self._reporter.reconcile, name="reports", concurrency=32, lane_of=lambda key: key[0]
        )
        self.objects: Reconciler[Key] = Reconciler(
            writer.reconcile, name="objects", concurrency=16, lane_of=lambda key: key[0]
        )

    async def start(self) -> None:
        """Fold and act; returns when everything has been read that was there at the beginning."""
        for reflector in self._reflectors:
            self._spawn(self.continuity.guard(reflector.run()), f"watch {reflector!r}")
        for reflector in self._reflectors:
            await reflector.synced.wait()
        await self._bus.listen(subjects.ALL_RELEASED, self._on_released)
        self._bus.on_reconnect(self._on_reconnect)
        for name, queue in (("reports", self.reports), ("objects", self.objects), ("releases", self.releases)):
            self._spawn(queue.run(), name)
        for work, name in self.integrations.work():
            self._spawn(work, name)
        self._spawn(self.continuity.run(), "lease")
        self._spawn(self._answer_snapshots(), "answer snapshots")
        for replayed in tuple(self._replayed.values()):
            await replayed.wait()

    def _term(self) -> int | None:
        return self.lease.generation if self.lease.is_valid() and not self.continuity.objection else None

    def _on_acquired(self, generation: int) -> None:
        self._log.info("acting", generation=generation)
        self._reporter.begin_term()
        for key in tuple(self.memory.load_balancers):
            self._on_change(key)
        self.integrations.begin_term()

    def _on_lost(self) -> None:
        self._log.warning("standing by")
        self._census.clear()

    def follow(self, follower: Callable[[Key], None]) -> None:
        """Call with every load balancer that may have changed, whether this replica acts or stands by."""
        self._followers.append(follower)

    def _on_change(self, key: Key) -> None:
        for follower in self._followers:
            follower(key)
        if self.lease.held.is_set():
            self.reports.add(key)
            self.objects.add_after(key, DEBOUNCE_SECONDS)
            self.integrations.service_changed(key)
        elif key not in self.memory.load_balancers:
            self.memory.forget_trace(key)

    def _on_balancer_gone(self, balancer: LoadBalancer) -> None:
        self.memory.drop_load_balancer(balancer)
        place = self.memory.account(balancer.spec.tenant), balancer.spec.cluster_uid, balancer.metadata.name
        if place in self._released:
            self.releases.add(place)

    def _on_group_gone(self, group: BalancerGroup) -> None:
        self.memory.drop_group(group)
        self.integrations.nodes.drop_group(group)

    def _on_group(self, group: BalancerGroup) -> None:
        self.memory.set_group(group)
        self._announcements.set_group(group)
        self.integrations.nodes.set_group(group)
        name = group.metadata.name
        if name in self._replayed:
            return
        replayed = self._replayed[name] = asyncio.Event()

        def on_replayed() -> None:
            self.memory.complete_group(name)
            self.integrations.nodes.complete_group(name)
            replayed.set()

        stream = realized_stream(name)
        self._spawn(
            self._bus.replay_and_follow(
                stream.name,
                stream.subjects[0],
                partial(self._on_realized, name),
                on_replayed=on_replayed,
                on_restart=lambda: self._log.info("reading a group's stream again", group=name),
            ),
            f"follow {name}",
        )

    def _on_realized(self, group: str, message: Message) -> None:
        if not message.data:
            return
        try:
            if message.subject.endswith(".node"):
                word = _node_word(group, message)
                self.integrations.nodes.fold(word)
                self._announcements.fold_node(word)
                return
            realized = decode(VirtualServerRealized, message.data)
            if message.subject != _subject_of(group, realized):
                raise Poison(f"it speaks of {realized.key} on {realized.node[:64]}")
        except Poison as problem:
            self._unreadable("realized", message.subject, problem)
            return
        self.memory.fold_realized(realized, message.trace)

    def _on_released(self, message: Message) -> None:
        try:
            place = subjects.parse_service(message.subject)
            self._released[place] = Journey(message.trace, decode(ServiceReleased, message.data).hops)
        except Poison as problem:
            self._unreadable("released", message.subject, problem)
            return
        self.releases.add(place)

    def _unreadable(self, kind: str, subject: str, problem: Poison) -> None:
        UNREADABLE.labels(kind).inc()
        self._log.warning("a message cannot be read", subject=subject[:200], problem=str(problem))

    async def _release(self, place: Place) -> None:
        """A word that was on its way for long may be about an earlier life of the Service: while there is an object
        of it, something is left."""
        journey = self._released.get(place)
        if journey is None or self.memory.has(place):
            return
        await self._reporter.forward_release(place, journey)
        if self._released.get(place) is journey:
            del self._released[place]

    async def _answer_snapshots(self) -> None:
        """A replica that never held the Lease does not even listen, so that there is nothing to refuse."""
        await self.lease.held.wait()
        await self._bus.serve(subjects.ALL_SNAPSHOTS, self._on_snapshot)
        await asyncio.Event().wait()

    async def _on_snapshot(self, subject: str, data: bytes) -> bytes:
        if self._term() is None:
            raise Transient("this replica stands by")
        try:
            account = subjects.parse_request(subject)
            cluster = decode(SnapshotRequested, data).cluster
        except Poison as problem:
            self._unreadable("snapshot", subject, problem)
            return encode(SnapshotAnswered(reports=0))
        keys = self.memory.of_cluster(account, cluster)
        wait = self._turn(account, cluster) if keys else 0.0
        for key in keys:
            self._reporter.tell_again(key)
            self.reports.add_after(key, wait)
        return encode(SnapshotAnswered(reports=len(keys)))

    def _turn(self, account: str, cluster: str) -> float:
        """Seconds until a cluster may have its reports again."""
        now = self._clock.monotonic()
        wait = max(0.0, self._answered.get((account, cluster), 0.0) + SNAPSHOT_SECONDS - now)
        self._answered[account, cluster] = now + wait
        return wait

    def _on_reconnect(self) -> None:
        for key in self._reporter.in_doubt():
            self.reports.add(key)


def _node_word(group: str, message: Message) -> NodeRealized:
    """What a node says of itself. Raises Poison."""
    word = decode(NodeRealized, message.data)
    try:
        place = subjects.realized_node(group, word.node)
    except ValueError as problem:
        raise Poison(str(problem)) from None
    if word.group != group or message.subject != place:
        raise Poison(f"it speaks of {word.node[:64]} in {word.group[:64]}")
    return word


def _subject_of(group: str, realized: VirtualServerRealized) -> str:
    """Where a message of this content belongs: a node speaks for itself alone. Raises Poison."""
    try:
        return subjects.realized(group, realized.node, realized.key)
    except ValueError as problem:
        raise Poison(str(problem)) from None
