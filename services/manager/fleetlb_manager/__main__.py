"""The process `fleetlb-manager`: settings, connections, gates, and the manager's tasks."""

import asyncio
import sys
from functools import partial

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import AlreadyExists, Forbidden, NotFound
from fleetlb.kube.resources import NAMESPACES
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_resolver import forget_account, push_account
from fleetlb.runtime.process import Process, run
from fleetlb_manager.assembly import Manager, Surroundings
from fleetlb_manager.minting import Operator
from fleetlb_manager.settings import ManagerSettings

GATE_SECONDS = 0.25
"""How often gates are looked at until all are open; after that a second is soon enough."""
STANDBY_SECONDS = 3.0
"""With caches full and no Lease for so long, others hold them all: a standby is ready."""
NAMESPACE_SECONDS = 1.0


async def serve(process: Process, settings: ManagerSettings) -> None:
    """Start everything; the process lives on in its tasks."""
    for name in ("bus", "caches", "lease"):
        process.health.gate(name)
    operator = Operator(settings.nats_operator_seed.read_text().strip(), settings.nats_hub_account)
    cluster = await Cluster.connect(settings.kubeconfig, field_manager="fleetlb-manager")
    process.stack.push_async_callback(cluster.close)
    connect = partial(
        JetStreamBus.connect,
        settings.nats_url,
        tasks=process.tasks,
        tls=settings.nats_tls,
        on_greeted=process.health.open_gate("nats-server").mind,
    )
    bus = await connect(creds=settings.nats_creds, name=settings.identity)
    bus.replicate(settings.nats_replicas)
    system = await connect(creds=settings.nats_system_creds, name=f"{settings.identity}-system")
    await _ensure_namespace(process, cluster, settings.system_namespace)
    manager = Manager(
        Surroundings(
            cluster=cluster,
            bus=bus,
            push_account=partial(push_account, system),
            forget_account=partial(forget_account, system),
            operator=operator,
            system_namespace=settings.system_namespace,
            identity=settings.identity,
            partitions=settings.partitions,
            allow_loopback=settings.allow_loopback_backends,
            rules=settings.rules(),
            life_seconds=settings.credentials_seconds,
            tasks=process.tasks,
            tracing=process.tracing,
        )
    )
    system.on_reconnect(manager.forget_pushed_accounts)
    process.on_stop(partial(_stop_acting, manager))
    await manager.answer()
    for name, work in manager.runs().items():
        process.spawn(work(), name)
    process.spawn(_keep_gates(process, manager, bus), "gates")


async def _ensure_namespace(process: Process, cluster: Cluster, namespace: str) -> None:
    """The Lease lives there. Without the right to make it, somebody else must have."""
    told = False
    while True:
        try:
            await _make_namespace(cluster, namespace)
            return
        except (AlreadyExists, Forbidden):
            return
        except FleetlbError as problem:
            if not told:
                told = True
                process.log.warning("the management cluster cannot be reached; trying again", problem=str(problem))
            await asyncio.sleep(NAMESPACE_SECONDS)


async def _make_namespace(cluster: Cluster, namespace: str) -> None:
    try:
        await cluster.get(NAMESPACES, namespace)
    except NotFound:
        await cluster.create(NAMESPACES, {"metadata": {"name": namespace}})


async def _keep_gates(process: Process, manager: Manager, bus: JetStreamBus) -> None:
    health, loop = process.health, asyncio.get_running_loop()
    synced_at: float | None = None
    while True:
        if bus.connected:
            health.gate("bus").open()
        else:
            health.gate("bus").close("not connected to NATS")
        health.gate("streams").mind(manager.streams.objection)
        health.gate("store").mind(manager.partitions.objection)
        if synced_at is None and manager.is_synced:
            synced_at = loop.time()
            health.gate("caches").open()
        if manager.leadership.acting:
            health.gate("lease").open()
        elif synced_at is not None and not manager.leadership.partitions:
            if loop.time() - synced_at > STANDBY_SECONDS:
                health.gate("lease").open()
        else:
            health.gate("lease").close("the term is not begun yet")
        await asyncio.sleep(1.0 if health.ready else GATE_SECONDS)


async def _stop_acting(manager: Manager) -> None:
    manager.leadership.end()


def main() -> None:
    """The console script."""
    sys.exit(run("fleetlb-manager", ManagerSettings, serve))


if __name__ == "__main__":
    main()
