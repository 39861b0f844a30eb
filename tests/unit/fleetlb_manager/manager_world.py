"""A small world for the manager's workers: an API server and streams as dictionaries, a clock, and crashes on demand.

Every effect (a write, a publish, a purge, a notification) is counted; the world can end a run right after any of them.
What survives is the store and the streams; `World.rebuild` makes a new memory out of them, as a new process would.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    POOL_FINALIZER,
    AddressClaim,
    AddressClaimSpec,
    AddressPool,
    AddressPoolSpec,
    BalancerGroup,
    BalancerGroupSpec,
    ClaimOwner,
    ClaimPhase,
    LoadBalancer,
    LoadBalancerSpec,
)
from fleetlb.contracts.tenants import Quotas, Tenant, TenantCluster, TenantClusterSpec, TenantSpec, TenantStatus
from fleetlb.contracts.v1 import (
    NodeRealized,
    Probe,
    RealizedState,
    ServiceObserved,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.addresses import Family, claim_name
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, digest_of
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb.runtime.bus import Ack, Message
from fleetlb_manager.allowing import Allowing
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.clusters import Clusters
from fleetlb_manager.draining import Draining
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.identities import AllowanceKey, ClusterKey, ServiceKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.parking import Parking
from fleetlb_manager.planning import Planner
from fleetlb_manager.publishing import Publishing
from fleetlb_manager.registering import register
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.serving import Serving
from fleetlb_manager.workbench import Workbench

T = TypeVar("T")

READY = ServiceEndpoints(ready=True, nodes=("node-a",))
GROUP = "default"


class Crash(Exception):
    """The process ends here."""


class Marked:
    """Marks, kept for the test to look at or to work off."""

    def __init__(self) -> None:
        self.services: dict[ServiceKey, None] = {}
        self.slots: dict[Slot, None] = {}
        self.allowances: dict[AllowanceKey, None] = {}
        self.claims: dict[str, None] = {}
        self.clusters: dict[ClusterKey, None] = {}
        self.accounts: dict[str, None] = {}
        self.pools: dict[str, None] = {}
        self.statuses: dict[StatusKey, None] = {}
        self.tenancies = 0

    def service(self, key: ServiceKey) -> None:
        self.services[key] = None

    def slot(self, slot: Slot) -> None:
        self.slots[slot] = None

    def allowance(self, key: AllowanceKey) -> None:
        self.allowances[key] = None

    def claim(self, address: str) -> None:
        self.claims[address] = None

    def cluster(self, key: ClusterKey) -> None:
        self.clusters[key] = None

    def account(self, tenant: str) -> None:
        self.accounts[tenant] = None

    def tenancy(self) -> None:
        self.tenancies += 1

    def pool(self, name: str) -> None:
        self.pools[name] = None

    def status(self, key: StatusKey) -> None:
        self.statuses[key] = None

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]


class HandClock:
    """A clock that the test moves."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Always:
    """An authority that never ends."""

    def __init__(self, generation: int = 1) -> None:
        self.generation = generation
        self.acting = True

    def rise_above(self, generation: int) -> None:
        self.generation = max(self.generation, generation + 1)


class Kept:
    """What outlives a process: objects and streams."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.pools: dict[str, AddressPool] = {}
        self.groups: dict[str, BalancerGroup] = {}
        self.claims: dict[str, AddressClaim] = {}
        self.load_balancers: dict[tuple[str, str], LoadBalancer] = {}
        self.clusters: dict[tuple[str, str], TenantCluster] = {}
        self.streams: dict[str, bytes] = {}
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.accounts: set[str] = set()
        self.notified: list[str] = []
        self.effects: list[str] = []
        self.crash_after: int | None = None
        self.answering = True
        self.silent: set[str] = set()
        """Groups whose nodes say nothing."""
        self.probes: dict[str, Probe] = {}
        """What comes back when nodes of a group dial."""
        self.node_highest: dict[str, tuple[int, int]] = {}
        self.serving: dict[str, VirtualServerDesired] = {}
        self.version = 0

    def effect(self, what: str) -> None:
        """Something happened that cannot be undone."""
        self.effects.append(what)
        if self.crash_after is not None and len(self.effects) >= self.crash_after:
            self.crash_after = None
            raise Crash(what)

    def stamp(self, item: T, *, new: bool = False, respecified: bool = False) -> T:
        """An object with its next version."""
        self.version += 1
        meta: ObjectMeta = item.metadata  # type: ignore[attr-defined]
        changed = {"resource_version": str(self.version)}
        if new:
            created = f"2026-11-25T12:00:{self.version % 60:02}Z"
            changed |= {"uid": f"uid-{self.version}", "creation_timestamp": created}
        generation = 1 if new else meta.generation + respecified
        return replace(item, metadata=replace(meta, generation=generation, **changed))  # type: ignore[type-var]


class ClaimsInMemory:
    """The API server's claims."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def create(self, claim: AddressClaim) -> AddressClaim:
        if claim.metadata.name in self.kept.claims:
            raise AlreadyExists(claim.metadata.name)
        made = self.kept.claims[claim.metadata.name] = self.kept.stamp(claim, new=True)
        self.kept.effect(f"create claim {claim.metadata.name}")
        return made

    async def read(self, address: str) -> AddressClaim:
        try:
            return self.kept.claims[claim_name(address)]
        except KeyError:
            raise NotFound(address) from None

    async def set_shares(self, claim: AddressClaim, spec: AddressClaimSpec, generation: int) -> AddressClaim:
        return self._change(claim, replace(spec, generation=generation))

    async def set_phase(
        self, claim: AddressClaim, phase: ClaimPhase, generation: int, released_at: str = ""
    ) -> AddressClaim:
        return self._change(claim, replace(claim.spec, phase=phase, generation=generation, released_at=released_at))

    async def set_place(self, claim: AddressClaim, spec: AddressClaimSpec) -> AddressClaim:
        place = {name: getattr(spec, name) for name in ("group", "moving_to", "moving_back", "moving_from")}
        return self._change(claim, replace(claim.spec, **place))

    async def delete(self, claim: AddressClaim) -> None:
        self._current(claim)
        del self.kept.claims[claim.metadata.name]
        self.kept.effect(f"delete claim {claim.metadata.name}")

    def _change(self, claim: AddressClaim, spec: AddressClaimSpec) -> AddressClaim:
        changed = self.kept.stamp(replace(self._current(claim), spec=spec), respecified=True)
        self.kept.claims[claim.metadata.name] = changed
        self.kept.effect(f"patch claim {claim.metadata.name} {spec.phase}")
        return changed

    def _current(self, claim: AddressClaim) -> AddressClaim:
        found = self.kept.claims.get(claim.metadata.name)
        if found is None:
            raise NotFound(claim.metadata.name)
        if found.metadata != claim.metadata:
            raise Conflict(claim.metadata.name)
        return found


class LoadBalancersInMemory:
    """The API server's load balancers."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def create(self, item: LoadBalancer) -> LoadBalancer:
        name = (item.metadata.namespace, item.metadata.name)
        if name in self.kept.load_balancers:
            raise AlreadyExists(str(name))
        made = self.kept.load_balancers[name] = self.kept.stamp(item, new=True)
        self.kept.effect(f"create load balancer {item.metadata.name}")
        return made

    async def read(self, name: str, namespace: str) -> LoadBalancer:
        try:
            return self.kept.load_balancers[namespace, name]
        except KeyError:
            raise NotFound(name) from None

    async def set_spec(self, item: LoadBalancer, spec: LoadBalancerSpec) -> LoadBalancer:
        found = await self.read(item.metadata.name, item.metadata.namespace)
        if (found.metadata.uid, found.metadata.generation) != (item.metadata.uid, item.metadata.generation):
            raise Conflict(item.metadata.name)
        changed = self.kept.stamp(replace(found, spec=spec), respecified=True)
        self.kept.load_balancers[item.metadata.namespace, item.metadata.name] = changed
        self.kept.effect(f"patch load balancer {item.metadata.name}")
        return changed

    async def delete(self, item: LoadBalancer) -> None:
        found = await self.read(item.metadata.name, item.metadata.namespace)
        if found.metadata.uid != item.metadata.uid:
            raise Conflict(item.metadata.name)
        del self.kept.load_balancers[item.metadata.namespace, item.metadata.name]
        self.kept.effect(f"delete load balancer {item.metadata.name}")


class ClustersInMemory:
    """The API server's tenant clusters."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def create(self, item: TenantCluster) -> TenantCluster:
        name = (item.metadata.namespace, item.metadata.name)
        if name in self.kept.clusters:
            raise AlreadyExists(str(name))
        made = self.kept.clusters[name] = self.kept.stamp(item, new=True)
        self.kept.effect(f"create cluster {item.metadata.name}")
        return made

    async def read(self, name: str, namespace: str) -> TenantCluster:
        try:
            return self.kept.clusters[namespace, name]
        except KeyError:
            raise NotFound(name) from None

    async def set_nodes(self, item: TenantCluster, nodes: tuple[TenantNode, ...]) -> TenantCluster:
        return await self._put(item, "nodes", replace(item, spec=replace(item.spec, nodes=nodes)))

    async def set_status(self, item: TenantCluster, status: dict[str, Any]) -> TenantCluster:
        fields = {
            "last_contact": status["lastContact"],
            "watcher_version": status["watcherVersion"],
            "services": status["services"],
        }
        return await self._put(item, "status", replace(item, status=replace(item.status, **fields)))

    async def _put(self, item: TenantCluster, what: str, wanted: TenantCluster) -> TenantCluster:
        await self.read(item.metadata.name, item.metadata.namespace)
        changed = self.kept.stamp(wanted, respecified=what == "nodes")
        self.kept.clusters[item.metadata.namespace, item.metadata.name] = changed
        self.kept.effect(f"patch cluster {item.metadata.name} {what}")
        return changed


class PoolsInMemory:
    """The API server's pools."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def set_pool_finalizers(self, pool: AddressPool, finalizers: Sequence[str]) -> AddressPool:
        name = pool.metadata.name
        found = self.kept.pools.get(name)
        if found is None:
            raise NotFound(name)
        if found.metadata != pool.metadata:
            raise Conflict(name)
        changed = self.kept.stamp(replace(found, metadata=replace(found.metadata, finalizers=tuple(finalizers))))
        if changed.metadata.deletion_timestamp and not finalizers:
            del self.kept.pools[name]
        else:
            self.kept.pools[name] = changed
        self.kept.effect(f"finalizers of pool {name}: {' '.join(finalizers)}")
        return changed


class World:
    """One manager's workers around what is kept; `work` goes on until nothing is marked."""

    def __init__(self, kept: Kept | None = None, *, generation: int = 1) -> None:
        self.kept = kept or Kept()
        self.clock = HandClock()
        self.authority = Always(generation)
        self.fresh: list[Message] = []
        self.sequence = 0
        self.rebuild()

    def rebuild(self) -> None:
        """A new process: memory out of the store and the streams."""
        self.memory = Memory()
        self.marks = Marked()
        self.folding = ObjectFolding(self.memory, self.marks)
        self.bench = Workbench(self.memory, self.folding, self.marks, self.authority, self.clock)
        self.parking = Parking(self)
        self.messages = MessageFolding(
            self.memory, self.marks, self.parking, self.clock.monotonic, is_ours=lambda _: True
        )
        memory, claims, load_balancers = self.memory, ClaimsInMemory(self.kept), LoadBalancersInMemory(self.kept)
        self.chooser = Chooser(memory.book, memory.lines, memory.capabilities, self.folding.address_free)
        self.allowing = Allowing(self.bench, self, sign=codec.encode)
        self.publishing = Publishing(self.bench, self, allow=self.allowing.ensure, bar=self.allowing.bar)
        self.releasing = Releasing(self.bench, claims, load_balancers, self, self.chooser)
        self.draining = Draining(self.bench, PoolsInMemory(self.kept), self.chooser)
        self.claiming = Claiming(self.bench, claims, self.chooser, self.draining.guard)
        self.serving = Serving(
            self.bench,
            load_balancers,
            chooser=self.chooser,
            claiming=self.claiming,
            releasing=self.releasing,
            planner=Planner(self.bench, self.publishing),
        )
        self.clusters = Clusters(self.bench, ClustersInMemory(self.kept), self)
        self._fold_objects()
        self._fold_streams()
        self.memory.begin_adoption(self.clock.monotonic())

    def _fold_objects(self) -> None:
        for tenant in self.kept.tenants.values():
            self.folding.tenant_set(tenant)
        self.memory.registrations = register(self.memory.tenants.values(), allow_loopback=False)
        for pool in self.kept.pools.values():
            self.folding.pool_set(pool)
        for group in self.kept.groups.values():
            self.folding.group_set(group)
        for claim in self.kept.claims.values():
            self.folding.claim_set(claim)
        for item in self.kept.load_balancers.values():
            self.folding.load_balancer_set(item)
        for cluster in self.kept.clusters.values():
            self.folding.cluster_set(cluster)

    def _fold_streams(self) -> None:
        for subject, body in list(self.kept.streams.items()):
            self._fold(Message(subject, body, 1))
        for name in self.kept.groups:
            specs = streams.desired_stream(name), streams.allowed_stream(name), streams.realized_stream(name)
            self.memory.replayed |= {spec.name for spec in specs}
        for tenant in self.kept.tenants:
            self.memory.observations.replayed(tenant)

    def _fold(self, message: Message) -> None:
        _, _, tree, whose, *_ = message.subject.split(".")
        if tree == "observed":
            tenant = next(t.metadata.name for t in self.kept.tenants.values() if t.status.account == whose)
            self.messages.observed(tenant, whose, message)
        elif tree == "desired":
            self.messages.desired(whose, message)
        elif tree == "allowed":
            self.messages.allowed(whose, message)
        elif tree == "realized":
            self.messages.realized(whose, message)

    # The bus.

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        self.kept.streams[subject] = body
        self.sequence += 1
        self.fresh.append(Message(subject, body, self.sequence))
        self.kept.effect(f"publish {subject}")
        return Ack("stream", self.sequence)

    async def purge_subject(self, stream: str, subject: str, through: int = 0) -> None:
        self.kept.streams.pop(subject, None)
        self.kept.effect(f"purge {subject}")

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        self.kept.notified.append(subject)
        self.kept.effect(f"notify {subject}")

    # What others do.

    def say(
        self,
        key: ServiceKey,
        service: TenantService | None,
        endpoints: ServiceEndpoints | None = READY,
        shown: tuple[str, ...] = (),
    ) -> None:
        """A watcher speaks of a Service."""
        account = self.kept.tenants[key.tenant].status.account
        message = ServiceObserved(
            digest=digest_of((service, endpoints, shown)),
            wish=digest_of(service),
            service=service,
            endpoints=endpoints,
            shown=shown,
        )
        subject = subjects.observed_service(account, key.cluster, key.uid)
        self.kept.streams[subject] = codec.encode(message)
        self._fold(Message(subject, codec.encode(message), 1))

    def say_node(self, *capabilities: str) -> None:
        """The balancer node says what it can do."""
        said = NodeRealized(node="node-1", group=GROUP, engine="", capabilities=capabilities, ready=True)
        self._fold(Message(subjects.realized_node(GROUP, "node-1"), codec.encode(said), 1))

    def regroup(self, **spec: Any) -> None:
        """An operator changes the group."""
        known = self.kept.groups[GROUP]
        changed = self.kept.stamp(replace(known, spec=replace(known.spec, **spec)), respecified=True)
        self.kept.groups[GROUP] = changed
        self.folding.group_set(changed)

    def repool(self, *ranges: str, **spec: Any) -> None:
        """An operator changes the pool."""
        known = self.kept.pools["default"]
        changed = self.kept.stamp(replace(known, spec=replace(known.spec, addresses=ranges, **spec)), respecified=True)
        self.kept.pools["default"] = changed
        self.folding.pool_set(changed)

    def play_nodes(self) -> bool:
        """The balancer node answers whatever it has not answered. False: nothing to answer."""
        if not self.kept.answering:
            return False
        answered = False
        for subject, body in list(self.kept.streams.items()):
            if ".desired." not in subject:
                continue
            group = subject.split(".")[3]
            node = "node-1" if group == GROUP else self.kept.groups[group].spec.nodes[0]
            wish = codec.decode(VirtualServerDesired, body)
            order, key = (wish.generation, wish.revision), str(wish.key) if group == GROUP else f"{group} {wish.key}"
            if group in self.kept.silent:
                continue
            if order <= self.kept.node_highest.get(key, (0, 0)):
                continue
            self.kept.node_highest[key] = order
            if wish.server is None:
                self.kept.serving.pop(key, None)
            else:
                self.kept.serving[key] = wish
            said = VirtualServerRealized(
                node=node,
                key=wish.key,
                generation=wish.generation,
                revision=wish.revision,
                state=RealizedState.PROGRAMMED if wish.server else RealizedState.REMOVED,
                owner=wish.owner,
                load_balancer=wish.load_balancer,
                real_servers=len(wish.server.real_servers) if wish.server else 0,
                probe=self.kept.probes.get(group, Probe.PENDING),
            )
            reply = subjects.realized(group, node, wish.key)
            self.kept.streams[reply] = codec.encode(said)
            self._fold(Message(reply, codec.encode(said), 1))
            answered = True
        return answered

    def tell_of_tenants(self) -> None:
        """What tenants may have is said, as long before a test began; none of it counts as an effect."""
        for key in list(self.marks.allowances):
            with contextlib.suppress(StopIteration):
                self.allowing.reconcile(key).send(None)
        self.marks.allowances.clear()
        self.kept.effects.clear()
        self.fresh.clear()

    async def work(self) -> None:
        """Work off every mark, and let the node answer, until there is nothing left."""
        for _ in range(10_000):
            echoes, self.fresh = self.fresh, []
            for message in echoes:
                self._fold(message)
            if not await self._step() and not self.fresh and not self.play_nodes():
                return
        raise AssertionError("this never comes to rest")

    async def _step(self) -> bool:
        marks = self.marks
        return (
            await _take(marks.allowances, self.allowing.reconcile)
            or await _take(marks.services, self.serving.reconcile)
            or await _take(marks.slots, self.publishing.reconcile)
            or await _take(marks.claims, self.releasing.reconcile_claim)
            or await _take(marks.clusters, self.clusters.reconcile)
            or await _take(marks.pools, self.draining.reconcile)
        )

    def delete_pool(self, name: str = "default") -> None:
        """An operator deletes a pool: it goes at once, unless a finalizer keeps it."""
        found = self.kept.pools[name]
        meta = replace(found.metadata, deletion_timestamp="2026-11-25T13:00:00Z")
        if meta.finalizers:
            self.kept.pools[name] = self.kept.stamp(replace(found, metadata=meta))
            self.folding.pool_set(self.kept.pools[name])
        else:
            del self.kept.pools[name]
            self.folding.pool_gone(found)

    # What a test asks.

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Service UID to addresses."""
        return {name: item.spec.addresses for (_, name), item in self.kept.load_balancers.items()}

    def phases(self) -> dict[str, str]:
        """Address to the phase of its claim."""
        return {claim.spec.address: claim.spec.phase.value for claim in self.kept.claims.values()}


async def _take(queue: dict[T, None], work: Callable[[T], Awaitable[object]]) -> bool:
    """Work on one key, if there is any; what fails for now comes back."""
    if not queue:
        return False
    key = next(iter(queue))
    del queue[key]
    try:
        await work(key)
    except Transient:
        queue[key] = None
    return True


def a_world(
    *tenants: str,
    pool: Iterable[str] = ("192.0.2.0/29",),
    quarantine: int = 0,
    quotas: Quotas | None = None,
    nodes: tuple[str, ...] = ("node-1",),
) -> World:
    """A world with tenants, whose clusters have one node each, a pool and a group."""
    kept = Kept()
    for index, name in enumerate(tenants or ("acme",), start=1):
        kept.tenants[name] = kept.stamp(a_tenant(name, f"10.{index}.0.0/16", quotas=quotas), new=True)
        spec = TenantClusterSpec(tenant=name, nodes=(TenantNode(name="node-a", addresses=(f"10.{index}.0.1",)),))
        meta = ObjectMeta(name="cluster-1", namespace=f"tenant-{name}")
        kept.clusters[f"tenant-{name}", "cluster-1"] = kept.stamp(TenantCluster(metadata=meta, spec=spec), new=True)
    kept.pools["default"] = kept.stamp(a_pool(*pool, quarantine=quarantine), new=True)
    kept.groups[GROUP] = kept.stamp(a_group(nodes=nodes), new=True)
    world = World(kept)
    world.tell_of_tenants()
    return world


def a_key(uid: str = "u1", tenant: str = "acme", cluster: str = "cluster-1") -> ServiceKey:
    return ServiceKey(tenant, cluster, uid)


def a_wish(
    name: str = "web", *, ports: tuple[int, ...] = (443,), node_ports: tuple[int, ...] = (), **fields: Any
) -> TenantService:
    numbers = node_ports or tuple(31000 + index for index in range(len(ports)))
    return TenantService(
        namespace="shop",
        name=name,
        ports=tuple(ServicePort(port=p, node_port=n) for p, n in zip(ports, numbers, strict=True)),
        ip_families=fields.pop("ip_families", (Family.IPV4,)),
        **fields,
    )


def a_tenant(name: str = "acme", *cidrs: str, quotas: Quotas | None = None, **spec: Any) -> Tenant:
    return Tenant(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1", generation=1),
        spec=TenantSpec(node_cidrs=cidrs or ("10.1.0.0/16",), quotas=quotas or Quotas(), **spec),
        status=TenantStatus(account=f"A{name.upper()}", namespace=f"tenant-{name}"),
    )


def a_pool(
    *ranges: str,
    name: str = "default",
    quarantine: int = 0,
    finalizers: tuple[str, ...] = (POOL_FINALIZER,),
    deleted: str | None = None,
    **spec: Any,
) -> AddressPool:
    return AddressPool(
        metadata=ObjectMeta(
            name=name,
            uid=f"uid-{name}",
            resource_version="1",
            generation=1,
            finalizers=finalizers,
            deletion_timestamp=deleted,
        ),
        spec=AddressPoolSpec(addresses=ranges or ("192.0.2.0/29",), quarantine_seconds=quarantine, **spec),
    )


def a_group(
    name: str = GROUP, nodes: tuple[str, ...] = ("node-1",), engine: EngineName = EngineName.ENVOY, **spec: Any
) -> BalancerGroup:
    return BalancerGroup(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1", generation=1),
        spec=BalancerGroupSpec(engine=engine, nodes=nodes, **spec),
    )


def a_claim(
    address: str = "192.0.2.1",
    owner: ServiceKey | None = None,
    *,
    phase: ClaimPhase = ClaimPhase.BOUND,
    ports: tuple[str, ...] = ("443/TCP",),
    version: int = 1,
    uid: str = "",
    **spec: Any,
) -> AddressClaim:
    key = owner or a_key()
    whose = ClaimOwner(tenant=key.tenant, cluster_uid=key.cluster, service_uid=key.uid, namespace="shop", name="web")
    name = claim_name(address)
    return AddressClaim(
        metadata=ObjectMeta(name=name, uid=uid or f"uid-{name}", resource_version=str(version), generation=1),
        spec=AddressClaimSpec(address=address, pool="default", owner=whose, ports=ports, phase=phase, **spec),
    )


def a_load_balancer(
    key: ServiceKey | None = None,
    *addresses: str,
    service: TenantService | None = None,
    refusal: Refusal | None = None,
    version: int = 1,
    uid: str = "lb-uid",
) -> LoadBalancer:
    key = key or a_key()
    return LoadBalancer(
        metadata=ObjectMeta(
            name=key.uid,
            namespace=f"tenant-{key.tenant}",
            uid=uid,
            resource_version=str(version),
            generation=1,
            creation_timestamp="2026-11-25T12:00:00Z",
        ),
        spec=LoadBalancerSpec(
            tenant=key.tenant,
            cluster_uid=key.cluster,
            wish=digest_of(service or a_wish()),
            service=service or a_wish(),
            group=GROUP if addresses else "",
            pool="default" if addresses else "",
            addresses=addresses,
            refusal=refusal,
        ),
    )


EXHAUSTED = Refusal(Reason.POOL_EXHAUSTED, "no free IPv4 address in pool default")
