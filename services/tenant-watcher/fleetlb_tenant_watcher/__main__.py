"""The tenant-watcher's process: settings in, adapters made, parts put together."""

import asyncio
import random
import sys
from collections.abc import Callable

from fleetlb.contracts import subjects
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import ApiError
from fleetlb.kube.service_wishes import Selection
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.process import Process, run
from fleetlb_tenant_watcher.renewing import Renewing, Shelf
from fleetlb_tenant_watcher.settings import WatcherSettings
from fleetlb_tenant_watcher.shelves import FileShelf, SecretShelf
from fleetlb_tenant_watcher.watcher import Watcher

SERVICE = "fleetlb-tenant-watcher"
MAX_PAYLOAD = 256 * 1024
"""What a tenant's account may send at once."""
ASKING = Backoff(initial=0.2, cap=5.0)


async def watch(process: Process, settings: WatcherSettings) -> None:
    """Begin: the cluster and the hub are waited for side by side, each as long as it takes."""
    bus_gate, services_gate = process.health.gate("bus"), process.health.gate("services-synced")
    cluster = await Cluster.connect(settings.kubeconfig, field_manager=SERVICE)
    process.stack.push_async_callback(cluster.close)
    keyring = Keyring(settings.nats_creds)
    dialling = process.tasks.create_task(_connect(process, settings, keyring), name="connect to the hub")
    uid = await _identify(process, cluster)
    selection = Selection(settings.load_balancer_class, settings.dialects, settings.service_labels)
    watcher = Watcher(
        cluster,
        uid,
        selection,
        settings.identity,
        tracing=process.tracing,
        with_pods=settings.pod_backends,
        address_types=settings.node_address_types,
    )
    watcher.start(process.spawn)
    process.log.info("watching", cluster=uid, load_balancer_class=settings.load_balancer_class)
    opening = process.tasks.create_task(_open_when_synced(watcher, services_gate.open), name="sync")
    bus = await dialling
    bus_gate.open()
    renewing = Renewing(keyring, bus, _shelf(settings, cluster))
    bus.on_reconnect(renewing.want)
    await bus.listen(subjects.LOCAL_RENEWAL, renewing.hear)
    process.spawn(renewing.run(), "renew credentials")
    await watcher.join_hub(bus, process.spawn)
    await opening
    process.log.info("ready", services=len(watcher.memory))


def _shelf(settings: WatcherSettings, cluster: Cluster) -> Shelf:
    """Where renewed credentials are kept."""
    if settings.nats_creds_secret is None:
        return FileShelf(settings.nats_creds)
    namespace, _, name = settings.nats_creds_secret.partition("/")
    return SecretShelf(cluster, namespace, name)


async def _connect(process: Process, settings: WatcherSettings, keyring: Keyring) -> JetStreamBus:
    bus = await JetStreamBus.connect(
        settings.nats_url,
        tasks=process.tasks,
        creds=keyring,
        tls=settings.nats_tls,
        name=f"{SERVICE} {settings.identity}",
        max_payload=MAX_PAYLOAD,
        takes_any_server=True,
    )
    process.on_stop(bus.close)
    return bus


async def _identify(process: Process, cluster: Cluster) -> str:
    """The cluster's UID, as soon as its API server tells; one log line per kind of trouble."""
    attempt, told = 0, ""
    while True:
        try:
            return await cluster.uid()
        except ApiError as problem:
            kind = type(problem).__name__
            if kind != told:
                process.log.warning("the API server does not answer yet; asking until it does", problem=str(problem))
            told = kind
        await asyncio.sleep(ASKING.delay(attempt, random.random()))  # noqa: S311 - jitter
        attempt += 1


async def _open_when_synced(watcher: Watcher, open_gate: Callable[[], None]) -> None:
    await watcher.synced()
    open_gate()


def main() -> None:
    """The console script."""
    sys.exit(run(SERVICE, WatcherSettings, watch))


if __name__ == "__main__":
    main()
