"""Tenants whose nodes and clients stand on a network: what `tests.e2e.fleet` does to a cluster, and packets."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, Reason
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import NAMESPACES, NODES, Object
from fleetlb.kube.shown_services import Service
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.dialling import Answer
from fleetlb_cli.local.layout import TenantPlace
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, prepared, tcp
from tests.stage.health_ports import health_ports
from tests.stage.networks import Network
from tests.stage.talking import Servers

_witnesses = itertools.count(1)
DUAL = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}


class Tenant(TenantCluster):
    """A tenant's cluster in one namespace, its nodes on a network."""

    def __init__(self, name: str, cluster: Cluster, namespace: str, network: Network, place: TenantPlace) -> None:
        """Not prepared."""
        super().__init__(name, cluster, namespace, place.node_cidr)
        self.patience = network.patience
        self.network = network
        self.machines = network.nodes(name, place)
        self._servers = Servers()

    async def prepare(self) -> None:
        """Namespace and all nodes."""
        await self.cluster.apply(NAMESPACES, {"metadata": {"name": self.namespace}})
        for name in self.machines:
            await self.add_node(name)

    async def clean(self) -> None:
        """Delete the test's Services and wait for their end; then the servers may go."""
        await super().clean()
        await self._servers.close()

    async def add_node(self, name: str, *given: str) -> None:
        """Let a node of the network join the cluster, with an address of each family, or with these."""
        texts = given or self.machines[name].addresses.values()
        addresses = [{"type": "InternalIP", "address": text} for text in texts]
        await self.cluster.apply(NODES, manifests.node(name))
        status = manifests.node_status("")["status"] | {"addresses": addresses}
        await self.cluster.patch(NODES, name, {"status": status}, kind=PatchKind.MERGE, subresource="status")

    async def remove_node(self, name: str) -> None:
        """Let it leave; its servers go on."""
        with contextlib.suppress(NotFound):
            await self.cluster.delete(NODES, name)

    async def listen(self, *ports: Object, called: str = "") -> None:
        """Servers on every node and address, for the node ports of these Service ports, until the test ends.

        They call themselves after their node; `called` stands before its name.
        """
        for machine in self.machines.values():
            for port in ports:
                for address in machine.addresses.values():
                    name, protocol = f"{self.name} {called}{machine.name}", Protocol(port["protocol"])
                    await self._servers.start(name, machine.place, address, protocol, port["nodePort"])

    async def make(self, name: str, ports: list[Object], **spec: Any) -> Object:
        """Create a Service. Under traffic policy Local every node says that it has a pod, until the test ends, unless
        the test has a health check node port of its own."""
        is_own = "healthCheckNodePort" in spec
        if spec.get("externalTrafficPolicy") == "Local" and not is_own:
            spec["healthCheckNodePort"] = next_node_port()  # one that is allocated may be that of a later test
        made = await super().make(name, ports, **spec)
        health = made["spec"].get("healthCheckNodePort")
        if health and not is_own:
            await self._stack.enter_async_context(health_ports(self, health))
        return made

    async def witness(self, **spec: Any) -> str:
        """The name of another Service, made now and served: what was to happen to those before has happened."""
        name, port = f"witness-{next(_witnesses)}", tcp(8099, next_node_port())
        await self.listen(port)
        await self.create(name, [port], **spec)
        await self.serving(name)
        return name

    async def refused_witness(self) -> str:
        """The same without a trace in the data plane: another Service is made, heard of by the hub, and refused."""
        name = f"witness-{next(_witnesses)}"
        await self.create(name, [tcp(8099, next_node_port())], annotations={"fleetlb.dev/pool": "no-such-pool"})
        await self.reason(name, PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
        return name

    async def unsaid_witness(self) -> str:
        """The same without a word to the hub: another Service is made, and refused by the watcher."""
        name = f"witness-{next(_witnesses)}"
        await self.create(name, [tcp(8099, next_node_port())], loadBalancerIP="nowhere")
        await self.reason(name, PROVISIONED, Reason.INVALID)
        return name

    def answers(self, family: Family, nodes: Iterable[str] = ("node-1", "node-2")) -> set[str]:
        """What these nodes answer: who they are, and the balancer node's address for who asked."""
        return {f"{self.name} {name} {self.machines[name].gateways[family]}" for name in nodes}

    async def vips(self, name: str) -> dict[Family, str]:
        """The addresses of a Service, once it serves."""
        await self.serving(name)
        service = self.board.get(name)
        assert service is not None
        ingress = service.status.load_balancer.ingress
        return {Family.IPV6 if ":" in each.ip else Family.IPV4: each.ip for each in ingress}

    async def vip(self, name: str) -> str:
        """The one address of a Service, once it serves."""
        (address,) = (await self.vips(name)).values()
        return address

    async def settled(self, name: str) -> None:
        """Wait until nothing about a Service is under way.

        An API server that finds two writers at once may lose the node port that one of them asks for, for minutes:
        so nothing changes node ports before.
        """

        def is_settled(service: Service | None) -> bool:
            reasons = [condition.reason for condition in service.status.conditions] if service else []
            return len(reasons) >= 2 and Reason.IN_PROGRESS not in reasons

        await self.until(name, is_settled, "rest")

    async def until_answered(self, key: VirtualServerKey, answers: set[str], client: int = 0) -> None:
        """Wait until a client gets exactly these answers, each of them at least once in six times."""
        await self._until_heard(key, answers, client, lambda answer: answer.text)

    async def until_served_by(self, key: VirtualServerKey, *nodes: str, client: int = 0) -> None:
        """Wait until exactly these nodes answer a client, each of them at least once in six times."""
        names = {f"{self.name} {node}" for node in nodes or self.machines}
        await self._until_heard(key, names, client, lambda answer: answer.text.rpartition(" ")[0])

    async def _until_heard(
        self, key: VirtualServerKey, wanted: set[str], client: int, heard: Callable[[Answer], str]
    ) -> None:
        got: list[Answer] = []

        async def as_wanted() -> bool:
            got[:] = [await self.network.ask(key, client, seconds=2.0) for _ in range(6)]
            return {heard(answer) or answer.failure for answer in got} == wanted

        try:
            await eventually(as_wanted, f"{key} answered by {sorted(wanted)} alone", self.patience)
        except AssertionError as problem:
            problem.add_note(f"the last answers: {[answer.text or answer.failure for answer in got]}")
            raise

    async def until_refused(self, key: VirtualServerKey) -> None:
        """Wait until nobody serves under this key any more."""

        async def is_refused() -> bool:
            return await self.network.ask(key, seconds=2.0) == Answer(failure="Connection refused")

        await eventually(is_refused, f"{key} refused", self.patience)

    async def until_silent(self, key: VirtualServerKey) -> None:
        """Wait until nobody answers under this key any more, in whatever way."""

        async def is_silent() -> bool:
            return not (await self.network.ask(key, seconds=1.0)).ok

        await eventually(is_silent, f"silence at {key}", self.patience)

    async def until_event(self, name: str, reason: str, seconds: float | None = None) -> Object:
        """Wait for an Event of a Service, and return the first."""
        found: list[Object] = []

        async def is_there() -> bool:
            found[:] = [event for event in await self.events(name) if event["reason"] == reason]
            return bool(found)

        await eventually(is_there, f"an Event {reason} on {name}", seconds or self.patience)
        return found[0]

    async def until_heard(self, messages: list[bytes]) -> None:
        """Wait for the first of them."""

        async def is_there() -> bool:
            return bool(messages)

        await eventually(is_there, "a message", self.patience)

    async def until_gone(self, name: str) -> None:
        """Wait for the end of a Service, finalizer and all."""
        await self.until(name, lambda service: service is None, "its end")

    async def until_let_go(self, name: str) -> None:
        """Wait until nothing of ours is left on a Service that stays."""

        async def let_go() -> bool:
            service = await self.get(name)
            ours = [each for each in service["status"].get("conditions", []) if each["type"].startswith("fleetlb.dev/")]
            ours += [each for each in service["metadata"].get("finalizers", []) if "load-balancer-cleanup" in each]
            return not ours and service["status"]["loadBalancer"] == {}

        await eventually(let_go, f"{name} without finalizer, conditions and address", self.patience)


@asynccontextmanager
async def tenant_of(fleet: Fleet, name: str, namespace: str, network: Network) -> AsyncIterator[Tenant]:
    """A tenant's cluster, and what the test leaves in it taken away afterwards."""
    place = fleet.environment.tenants[name]
    cluster = await Cluster.connect(Path(place.kubeconfig), field_manager="e2e")
    try:
        async with prepared(Tenant(name, cluster, namespace, network, place)) as tenant:
            yield tenant
    finally:
        await cluster.close()
