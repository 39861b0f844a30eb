"""A stage for one manager: a real API server, a bus in memory, balancer nodes and watchers played by hand."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.crds import all_crds
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressPool,
    AddressPoolSpec,
    BalancerGroup,
    BalancerGroupSpec,
    LoadBalancer,
)
from fleetlb.contracts.tenants import Quotas, Tenant, TenantCluster, TenantSpec
from fleetlb.contracts.v1 import (
    InventoryObserved,
    NodeRealized,
    NodesObserved,
    RealizedState,
    ServiceObserved,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, digest_of
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, NotFound
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    ADDRESS_POOLS,
    BALANCER_GROUPS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.leases import SystemClock
from fleetlb.kube.resources import LEASES, NAMESPACES, SECRETS, Resource
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.bus import Bus, Message
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb_manager.assembly import Manager, Surroundings
from fleetlb_manager.minting import Operator

SYSTEM_NAMESPACE = "fleetlb-system"
PUT_SECONDS, PAUSE_SECONDS = 15.0, 0.1
READY = ServiceEndpoints(ready=True, nodes=("node-a",))
CIDRS = {"acme": "10.1.0.0/16", "globex": "10.2.0.0/16"}


class StageClock(SystemClock):
    """The machine's clocks, moved forward at will."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.ahead


class CountingCluster:
    """Passes every request on to a Cluster, and counts the writes by kind. Can hold writes back."""

    def __init__(self, cluster: Cluster, root: "CountingCluster | None" = None) -> None:
        self._cluster = cluster
        self._root = root or self
        self.writes: Counter[str] = Counter()
        self.before_write: Callable[[str], None] = lambda what: None
        self.delay_writes = 0.0

    def writing_while(self, may_write: Callable[[], bool]) -> "CountingCluster":
        """The same, for writes that need this permission; counted together with all others."""
        return CountingCluster(self._cluster.writing_while(may_write), self._root)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        if name not in ("create", "patch", "delete", "replace", "apply"):
            return found

        async def counted(res: Any, *args: Any, **kwargs: Any) -> Any:
            if res.plural == "leases":
                return await found(res, *args, **kwargs)
            what = f"{name} {res.plural}{'/status' if kwargs.get('subresource') else ''}"
            root = self._root
            root.before_write(what)
            root.writes[what] += 1
            if root.delay_writes:
                await asyncio.sleep(root.delay_writes)
            return await found(res, *args, **kwargs)

        return counted


class Node:
    """A balancer node: does what it is asked at once, or only when `let` is called."""

    def __init__(self, bus: Bus, name: str = "node-1", group: str = "default") -> None:
        self.bus = bus
        self.name = name
        self.group = group
        self.serving: dict[str, VirtualServer] = {}
        self.seen: list[VirtualServerDesired] = []
        self.answering = True
        self.highest: dict[str, tuple[int, int]] = {}
        self._repeated = 0

    async def run(self) -> None:
        queue: asyncio.Queue[VirtualServerDesired] = asyncio.Queue()

        def hear(message: Message) -> None:
            queue.put_nowait(codec.decode(VirtualServerDesired, message.data))

        async with asyncio.TaskGroup() as tasks:
            stream = streams.desired_stream(self.group)
            tasks.create_task(
                self.bus.replay_and_follow(
                    stream.name, stream.subjects[0], hear, on_replayed=lambda: None, on_restart=lambda: None
                )
            )
            while True:
                await self._take(await queue.get())

    async def _take(self, wish: VirtualServerDesired) -> None:
        order = (wish.generation, wish.revision)
        key = str(wish.key)
        if order < self.highest.get(key, (0, 0)):
            self._repeated += 1  # who asks for what is past does not know what stands here
            await self._say(next(seen for seen in reversed(self.seen) if seen.key == wish.key))
            return
        if order == self.highest.get(key):
            return
        self.highest[key] = order
        self.seen.append(wish)
        if wish.server is not None:
            self.serving[key] = wish.server
        elif self.answering:
            self.serving.pop(key, None)
        if self.answering:
            await self._say(wish)

    async def _say(self, wish: VirtualServerDesired) -> None:
        said = VirtualServerRealized(
            node=self.name,
            key=wish.key,
            generation=wish.generation,
            revision=wish.revision,
            state=RealizedState.PROGRAMMED if wish.server else RealizedState.REMOVED,
            owner=wish.owner,
            load_balancer=wish.load_balancer,
        )
        subject = subjects.realized(self.group, self.name, wish.key)
        name = f"{self.name}-{wish.key}-{wish.generation}-{wish.revision}-{self._repeated}"
        await self.bus.publish(subject, codec.encode(said), message_id=name)

    async def say_again(self) -> None:
        """What it still serves."""
        self._repeated += 1
        for key in self.serving:
            await self._say(next(wish for wish in reversed(self.seen) if str(wish.key) == key and wish.server))

    async def say_capabilities(self, *capabilities: str) -> None:
        """What it can do, in place of what its engine is taken to."""
        said = NodeRealized(node=self.name, group=self.group, engine="", capabilities=capabilities, ready=True)
        subject = subjects.realized_node(self.group, self.name)
        await self.bus.publish(subject, codec.encode(said), message_id=" ".join((self.name, *capabilities)))

    async def answer_all(self) -> None:
        """Say now what was not said."""
        self.answering = True
        last = {str(wish.key): wish for wish in self.seen}
        for key, wish in last.items():
            if wish.server is None:
                self.serving.pop(key, None)
            await self._say(wish)


class Watcher:
    """A tenant's watcher: says what the test tells it to."""

    def __init__(self, bus: Bus, account: str, cluster: str) -> None:
        """`bus` speaks the tenant account's words."""
        self.bus = bus
        self.account = account
        self.cluster = cluster
        self.services: dict[str, str] = {}
        self.resyncs = 0
        self.released: list[str] = []
        self._number = 0

    async def start(self) -> None:
        await self.bus.listen(subjects.local_resync(self.cluster), lambda _: self._count_resync())

    def _count_resync(self) -> None:
        self.resyncs += 1

    async def say(
        self, uid: str, service: TenantService | None, endpoints: ServiceEndpoints | None = READY
    ) -> ServiceObserved:
        digest = digest_of((service, endpoints))
        message = ServiceObserved(digest=digest, wish=digest_of(service), service=service, endpoints=endpoints)
        self.services[uid] = digest
        await self.put(subjects.local_observed_service(self.cluster, uid), codec.encode(message))
        return message

    async def say_nodes(self, *nodes: TenantNode) -> None:
        await self.put(subjects.local_observed_nodes(self.cluster), codec.encode(NodesObserved(nodes=nodes)))

    async def say_inventory(self, services: dict[str, str] | None = None) -> None:
        message = InventoryObserved(services=self.services if services is None else services, watcher_version="1")
        await self.put(subjects.local_observed_inventory(self.cluster), codec.encode(message))

    async def put(self, subject: str, body: bytes) -> None:
        """As a watcher does, the same message again until it is stored."""
        self._number += 1
        message_id, deadline = f"{id(self)}-{self._number}", time.monotonic() + PUT_SECONDS
        while True:
            try:
                await self.bus.publish(subject, body, message_id=message_id)
            except Transient:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return


class Stage:
    """Objects, a manager that can be started and killed, nodes and watchers."""

    def __init__(self, cluster: Cluster, tasks: asyncio.TaskGroup) -> None:
        self.cluster = cluster
        self.tasks = tasks
        self.server = FakeServer()
        self.pushed: list[str] = []
        self.forgotten: list[tuple[str, str]] = []
        self.released: list[str] = []
        self.parked: list[tuple[str, bytes]] = []
        self.operator = Operator(
            nats_accounts.new_seed(KeyKind.OPERATOR),
            nats_accounts.public_key(nats_accounts.new_seed(KeyKind.ACCOUNT)),
        )
        self.counting = CountingCluster(cluster)
        self.clock = StageClock()
        self.running: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []
        self._manager: Manager | None = None
        self.partitions = 1
        self.managers: dict[str, Manager] = {}
        """By identity, those that run or ran."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def manager(self) -> Manager:
        assert self._manager is not None
        return self._manager

    @property
    def writes(self) -> Counter[str]:
        return self.counting.writes

    async def set_up(
        self, *tenants: str, pool: str = "192.0.2.0/28", nodes: tuple[str, ...] = ("node-1",), quarantine: int = 0
    ) -> None:
        """The usual objects."""
        await self.create_group(nodes=nodes)
        await self.create_pool(pool, quarantine=quarantine)
        for name in tenants or ("acme",):
            await self.create_tenant(name, CIDRS[name])
        await FakeBus(self.server).listen(subjects.ALL_RELEASED, lambda message: self.released.append(message.subject))

        self._others.append(self.tasks.create_task(self._collect_parked()))

    async def _collect_parked(self) -> None:
        await FakeBus(self.server).replay_and_follow(
            streams.PARKED_STREAM.name,
            ">",
            lambda message: self.parked.append((message.subject, message.data)),
            on_replayed=lambda: None,
            on_restart=lambda: None,
        )

    async def create_group(self, name: str = "default", nodes: tuple[str, ...] = ("node-1",)) -> BalancerGroup:
        spec = BalancerGroupSpec(engine=EngineName.ENVOY, nodes=nodes)
        return await self.cluster.create(BALANCER_GROUPS, BalancerGroup(metadata=ObjectMeta(name=name), spec=spec))

    async def create_pool(
        self, *ranges: str, name: str = "default", quarantine: int = 0, auto_assign: bool = True, **more: Any
    ) -> AddressPool:
        spec = AddressPoolSpec(addresses=ranges, quarantine_seconds=quarantine, auto_assign=auto_assign, **more)
        return await self.cluster.create(ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name=name), spec=spec))

    async def create_tenant(self, name: str, *cidrs: str, quotas: Quotas | None = None) -> Tenant:
        spec = TenantSpec(node_cidrs=cidrs, quotas=quotas or Quotas())
        return await self.cluster.create(TENANTS, Tenant(metadata=ObjectMeta(name=name), spec=spec))

    def start(self, identity: str = "manager-1") -> None:
        """Start a manager; it is the one that is meant where none is named."""
        self.running = self._tasks[identity] = self.tasks.create_task(self._run(identity, self.partitions))

    async def kill(self) -> None:
        """End the manager wherever it is."""
        assert self.running is not None
        self.running.cancel()
        await asyncio.wait([self.running])
        self.running = None

    async def end(self, identity: str) -> None:
        """End one of several managers, in order: it hands its Leases back."""
        task = self._tasks.pop(identity)
        task.cancel()
        await asyncio.wait([task])
        del self.managers[identity]

    def held(self) -> dict[str, tuple[int, ...]]:
        """For which partitions each manager acts."""
        return {
            name: tuple(n for n, a in enumerate(manager.leadership.authorities) if a.acting)
            for name, manager in self.managers.items()
        }

    async def restart(self) -> None:
        await self.kill()
        self.start()
        await self.acting()

    async def close(self) -> None:
        if self.running is not None:
            await self.kill()
        for identity in list(self._tasks):
            await self.end(identity)
        for task in self._others:
            task.cancel()
        if self._others:
            await asyncio.wait(self._others)

    async def _run(self, identity: str, partitions: int) -> None:
        async def push(jwt: str) -> None:
            self.pushed.append(jwt)

        async def forget(account: str, jwt: str) -> None:
            self.forgotten.append((account, jwt))

        async with asyncio.TaskGroup() as tasks:
            self._manager = self.managers[identity] = Manager(
                Surroundings(
                    cluster=self.counting,  # type: ignore[arg-type]
                    bus=FakeBus(self.server),
                    push_account=push,
                    forget_account=forget,
                    operator=self.operator,
                    system_namespace=SYSTEM_NAMESPACE,
                    identity=identity,
                    partitions=partitions,
                    allow_loopback=False,
                    tasks=tasks,
                    clock=self.clock,
                )
            )
            for name, work in self._manager.runs().items():
                tasks.create_task(work(), name=name)

    async def acting(self) -> None:
        """Wait until the manager acts."""
        await eventually(lambda: self._manager is not None and self._manager.leadership.acting, 15)

    async def settled(self, quiet: float = 0.1) -> None:
        """Wait until the manager has had nothing to do for a while."""
        loop = asyncio.get_running_loop()
        since = loop.time()

        def is_quiet() -> bool:
            nonlocal since
            if not self.manager.queues.idle():
                since = loop.time()
            return loop.time() - since >= quiet

        await eventually(is_quiet, 20)

    def add_node(self, name: str = "node-1", group: str = "default") -> Node:
        node = Node(FakeBus(self.server), name, group)
        self._others.append(self.tasks.create_task(node.run()))
        return node

    async def watcher(self, tenant: str = "acme", cluster: str = "cluster-1", octet: int | None = None) -> Watcher:
        """A watcher of a tenant, as soon as the tenant has its account and is followed; with one node told."""
        await self.until_status(tenant)
        account = (await self.cluster.get(TENANTS, tenant)).status.account
        watcher = Watcher(FakeBus(self.server).for_tenant(account), account, cluster)
        await watcher.start()
        network = CIDRS.get(tenant, "10.9.0.0/16").removesuffix(".0.0/16")
        await watcher.say_nodes(TenantNode(name="node-a", addresses=(f"{network}.0.{octet or 1}",)))
        return watcher

    async def until_status(self, tenant: str, status: str = "True") -> Tenant:
        """A Tenant, once its condition Ready has this status."""
        async with asyncio.timeout(15):
            while True:
                found = await self.cluster.get(TENANTS, tenant)
                if any(c.type == "Ready" and c.status == status for c in found.status.conditions):
                    return found
                await asyncio.sleep(0.01)

    async def end_namespace(self, name: str) -> bool:
        """Do what a cluster's own controllers do to a namespace that ends; False if it does not."""
        found = await self.cluster.get(NAMESPACES, name)
        if not found["metadata"].get("deletionTimestamp"):
            return False
        await self.cluster.replace(NAMESPACES, found | {"spec": {"finalizers": []}}, subresource="finalize")
        return True

    async def claims(self) -> dict[str, AddressClaim]:
        return {claim.spec.address: claim for claim in await self.cluster.list(ADDRESS_CLAIMS)}

    async def load_balancers(self) -> dict[str, LoadBalancer]:
        return {item.metadata.name: item for item in await self.cluster.list(LOAD_BALANCERS)}

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """Service UID to what its object says it has."""
        return {name: item.spec.addresses for name, item in (await self.load_balancers()).items()}

    async def refusals(self) -> dict[str, str]:
        """Service UID to the reason of its refusal."""
        found = await self.load_balancers()
        return {name: item.spec.refusal.reason for name, item in found.items() if item.spec.refusal}

    async def clusters(self) -> dict[str, TenantCluster]:
        return {item.metadata.name: item for item in await self.cluster.list(TENANT_CLUSTERS)}

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        """Wait for a condition that may be a coroutine function."""
        async with asyncio.timeout(seconds):
            while True:
                outcome = condition()
                if asyncio.iscoroutine(outcome):
                    outcome = await outcome
                if outcome:
                    return
                await asyncio.sleep(0.01)

    async def until_addresses(self, wanted: dict[str, tuple[str, ...]]) -> None:
        """Wait until these Services have exactly these addresses, and nobody else has one."""
        seen: dict[str, tuple[str, ...]] = {}

        async def reached() -> bool:
            nonlocal seen
            seen = await self.addresses()
            return seen == wanted

        try:
            await self.until(reached)
        except TimeoutError:
            raise AssertionError(f"{seen} instead of {wanted}") from None


def a_wish(
    name: str = "web",
    *,
    namespace: str = "shop",
    ports: tuple[int, ...] = (443,),
    node_ports: tuple[int, ...] = (),
    **fields: Any,
) -> TenantService:
    """A wish; ports without a node port of their own get 31000 and more."""
    numbers = node_ports or tuple(31000 + index for index in range(len(ports)))
    return TenantService(
        namespace=namespace,
        name=name,
        ports=tuple(ServicePort(port=p, node_port=n) for p, n in zip(ports, numbers, strict=True)),
        ip_families=fields.pop("ip_families", (Family.IPV4,)),
        **fields,
    )


async def sweep(cluster: Cluster) -> None:
    """Remove whatever a test has left; namespaces stay, their objects do not."""
    kinds: tuple[Resource[Any], ...] = (LOAD_BALANCERS, TENANT_CLUSTERS, ADDRESS_CLAIMS, TENANTS, ADDRESS_POOLS)
    for res in (*kinds, BALANCER_GROUPS):
        for item in await cluster.list(res):
            with contextlib.suppress(NotFound):
                await cluster.delete(res, item.metadata.name, item.metadata.namespace or None)
                if item.metadata.finalizers:
                    await free(cluster, res, item)
    for secret in await cluster.list(SECRETS):
        if secret["metadata"]["name"].startswith("fleetlb-"):
            await cluster.delete(SECRETS, secret["metadata"]["name"], secret["metadata"]["namespace"])
    for lease in await cluster.list(LEASES):
        if lease["metadata"]["name"].startswith("fleetlb-"):
            await cluster.delete(LEASES, lease["metadata"]["name"], lease["metadata"]["namespace"])


async def free(cluster: Cluster, res: Resource[Any], item: Any) -> None:
    """Take the finalizers off an object by hand, whatever they are for."""
    body = {"metadata": {"uid": item.metadata.uid, "finalizers": None}}
    await cluster.patch(res, item.metadata.name, body, kind=PatchKind.MERGE)


@contextlib.asynccontextmanager
async def a_stage_on(kubeconfig: Path) -> AsyncIterator[Stage]:
    """An empty stage on a real API server; everything on it ends with the block."""
    cluster = await Cluster.connect(kubeconfig)
    try:
        await apply_crds(cluster, all_crds())
        with contextlib.suppress(AlreadyExists):
            await cluster.create(NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
        await sweep(cluster)
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(cluster, tasks)
            try:
                yield stage
            finally:
                await stage.close()
    finally:
        await cluster.close()


async def edit_spec(cluster: Cluster, res: Any, name: str, **spec: Any) -> Any:
    """Change fields of a cluster-scoped object's spec."""
    found = await cluster.get(res, name)
    return await cluster.patch(res, name, patching.merge(found.metadata.uid, spec=spec), kind=PatchKind.MERGE)
