"""The steps of the demonstration, in order. Every step is checked; none is shown as true that was not."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from fleetlb.domain.addresses import Protocol, claim_name
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backends
from fleetlb_cli.demo.dialling import dial, dial_until_answered, dial_until_refused
from fleetlb_cli.demo.reports import Reports
from fleetlb_cli.demo.telling import Row, Teller, lines_to_try, table_of
from fleetlb_cli.demo.tenants import PATIENCE, Tenant
from fleetlb_cli.demo.timeline import milliseconds_per_hop
from fleetlb_cli.local.layout import Environment
from fleetlb_cli.seeing import has_address, is_gone, is_serving


class Demonstration:
    """Two tenants on a running local fleet."""

    def __init__(self, environment: Environment, console: Console, begun: float) -> None:
        """`begun`: when the command started, by the monotonic clock."""
        self._environment = environment
        self._begun = begun
        self._teller = Teller(console)
        self._console = console
        self._tenants: list[Tenant] = []
        self._addressed_at: dict[str, int] = {}
        self._first_answers: dict[str, float] = {}

    async def run(self, state: str) -> bool:
        """All steps; returns whether every one was true."""
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            reports = await Reports.follow(self._environment.nats.url, Path(self._environment.nats.hub_creds), tasks)
            stack.push_async_callback(reports.close)
            management = await Cluster.connect(Path(self._environment.management.kubeconfig))
            stack.push_async_callback(management.close)
            for name, place in self._environment.tenants.items():
                tenant = await Tenant.connect(name, Path(place.kubeconfig), place.node_cidr, place.load_balancer_class)
                stack.push_async_callback(tenant.cluster.close)
                self._tenants.append(tenant)
            await stack.enter_async_context(Backends([b for tenant in self._tenants for b in tenant.backends]))
            watches = [tasks.create_task(tenant.board.run()) for tenant in self._tenants]
            try:
                await self._steps(reports, management)
            except TimeoutError as late:
                self._teller.check("the step before", False, str(late))
            finally:
                for watch in watches:
                    watch.cancel()
        self._console.print(
            "\nTo try:", *(f"  {line}" for line in lines_to_try(state, self._vip())), sep="\n", soft_wrap=True
        )
        return self._teller.failures == 0

    def _vip(self) -> str:
        return self._tenants[0].vip or "VIP"

    async def _steps(self, reports: Reports, management: Cluster) -> None:
        await self._serve()
        self._console.print(table_of([self._row(tenant, reports) for tenant in self._tenants]))
        addresses = {tenant.vip for tenant in self._tenants}
        self._teller.check("same namespace and name, different addresses", len(addresses) == len(self._tenants))
        await self._change(self._tenants[0])
        await self._delete(self._tenants[-1], management)
        still = await dial(self._tenants[0].key(manifests.TCP_PORT, Protocol.TCP))
        self._teller.check(f"{self._tenants[0].name} did not notice", still.ok, still.failure)

    async def _serve(self) -> None:
        self._teller.begin("nodes and a Service of type LoadBalancer, same namespace and name in every tenant")
        async with asyncio.TaskGroup() as tasks:
            for tenant in self._tenants:
                tasks.create_task(self._serve_tenant(tenant))

    async def _serve_tenant(self, tenant: Tenant) -> None:
        await tenant.create()
        self._addressed_at[tenant.name] = await tenant.until(has_address, "an address", PATIENCE)
        for port, protocol in ((manifests.TCP_PORT, Protocol.TCP), (manifests.UDP_PORT, Protocol.UDP)):
            key = tenant.key(port, protocol)
            answer = await dial_until_answered(key, PATIENCE)
            self._first_answers.setdefault(tenant.name, time.time_ns() / 1e6 - tenant.created_at / 1000)
            owner = answer.text.partition(" ")[0]
            since = time.monotonic() - self._begun
            text = f"{tenant.name}: {key} answers: {answer.text} ({since:.1f} s after the command)"
            self._teller.check(text, owner == tenant.name, answer.failure)
        await tenant.until(is_serving, "Serving=True", PATIENCE)
        self._teller.check(f"{tenant.name}: fleetlb.dev/Serving is True", True)

    def _row(self, tenant: Tenant, reports: Reports) -> Row:
        addressed_at = self._addressed_at[tenant.name]
        return Row(
            tenant=tenant.name,
            service=f"{manifests.NAMESPACE}/{manifests.SERVICE}",
            vip=tenant.vip,
            ports=f"{manifests.TCP_PORT}/tcp {manifests.UDP_PORT}/udp",
            backends=" ".join(backend.address for backend in tenant.backends),
            answer="yes" if tenant.name in self._first_answers else "no",
            per_hop=milliseconds_per_hop(tenant.created_at, reports.hops(tenant.uid), addressed_at),
            total=(addressed_at - tenant.created_at) / 1000,
            first_answer=self._first_answers.get(tenant.name, 0.0),
        )

    async def _change(self, tenant: Tenant) -> None:
        self._teller.begin(f"{tenant.name} adds port {manifests.ADDED_PORT}")
        before = tenant.vip
        started = time.monotonic()
        await tenant.add_port()
        answer = await dial_until_answered(tenant.key(manifests.ADDED_PORT, Protocol.TCP), PATIENCE)
        took = (time.monotonic() - started) * 1000
        self._teller.check(f"the new port answers after {took:.0f} ms: {answer.text}", answer.ok, answer.failure)
        self._teller.check("the address stayed", tenant.vip == before)

    async def _delete(self, tenant: Tenant, management: Cluster) -> None:
        self._teller.begin(f"{tenant.name} deletes its Service")
        vip, key = tenant.vip, tenant.key(manifests.TCP_PORT, Protocol.TCP)
        await tenant.delete()
        closed = await dial_until_refused(key, PATIENCE)
        self._teller.check("its port is closed", closed.failure == "Connection refused", closed.failure or closed.text)
        await tenant.until(is_gone, "the Service's end", PATIENCE)
        self._teller.check("the Service is gone, finalizer and all", True)
        self._teller.check(f"{vip} is free again, after its quarantine", await _is_freed(management, vip))


async def _is_freed(management: Cluster, vip: str) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            await management.get(ADDRESS_CLAIMS, claim_name(vip))
        except NotFound:
            return True
        await asyncio.sleep(0.2)
    return False
