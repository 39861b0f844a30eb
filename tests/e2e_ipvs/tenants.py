"""Tenants whose nodes are namespaces: what `tests.e2e.fleet` does to a cluster, with servers and clients elsewhere."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import NAMESPACES, NODES, Object
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.dialling import Answer
from tests.e2e.fleet import Fleet, TenantCluster, eventually, prepared
from tests.e2e_ipvs.site import Site
from tests.e2e_ipvs.talking import Servers

PATIENCE = 90.0
DUAL = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}


class Tenant(TenantCluster):
    """A tenant's cluster in one namespace, its nodes on the site."""

    patience = PATIENCE

    def __init__(self, name: str, cluster: Cluster, namespace: str, site: Site) -> None:
        """Not prepared."""
        super().__init__(name, cluster, namespace, site.node_cidrs(name)[0])
        self.site = site
        self.places = site.nodes[name]
        self._servers = Servers()

    async def prepare(self) -> None:
        """Namespace and all nodes."""
        await self.cluster.apply(NAMESPACES, {"metadata": {"name": self.namespace}})
        for name in self.places:
            await self.add_node(name)

    async def clean(self) -> None:
        """Delete the test's Services and wait for their end; then the servers may go."""
        await super().clean()
        await self._servers.close()

    async def add_node(self, name: str) -> None:
        """Let a node of the site join the cluster, with an address of each family."""
        addresses = [{"type": "InternalIP", "address": text} for text in self.places[name].addresses.values()]
        await self.cluster.apply(NODES, manifests.node(name))
        status = manifests.node_status("")["status"] | {"addresses": addresses}
        await self.cluster.patch(NODES, name, {"status": status}, kind=PatchKind.MERGE, subresource="status")

    async def remove_node(self, name: str) -> None:
        """Let it leave; its servers go on."""
        with contextlib.suppress(NotFound):
            await self.cluster.delete(NODES, name)

    async def listen(self, *ports: Object) -> None:
        """Servers on every node and address, for the node ports of these Service ports, until the test ends."""
        for place in self.places.values():
            for port in ports:
                for address in place.addresses.values():
                    name, protocol = f"{self.name} {place.name}", Protocol(port["protocol"])
                    await self._servers.start(name, place.namespace, address, protocol, port["nodePort"])

    def answers(self, family: Family, nodes: Iterable[str] = ("node-1", "node-2")) -> set[str]:
        """What these nodes answer: who they are, and the balancer node's address for who asked."""
        return {f"{self.name} {name} {self.places[name].gateways[family]}" for name in nodes}

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

    async def until_answered(self, key: VirtualServerKey, answers: set[str], client: int = 0) -> None:
        """Wait until a client gets exactly these answers, each of them at least once in six times."""

        got: list[Answer] = []

        async def as_wanted() -> bool:
            got[:] = [await self.site.ask(key, client, seconds=2.0) for _ in range(6)]
            return {answer.text or answer.failure for answer in got} == answers

        try:
            await eventually(as_wanted, f"{key} answered by {sorted(answers)} alone", PATIENCE)
        except AssertionError as problem:
            problem.add_note(f"the last answers: {[answer.text or answer.failure for answer in got]}")
            raise

    async def until_refused(self, key: VirtualServerKey) -> None:
        """Wait until nobody serves under this key any more."""

        async def is_refused() -> bool:
            return await self.site.ask(key, seconds=2.0) == Answer(failure="Connection refused")

        await eventually(is_refused, f"{key} refused", PATIENCE)


@asynccontextmanager
async def tenant_of(fleet: Fleet, name: str, namespace: str, site: Site) -> AsyncIterator[Tenant]:
    """A tenant's cluster, and what the test leaves in it taken away afterwards."""
    cluster = await Cluster.connect(Path(fleet.environment.tenants[name].kubeconfig), field_manager="e2e")
    try:
        async with prepared(Tenant(name, cluster, namespace, site)) as tenant:
            yield tenant
    finally:
        await cluster.close()
