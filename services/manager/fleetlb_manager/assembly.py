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
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.continuity import Continuity
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.leases import SYSTEM_CLOCK, Clock, LeaseHolder
from fleetlb.kube.watching import Reflector
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.marks import BusMarks
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.signing import is_signed, signed
from fleetlb.runtime.tracing import OFF, Tracing
from fleetlb_manager.account_objects import AccountObjects
from fleetlb_manager.accounts import Accounts, Pusher, Telling
from fleetlb_manager.allowing import Allowing
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.clusters import Clusters
from fleetlb_manager.credential_terms import DEFAULT_LIFE_SECONDS
from fleetlb_manager.draining import Draining
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.following import Following
from fleetlb_manager.fullness import FULLNESS
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.issuing import Issuing
from fleetlb_manager.leading import Leadership
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.minting import Operator
from fleetlb_manager.objects import ClaimObjects, ClusterObjects, LoadBalancerObjects
from fleetlb_manager.parking import Parking
from fleetlb_manager.planning import Planner
from fleetlb_manager.publishing import Publishing
from fleetlb_manager.queues import Queues, Work
from fleetlb_manager.registering import NO_RULES
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.removing import Removing
from fleetlb_manager.serving import Serving
from fleetlb_manager.statuses import Statuses
from fleetlb_manager.streams import Streams
from fleetlb_manager.tenancy import Tenancy
from fleetlb_manager.workbench import Workbench

Forgetter = Callable[[str, str], Awaitable[None]]
"""Makes the NATS servers forget an account, by its public key and the operator's word on it. Raises Transient."""
LEASE_NAME = "fleetlb-manager"


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
        self.lease = LeaseHolder(
            given.cluster,
            namespace=given.system_namespace,
            name=LEASE_NAME,
            identity=given.identity,
            clock=given.clock,
            on_acquired=lambda generation: self.leadership.on_acquired(generation),
            on_lost=lambda: self.leadership.on_lost(),
        )
        self.continuity = Continuity(
            given.cluster,
            self.lease,
            BusMarks(given.bus),
            on_open=lambda generation: self.leadership.on_acquired(generation),
        )
        self.leadership = Leadership(
            self.lease, synced=self.synced, refresh=self._refresh, objection=lambda: self.continuity.objection
        )
        FULLNESS.tell_of(self.memory, self.leadership)
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
        self.streams = Streams(given.bus, may_create=lambda: self.leadership.listening)
        self.streams.want(PARKED_STREAM)
        self.streams.want(MARKS_STREAM)
        self._following = Following(self.memory, messages, self.queues, given.bus, self.streams, tasks=given.tasks)
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
            "leadership": lambda: self.leadership.run(self.resume),
            "lease": self.continuity.run,
        }

    async def answer_watchers(self) -> None:
        """Answer those that ask for credentials, from now on."""
        issuing = Issuing(self._accounts.issuer, self._given.clock)
        await self._given.bus.serve(subjects.ALL_CREDENTIALS, issuing.respond)

    async def synced(self) -> None:
        """Wait until every watch has had its first full set."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether every watch has had its first full set."""
        return all(reflector.synced.is_set() for reflector in self._reflectors)

    def resume(self) -> None:
        """Look at everything: a term begins, or much was missed."""
        memory, queues = self.memory, self.queues
        memory.begin_adoption(self._given.clock.monotonic())
        self.streams.look_now()
        self._accounts.forget()
        queues.tenancy()
        for name in memory.tenants:
            queues.account(name)
            queues.status(StatusKey("tenant", name))
        for name in memory.pools:
            queues.pool(name)
            queues.status(StatusKey("pool", name))
        for name in memory.groups:
            queues.status(StatusKey("group", name))
        for cluster in memory.observations.clusters():
            queues.cluster(cluster)
        keys: set[ServiceKey] = {*memory.observations.services(), *memory.load_balancers.services()}
        for key in sorted(keys.union(memory.claims.owners()), key=memory.lines.since):
            queues.service(key)
        for slot in memory.slots():
            queues.slot(slot)
        for name in memory.registrations:
            for allowance in memory.allowances_of(name):
                queues.allowance(allowance)
        for address in list(memory.claims.passing()):
            queues.claim(address)

    def forget_pushed_accounts(self) -> None:
        """The NATS servers may have lost the accounts: push them again."""
        self._accounts.forget_pushed()
        for name in self.memory.tenants:
            self.queues.account(name)

    def _wire_workers(self) -> None:
        given, memory = self._given, self.memory
        bench = Workbench(memory, self._objects, self.queues, self.leadership, given.clock, given.tracing)
        cluster = given.cluster.writing_while(lambda: self.leadership.acting)
        claims, load_balancers, store = ClaimObjects(cluster), LoadBalancerObjects(cluster), AccountObjects(cluster)
        chooser = Chooser(memory.book, memory.lines, memory.capabilities, self._objects.address_free)
        draining = Draining(bench, store, chooser)
        look = self.streams.look_now
        sign = partial(signed, seed=given.operator.seed)
        allowing = Allowing(bench, given.bus, sign=sign, on_stream_missing=look)
        publishing = Publishing(bench, given.bus, allow=allowing.ensure, on_stream_missing=look)
        releasing = Releasing(bench, claims, load_balancers, given.bus, chooser)
        serving = Serving(
            bench,
            load_balancers,
            chooser=chooser,
            claiming=Claiming(bench, claims, chooser, draining.guard),
            releasing=releasing,
            planner=Planner(bench, publishing),
        )
        self.queues.begin(
            Work(
                service=serving.reconcile,
                slot=publishing.reconcile,
                allowance=allowing.reconcile,
                claim=releasing.reconcile_claim,
                cluster=Clusters(bench, ClusterObjects(cluster), given.bus).reconcile,
                account=self._wire_accounts(bench, store).reconcile,
                tenancy=Tenancy(memory, self.queues, allow_loopback=given.allow_loopback, rules=given.rules).reconcile,
                pool=draining.reconcile,
                status=Statuses(bench, store).reconcile,
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
        return lambda: self.continuity.guard(reflector.run())

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

    def _on_reconnect(self) -> None:
        self.streams.look_now()

    async def _refresh(self) -> None:
        """What the last holder wrote and a watch may not have shown yet."""
        for claim in await self._given.cluster.list(ADDRESS_CLAIMS):
            self._objects.claim_set(claim)
        for item in await self._given.cluster.list(LOAD_BALANCERS):
            self._objects.load_balancer_set(item)
