"""The order of starting and stopping, and what env.json says meanwhile.

What there is to start is planning.py's, which programs there are programs.py's, keeping them alive supervisor.py's. It
must not parse options or handle signals.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.local import admitting, choices, kubernetes, layout, programs, seeding
from fleetlb_cli.local.kubernetes import ApiServer
from fleetlb_cli.local.layout import Environment
from fleetlb_cli.local.planning import MANAGEMENT, PAGE, Plan, replica_names
from fleetlb_cli.local.processes import Program
from fleetlb_cli.local.supervisor import ChildFailedError, Supervisor

_STOP_ORDER = (
    ("tenant-watcher", "manager", "status"),
    ("dataplane-programmer",),
    ("envoy", "nats", "kube-controller-manager"),
    ("kube-apiserver",),
)
"""Last of all etcd, so that everybody can still write what they must."""


class Fleet:
    """Starts everything in order; afterwards it only writes env.json when the supervisor says so."""

    def __init__(self, plan: Plan, supervisor: Supervisor, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._report = report
        self._uids: dict[str, str] = {}
        self._awaited: dict[str, Path] = {}

    @property
    def awaited(self) -> dict[str, Path]:
        """What a start is waiting for now, with the log that may say why."""
        return dict(self._awaited)

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Return when every process is ready. Raises ChildFailedError, through the task group if need be."""
        plan, blueprint = self._plan, self._plan.blueprint
        await _all(*(self._identify(name, kubeconfig) for name, kubeconfig in plan.wish.attached.items()))
        first = (*programs.etcds(blueprint), programs.nats(blueprint))
        await _all(*(self._launch(tasks, program) for program in first))
        await _all(*(self._start_cluster(tasks, server) for server in plan.servers.values()))
        management = await Cluster.connect(plan.management.kubeconfig)
        try:
            tenants = {name: plan.wish.pods.get(name, ()) for name in plan.wish.tenants}
            group = seeding.group_object(programs.GROUP, plan.wish.engine, (programs.NODE,), plan.wish.forwarding)
            await seeding.seed(management, plan.chosen, group, tenants)
            await _all(
                *(self._launch(tasks, program) for program in self._hub_services()),
                self._start_node(tasks),
                *(self._start_watcher(tasks, management, tenant) for tenant in plan.tenants),
            )
        finally:
            await management.close()
        for program, _ in self._supervisor.programs.values():
            if program.ui:
                self._report(f"the page of {program.name}: {program.ui}")

    def environment(self) -> Environment:
        """env.json as of now."""
        plan, blueprint = self._plan, self._plan.blueprint
        hub = blueprint.hub
        return Environment(
            management=layout.Management(
                kubeconfig=str(plan.management.kubeconfig), cluster_uid=self._uids[MANAGEMENT]
            ),
            tenants={name: self._tenant_place(name, ranges) for name, ranges in plan.tenants.items()},
            nats=hub.place,
            pools={seeding.POOL: layout.PoolPlace(cidr=plan.chosen.pool.cidr, cidr6=plan.chosen.pool.cidr6)},
            groups={programs.GROUP: layout.GroupPlace(engine=plan.wish.engine, nodes=(programs.NODE,))},
            processes={
                name: layout.ProcessPlace(pid=pid, log=str(program.log), http=program.http, ui=program.ui)
                for name, (program, pid) in self._supervisor.programs.items()
            },
        )

    def stop_order(self) -> tuple[tuple[str, ...], ...]:
        """Names of running processes, first those that others do not need."""
        return stop_order(self._supervisor.programs)

    def _tenant_place(self, name: str, ranges: choices.Ranges) -> layout.TenantPlace:
        return layout.TenantPlace(
            kubeconfig=str(self._plan.kubeconfig(name)),
            cluster_uid=self._uids[name],
            namespace=f"tenant-{name}",
            node_cidr=ranges.cidr,
            node_cidr6=ranges.cidr6,
            creds=str(self._plan.blueprint.layout.tenant_creds(name)),
            load_balancer_class=self._plan.wish.load_balancer_class,
        )

    def _hub_services(self) -> list[Program]:
        plan, blueprint, replicas = self._plan, self._plan.blueprint, self._plan.wish.replicas
        managers, partitions = replica_names("manager", replicas), self._plan.wish.partitions
        statuses = replica_names("status", replicas)
        managers_own, status_own = map(plan.management.kubeconfig_of, (admitting.MANAGER.name, admitting.STATUS.name))
        return [
            *(programs.manager(blueprint, name, plan.ports[name], managers_own, partitions) for name in managers),
            *(
                programs.status(blueprint, name, plan.ports[name], plan.ports[name + PAGE], status_own)
                for name in statuses
            ),
        ]

    async def _launch(self, tasks: asyncio.TaskGroup, program: Program) -> None:
        begun = time.monotonic()
        self._awaited[program.name] = program.log
        await self._supervisor.launch(tasks, program)
        del self._awaited[program.name]
        self._report(f"{program.name} is ready after {time.monotonic() - begun:.1f} s")

    async def _start_cluster(self, tasks: asyncio.TaskGroup, server: ApiServer) -> None:
        """API server, kubeconfig, controllers, in that order: each needs the one before."""
        server.certificate.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if server.certificate.exists() != server.key.exists():  # killed between the two: it would never start again
            server.certificate.unlink(missing_ok=True)
            server.key.unlink(missing_ok=True)
        layout.replace_file(server.tokens, kubernetes.token_file(server.token).encode())
        layout.replace_file(server.audit_policy, kubernetes.audit_policy_text(admitting.AUDITED).encode())
        blueprint = self._plan.blueprint
        await self._launch(tasks, programs.apiserver(blueprint, server))
        text = kubernetes.kubeconfig_text(server, server.certificate.read_bytes())
        layout.replace_file(server.kubeconfig, text.encode())
        await self._identify(server.name, server.kubeconfig)
        own = (admitting.MANAGER, admitting.STATUS) if server.name == MANAGEMENT else (admitting.WATCHER,)
        await admitting.admit(server, own)
        name = f"kube-controller-manager/{server.name}"
        if blueprint.control_plane.has("kube-controller-manager"):
            await self._launch(tasks, programs.controller_manager(blueprint, server, self._plan.ports[name]))
        else:
            self._report(f"{name} is missing in KUBEBUILDER_ASSETS: deleted namespaces of {server.name} will not end")

    async def _identify(self, name: str, kubeconfig: Path) -> None:
        """Ask a cluster for its UID, as its watcher will do first. Raises ChildFailedError."""
        try:
            cluster = await Cluster.connect(kubeconfig)
            try:
                self._uids[name] = await cluster.uid()
            finally:
                await cluster.close()
        except FleetlbError as problem:
            raise ChildFailedError(f"the cluster of {name} ({kubeconfig}) does not say its UID: {problem}") from problem

    async def _start_node(self, tasks: asyncio.TaskGroup) -> None:
        """Programmer and Envoy wait for each other, so both start before either is ready. The kernel is there."""
        blueprint = self._plan.blueprint
        program = programs.programmer(blueprint, self._plan.ports[f"dataplane-programmer/{programs.NODE}"])
        blueprint.layout.node(programs.NODE).joinpath("state").mkdir(parents=True, exist_ok=True)
        if blueprint.engine is EngineName.IPVS:
            await self._launch(tasks, program)
            return
        bootstrap = blueprint.layout.node(programs.NODE) / "envoy.json"
        layout.replace_file(bootstrap, await asyncio.to_thread(_envoy_bootstrap, program))

        async def envoy() -> None:
            while not blueprint.sockets.ads.exists():  # noqa: ASYNC110 - an Envoy that finds nobody waits ever longer
                await asyncio.sleep(0.05)
            await self._launch(tasks, programs.envoy(blueprint, bootstrap))

        await _all(self._launch(tasks, program), envoy())

    async def _start_watcher(self, tasks: asyncio.TaskGroup, management: Cluster, tenant: str) -> None:
        blueprint = self._plan.blueprint
        credentials = f"NATS credentials of {tenant}, made by the manager"
        self._awaited[credentials] = blueprint.layout.log("manager")
        await seeding.write_credentials(management, tenant, blueprint.layout.tenant_creds(tenant))
        del self._awaited[credentials]
        port = self._plan.ports[f"tenant-watcher/{tenant}"]
        pods, kubeconfig = bool(self._plan.wish.pods.get(tenant)), self._plan.watchers_kubeconfig(tenant)
        await self._launch(tasks, programs.watcher(blueprint, tenant, port, kubeconfig, pods=pods))


def stop_order(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Group process names so that nobody loses what it needs before it has ended."""

    def kind(name: str) -> str:
        first = name.split("/")[0]
        head, _, number = first.rpartition("-")
        return head if number.isdigit() else first

    every = tuple(names)
    return tuple(tuple(name for name in every if kind(name) in kinds) for kinds in _STOP_ORDER)


def _envoy_bootstrap(program: Program) -> bytes:
    """The programmer knows how its Envoy must begin."""
    command = [*program.command, "--envoy-bootstrap"]
    answer = subprocess.run(command, env=dict(program.environ), capture_output=True, timeout=60, check=False)
    if answer.returncode != 0:
        raise ChildFailedError(f"{' '.join(command)} ended with {answer.returncode}:\n{answer.stderr.decode()[-2000:]}")
    return answer.stdout


async def _all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them together; the first failure ends all."""
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)
