"""The status service's process: settings in, adapters made, one replica put to work."""

import asyncio
import sys
from typing import NoReturn

from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.process import Process, run
from fleetlb_status.replica import Replica
from fleetlb_status.settings import Settings
from fleetlb_status.ui.assembly import open_page

SERVICE = "fleetlb-status"
GATE_SECONDS = 1.0


async def serve(process: Process, settings: Settings) -> None:
    """Connect, however long that takes, then work until the process ends."""
    bus_gate, caches_gate = process.health.gate("bus"), process.health.gate("caches")
    cluster = await Cluster.connect(settings.kubeconfig, field_manager=SERVICE)
    process.stack.push_async_callback(cluster.close)
    bus = await JetStreamBus.connect(
        settings.nats_url,
        tasks=process.tasks,
        creds=settings.nats_creds,
        tls=settings.nats_tls,
        name=f"{SERVICE} {settings.identity}",
        on_greeted=process.health.open_gate("nats-server").mind,
    )
    bus.replicate(settings.nats_replicas)
    process.on_stop(bus.close)
    bus_gate.open()
    replica = Replica(
        cluster,
        bus,
        namespace=settings.system_namespace,
        identity=settings.identity,
        spawn=process.spawn,
        tracing=process.tracing,
        events=settings.events,
    )
    process.spawn(_keep_gates(process, replica), "gates")
    await replica.start()
    if settings.ui_address is not None:
        await open_page(process, settings, cluster, bus, replica)
    caches_gate.open()
    process.log.info("ready", load_balancers=len(replica.memory.load_balancers))


async def _keep_gates(process: Process, replica: Replica) -> NoReturn:
    """A store that went back, and a stream that only an operator can mend, are named where he looks first."""
    store, events = process.health.open_gate("store"), process.health.open_gate("events")
    while True:
        store.mind(replica.continuity.objection)
        events.mind(replica.integrations.streams.objection)
        await asyncio.sleep(GATE_SECONDS)


def main() -> None:
    """The console script."""
    sys.exit(run(SERVICE, Settings, serve))


if __name__ == "__main__":
    main()
