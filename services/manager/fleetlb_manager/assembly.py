"""Puts the manager together: memory, folding, queues, workers, watches. Everything that talks is given in.

The one place that knows all parts; it decides nothing. Reads neither environment nor files.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from fleetlb.contracts import subjects
from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.streams import MARKS_STREAM, PARKED_STREAM, observed_stream
from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.annotation_policy import AnnotationPolicy
from fleetlb.domain.partitions import FLEET, partition_of
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.leases import SYSTEM_CLOCK, Clock
from fleetlb.kube.watching import Reflector
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.marks import BusMarks
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.signing import is_signed, signed
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb_manager.account_objects import AccountObjects
from fleetlb_manager.accounts import Accounts, Issuer, Pusher, Telling
from fleetlb_manager.advising import Advising
from fleetlb_manager.allowing import Allowing
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.clusters import Clusters
from fleetlb_manager.credential_terms import DEFAULT_LIFE_SECONDS
from fleetlb_manager.delegating import on_behalf_of_each
from fleetlb_manager.draining import Draining
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.following import Following
from fleetlb_manager.fullness import FULLNESS
from fleetlb_manager.instructing import Instructing
from fleetlb_manager.issuing import Issuing
from fleetlb_manager.memory import Memory
from fleetlb_manager.minting import Operator
from fleetlb_manager.objects import ClaimObjects, ClusterObjects, LoadBalancerObjects
from fleetlb_manager.on_behalf import OnBehalf, under
from fleetlb_manager.parking import Parking
from fleetlb_manager.partitions import Candidate, Partitions
from fleetlb_manager.planning import Planner
from fleetlb_manager.publishing import Publishing
from fleetlb_manager.queues import Queues, Work
from fleetlb_manager.registering import NO_RULES
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.removing import Removing
from fleetlb_manager.resuming import mark_everything
from fleetlb_manager.serving import Serving
from fleetlb_manager.standing_by import StandingBy
from fleetlb_manager.statuses import Statuses
from fleetlb_manager.streams import Streams
from fleetlb_manager.tenancy import Tenancy
from fleetlb_manager.workbench import Workbench

Forgetter = Callable[[str, str], Awaitable[None]]
"""Makes the NATS servers forget an account, by its public key and the operator's word on it. Raises Transient."""


class Surroundings(NamedTuple):
    """What a manager is put into."""

    cluster: Cluster
    bus: Bus
    push_account: Pusher
    forget_account: Forgetter
    operator: Operator
    system_namespace: str
    identity: str
    allow_loopback: bool
    tasks: asyncio.TaskGroup
    partitions: int = 1
    """Between how many Leases the tenants are divided, for every manager of the fleet."""
    tracing: Tracing = OFF
    clock: Clock = SYSTEM_CLOCK
    rules: AnnotationPolicy = NO_RULES
    """The fleet's, about annotations."""
    life_seconds: int = DEFAULT_LIFE_SECONDS
    """Of the credentials of tenants' watchers."""


class Manager:
    """A whole manager; `runs` are its tasks."""

    def __init__(self, given: Surroundings) -> None:
        """Wires the parts; nothing runs yet."""
        self.memory = Memory()
        self.queues = Queues()
        self.partitions = Partitions(
            given.cluster,
            Candidate(given.system_namespace, given.identity, given.clock),
            given.partitions,
            marks=BusMarks(given.bus),
            synced=self.synced,
            refresh=self._refresh,
            on_lost=self._stand_down,
        )
        self.leadership = self.partitions.leadership
        FULLNESS.tell_of(self.memory, self.partitions.fleet)
        self._given = given
        self._objects = ObjectFolding(self.memory, self.queues)
        self._parking = Parking(given.bus)
        messages = MessageFolding(
            self.memory,
            self.queues,
            self._parking,
            given.clock.monotonic,
            is_ours=partial(is_signed, public_key=public_key(given.operator.seed)),
        )
        self.streams = Streams(given.bus, may_create=lambda: self.partitions.fleet.listening)
        self.streams.want(PARKED_STREAM)
        self.streams.want(MARKS_STREAM)
        self._following = Following(
            self.memory,
            messages,
            self.queues,
            given.bus,
            self.streams,
            may_create=lambda tenant: self.partitions.of(tenant).listening,
            tasks=given.tasks,
        )
        self._wire_workers()
        self._reflectors = self._watches()
        given.bus.on_reconnect(self._on_reconnect)

    def runs(self) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
        """What must run for ever, by name."""
        watches = {f"watch {index}": self._watching(reflector) for index, reflector in enumerate(self._reflectors)}
        return {
            **self.queues.runs(),
            **watches,
            "streams": self.streams.run,
            "parking": self._parking.run,
            **self.partitions.runs(self.resume, self._given.bus),
        }

    async def answer(self) -> None:
        """Answer watchers that ask for credentials, and operators that ask for plans, from now on."""
        issuing = Issuing(self._issuer, self._given.clock)
        await self._given.bus.serve(subjects.ALL_CREDENTIALS, issuing.respond)
        await self._advising.begin(self._given.bus)

    async def synced(self) -> None:
        """Wait until every watch has had its first full set."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether every watch has had its first full set."""
        return all(reflector.synced.is_set() for reflector in self._reflectors)

    def resume(self, partitions: tuple[int, ...]) -> None:
        """Look at everything in some partitions: their terms begin."""
        self.memory.begin_adoption(self._given.clock.monotonic())
        self.memory.let_go.clear()  # others may have served there since
        self.streams.look_now()
        number = self.partitions.number
        for name in self.memory.tenants:
            if partition_of(name, number) in partitions:
                self._accounts.forget(name)
        mark_everything(
            self.memory,
            self.queues,
            is_of=lambda tenant: partition_of(tenant, number) in partitions,
            is_of_fleet=FLEET in partitions,
        )

    def forget_pushed_accounts(self) -> None:
        """The NATS servers may have lost the accounts: push them again."""
        self._accounts.forget_pushed()
        for name in self.memory.tenants:
            self.queues.account(name)

    def _wire_workers(self) -> None:
        given, memory = self._given, self.memory
        authority = OnBehalf()
        bench = Workbench(memory, self._objects, self.queues, authority, given.clock, given.tracing)
        cluster = given.cluster.writing_while(lambda: authority.acting)
        claims, load_balancers, store = ClaimObjects(cluster), LoadBalancerObjects(cluster), AccountObjects(cluster)
        chooser = Chooser(memory.book, memory.lines, memory.capabilities, self._objects.address_free)
        draining = Draining(bench, store, chooser)
        self._advising = Advising(bench, chooser, self.partitions)
        look = self.streams.look_now
        sign = partial(signed, seed=given.operator.seed)
        allowing = Allowing(bench, given.bus, sign=sign, on_stream_missing=look)
        publishing = Publishing(bench, given.bus, allow=allowing.ensure, bar=allowing.bar, on_stream_missing=look)
        releasing = Releasing(bench, claims, load_balancers, given.bus, chooser)
        serving = Serving(
            bench,
            load_balancers,
            chooser=chooser,
            claiming=Claiming(bench, claims, chooser, draining.guard),
            releasing=releasing,
            planner=Planner(bench, publishing),
        )
        clusters, accounts = Clusters(bench, ClusterObjects(cluster), given.bus), self._wire_accounts(bench, store)
        tenancy = Tenancy(memory, self.queues, allow_loopback=given.allow_loopback, rules=given.rules)
        instructing = Instructing(bench, given.bus, sign=sign, on_stream_missing=look)
        self.queues.begin(
            on_behalf_of_each(
                Work(
                    service=serving.reconcile,
                    slot=publishing.reconcile,
                    allowance=allowing.reconcile,
                    claim=releasing.reconcile_claim,
                    cluster=clusters.reconcile,
                    account=accounts.reconcile,
                    tenancy=tenancy.reconcile,
                    pool=draining.reconcile,
                    status=Statuses(bench, store, instructing.reconcile).reconcile,
                ),
                memory,
                self.partitions,
                stand_by=StandingBy(bench, chooser).look,
            )
        )

    def _wire_accounts(self, bench: Workbench, store: AccountObjects) -> Removing:
        given = self._given
        self._accounts = Accounts(
            bench,
            store,
            given.operator,
            telling=Telling(given.push_account, self.streams.ensure, given.bus.notify),
            on_tenant=self._tenant_set,
            system_namespace=given.system_namespace,
            life_seconds=given.life_seconds,
        )
        return Removing(
            bench,
            store,
            given.operator,
            keep=self._accounts.reconcile,
            disconnect=self._disconnect,
            system_namespace=given.system_namespace,
        )

    def _watches(self) -> tuple[Reflector[Any], ...]:
        cluster, fold = self._given.cluster, self._objects
        return (
            Reflector(cluster, TENANTS, on_set=self._tenant_set, on_gone=self._tenant_gone),
            Reflector(cluster, ADDRESS_POOLS, on_set=fold.pool_set, on_gone=fold.pool_gone),
            Reflector(cluster, BALANCER_GROUPS, on_set=self._group_set, on_gone=fold.group_gone),
            Reflector(cluster, ADDRESS_CLAIMS, on_set=fold.claim_set, on_gone=fold.claim_gone),
            Reflector(cluster, LOAD_BALANCERS, on_set=fold.load_balancer_set, on_gone=fold.load_balancer_gone),
            Reflector(cluster, TENANT_CLUSTERS, on_set=fold.cluster_set, on_gone=fold.cluster_gone),
        )

    def _watching(self, reflector: Reflector[Any]) -> Callable[[], Coroutine[Any, Any, object]]:
        return lambda: self.partitions.continuity.guard(reflector.run())

    def _tenant_set(self, tenant: Tenant) -> None:
        self._objects.tenant_set(tenant)
        self._following.tenant(tenant)

    def _tenant_gone(self, tenant: Tenant) -> None:
        self._objects.tenant_gone(tenant)
        self._following.tenant_gone(tenant.metadata.name)

    async def _disconnect(self, name: str, account: str, deletion_jwt: str) -> None:
        """The account first, so that nobody can put anything into a stream that is not looked after."""
        await self._given.forget_account(account, deletion_jwt)
        self._following.leave(name, account)
        await self.streams.remove(observed_stream(account).name)

    def _group_set(self, group: BalancerGroup) -> None:
        self._objects.group_set(group)
        self._following.group(group)

    def _issuer(self, account: str) -> Issuer | None:
        with under(self.partitions.of(self._accounts.tenant_of(account))):
            return self._accounts.issuer(account)

    def _stand_down(self, partition: int) -> None:
        """Nothing is kept here for the Services of a partition that others act for. O(all)."""
        for key in self.memory.services():
            if partition_of(key.tenant, self.partitions.number) == partition:
                self.queues.service(key)

    def _on_reconnect(self) -> None:
        self.streams.look_now()

    async def _refresh(self) -> None:
        """What the last holder wrote and a watch may not have shown yet."""
        for claim in await self._given.cluster.list(ADDRESS_CLAIMS):
            self._objects.claim_set(claim)
        for item in await self._given.cluster.list(LOAD_BALANCERS):
            self._objects.load_balancer_set(item)
