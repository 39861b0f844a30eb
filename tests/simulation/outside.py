"""What stands outside of every process and outlives it: API servers, the bus, kernels and disks; and people."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from fleetlb.contracts.object_meta import GROUP as API_GROUP
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec, BalancerGroup, BalancerGroupSpec
from fleetlb.contracts.tenants import CONFIRM_REMOVAL, Tenant, TenantSpec
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import Transient
from fleetlb.runtime.nats_accounts import claims_of
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.fake_kube import NAMESPACES, FakeKube, Object, Place
from fleetlb.testkit.fake_patches import merge
from fleetlb.testkit.tenant_objects import a_node, a_service, a_slice, an_endpoint
from tests.simulation.effects import Doer, Effects
from tests.simulation.ports import Plane

GROUP = "default"
SYSTEM_NAMESPACE = "fleetlb-system"
EPOCH = 1_800_000_000
"""When the virtual clock began, in seconds since 1970."""
NODES = ("lb-1", "lb-2")
SPARE, SPARE_NODES = "spare", ("lb-3",)
"""Another group, in histories where the pool moves."""
POOL = ("192.0.2.1", "192.0.2.2")
QUARANTINE_SECONDS = 2
NETWORKS = {"acme": "10.1.0", "globex": "10.2.0"}
SHOP = "shop"
_MADE_BY_SERVERS = {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"}


class Outside:
    """The world around the processes."""

    def __init__(self, disks: Path, seconds: Callable[[], float], *, has_spare: bool = False) -> None:
        """`disks`: a folder for the nodes' disks; `seconds`: of the virtual clock; `has_spare`: with another group."""
        self.groups = {GROUP: NODES, **({SPARE: SPARE_NODES} if has_spare else {})}
        self.group_of = {node: group for group, nodes in self.groups.items() for node in nodes}
        self.disks = disks
        self.seconds = seconds
        self.effects = Effects(seconds)
        self.hub = FakeServer()
        self.management = FakeKube("management", self.wall)
        self.tenants = {name: FakeKube(name, self.wall) for name in NETWORKS}
        self.planes: dict[str, Plane] = {name: {} for name in self.group_of}
        self.accounts: dict[str, str] = {}
        """Those that the NATS servers know, and their JWTs."""
        self.renames_replicas = False
        """Whether a process that is started again has another identity, as another pod has."""
        self.partitions = 1
        """Between which the managers divide the tenants."""
        self._buses: list[tuple[str, FakeBus]] = []

    def identity(self, name: str, number: int) -> str:
        """Of a replica, as the `number`-th run of its process."""
        return f"{name}-{number}" if self.renames_replicas else name

    def wall(self) -> float:
        """Seconds since 1970."""
        return EPOCH + self.seconds()

    # The NATS servers.

    async def push_account(self, doer: Doer, jwt: str) -> None:
        """The servers learn of an account, or of a change of it."""
        await asyncio.sleep(0)
        account = str(claims_of(jwt)["sub"])
        self.accounts[account] = jwt
        self.hub.changed()
        await self.effects.answer(doer, f"push account {account}", jwt.encode(), Transient("no answer"))

    async def forget_account(self, doer: Doer, account: str, deletion_jwt: str) -> None:
        """The servers know an account no more, and cut whoever is connected with it."""
        await asyncio.sleep(0)
        self.accounts.pop(account, None)
        for owner, bus in self._buses:
            if owner == account:
                bus.disconnect()
        await self.effects.answer(doer, f"forget account {account}", b"", Transient("no answer"))

    def connected(self, account: str, bus: FakeBus) -> None:
        """Somebody has connected; without an account as one of the hub's own."""
        self._buses.append((account, bus))

    async def account_of(self, tenant: str) -> str:
        """A tenant's account, once it is handed out and the servers know it."""

        def handed_out() -> str | None:
            item = self.management.objects.get(Place(f"tenants.{API_GROUP}", "", tenant), {})
            account: str = item.get("status", {}).get("account", "")
            return account if account in self.accounts else None

        return await self.hub.until(handed_out)

    # What people do, all at once.

    def install(self) -> None:
        """A fleet with a pool, a group, and the tenants' clusters with a node each."""
        pool = AddressPool(
            metadata=ObjectMeta(name="small"),
            spec=AddressPoolSpec(addresses=(f"{POOL[0]}-{POOL[-1]}",), quarantine_seconds=QUARANTINE_SECONDS),
        )
        self._put(self.management, "addresspools", pool)
        for name, nodes in self.groups.items():
            spec = BalancerGroupSpec(engine=EngineName.ENVOY, nodes=nodes)
            self._put(self.management, "balancergroups", BalancerGroup(metadata=ObjectMeta(name=name), spec=spec))
        self.management.listeners.append(lambda *_: self.hub.changed())
        for tenant, network in NETWORKS.items():
            kube = self.tenants[tenant]
            kube.create(Place(NAMESPACES, "", SHOP), {})
            node = a_node("node-a", addresses=(("InternalIP", f"{network}.1"),))
            kube.create(Place("nodes", "", "node-a"), _fresh(node))

    def move_pool(self, group: str) -> None:
        """The pool names another group."""
        place = Place(f"addresspools.{API_GROUP}", "", "small")
        self.management.change(place, lambda item: merge(item, {"spec": {"group": group}}))

    def let_in(self, tenant: str) -> None:
        """A Tenant is made."""
        spec = TenantSpec(node_cidrs=(f"{NETWORKS[tenant]}.0/24",))
        self._put(self.management, "tenants", Tenant(metadata=ObjectMeta(name=tenant), spec=spec))

    def see_off(self, tenant: str) -> None:
        """A Tenant is deleted, and that confirmed."""
        place = Place(f"tenants.{API_GROUP}", "", tenant)
        self.management.delete(place)
        confirmed: Object = {"metadata": {"annotations": {CONFIRM_REMOVAL: tenant}}}
        self.management.change(place, lambda item: merge(item, confirmed))

    def make(self, tenant: str, name: str, *ports: int) -> None:
        """A Service of type LoadBalancer is made, with a ready endpoint."""
        listed = [{"name": f"p{p}", "protocol": "TCP", "port": p, "nodePort": 30000 + p} for p in ports or (443,)]
        service = a_service(name, SHOP, ports=listed)
        self.tenants[tenant].create(Place("services", SHOP, name), _fresh(service))
        self.ready(tenant, name)

    def edit(self, tenant: str, name: str, **spec: object) -> None:
        """Fields of a Service's spec are set."""
        self.tenants[tenant].change(_service(name), lambda item: merge(item, {"spec": spec}))

    def delete(self, tenant: str, name: str) -> None:
        """A Service is deleted, as far as its finalizers let it go."""
        self.tenants[tenant].delete(_service(name))

    def ready(self, tenant: str, name: str, *, is_ready: bool = True) -> None:
        """Its endpoint is ready, or not."""
        place, kube = Place("endpointslices.discovery.k8s.io", SHOP, f"{name}-1"), self.tenants[tenant]
        item = _fresh(a_slice(an_endpoint("node-a", ready=is_ready), service=name, namespace=SHOP, name=f"{name}-1"))
        if place in kube.objects:
            kube.change(place, lambda before: {**before, "endpoints": item["endpoints"]})
        else:
            kube.create(place, item)

    def _put(self, kube: FakeKube, plural: str, item: object) -> None:
        built: Object = msgspec.to_builtins(item)
        kube.create(Place(f"{plural}.{API_GROUP}", "", built["metadata"]["name"]), built)


def _service(name: str) -> Place:
    return Place("services", SHOP, name)


def _fresh(item: Object) -> Object:
    """As somebody sends it who makes it."""
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k not in _MADE_BY_SERVERS}}
