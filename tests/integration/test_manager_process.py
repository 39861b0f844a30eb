"""The manager as its own process: a real NATS server in operator mode, a real API server, the environment."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fleetlb.contracts.streams import PARKED_STREAM
from fleetlb.domain.services import TenantNode
from fleetlb.kube.resources import LEASES
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.stream_config import stream_config
from fleetlb.testkit.nats_server import NatsServer
from tests.integration.manager_process import ManagerProcess, credentials_of
from tests.integration.manager_stage import Node, Stage, Watcher, a_wish

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

RSS_LIMIT_KIB = 90 * 1024


@pytest.fixture
def manager(process_api: Path, nats: NatsServer, tmp_path: Path) -> Iterator[ManagerProcess]:
    made = ManagerProcess(process_api, nats, tmp_path)
    yield made
    if made.child is not None and made.child.poll() is None:
        made.end()


def test_settings_are_checked_all_at_once() -> None:
    command = Path(sys.executable).with_name("fleetlb-manager")
    environ = {"PATH": os.defpath, "FLEETLB_NATS_HUB_ACCOUNT": "nonsense", "FLEETLB_KUBECONFG": "x"}
    done = subprocess.run([command, "--check"], env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 78
    for variable in ("FLEETLB_NATS_URL", "FLEETLB_NATS_CREDS", "FLEETLB_NATS_HUB_ACCOUNT", "FLEETLB_KUBECONFG"):
        assert variable in done.stderr


async def test_it_waits_for_nats_serves_and_hands_the_lease_back(
    process_stage: Stage, nats: NatsServer, manager: ManagerProcess, tmp_path: Path
) -> None:
    await process_stage.set_up("acme")
    manager.start()
    await process_stage.until(manager.is_listening)
    await asyncio.sleep(1)
    status, page = await manager.get("readyz")
    assert (status, {gate["gate"] for gate in msgspec.json.decode(page)["closed"]}) == (503, {"bus", "caches", "lease"})
    assert (await manager.get("healthz"))[0] == 200
    nats.start()
    await process_stage.until(manager.is_ready)
    warnings = [line for line in manager.lines() if line["level"] in ("warning", "error")]
    assert len(warnings) <= 2, warnings  # one for each of its two connections
    account, creds = await credentials_of(process_stage, "acme", tmp_path)
    async with asyncio.TaskGroup() as tasks:
        hub = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds)
        node = Node(hub)
        playing = tasks.create_task(node.run())
        tenant = await JetStreamBus.connect(nats.url, tasks=tasks, creds=creds, max_payload=256 * 1024)
        watcher = Watcher(tenant, account, "cluster-1")
        await watcher.say_nodes(TenantNode(name="node-a", addresses=("10.1.0.1",)))
        await watcher.say("u1", a_wish())
        await process_stage.until(lambda: node.serving)
        await watcher.say("u1", None)
        await process_stage.until(lambda: not node.serving)
        playing.cancel()
        await tenant.close()
        await hub.close()
    status, page = await manager.get("metrics")
    assert (status, b"fleetlb_reconcile_total" in page) == (200, True)
    assert manager.end(signal.SIGTERM) == 0
    lease = await process_stage.cluster.get(LEASES, "fleetlb-manager", "fleetlb-system")
    assert not lease["spec"].get("holderIdentity")


async def test_accounts_are_pushed_again_to_a_server_that_lost_them(
    process_stage: Stage, nats: NatsServer, manager: ManagerProcess, tmp_path: Path
) -> None:
    await process_stage.set_up("acme")
    nats.start()
    manager.start()
    await process_stage.until(manager.is_listening)
    account, creds = await credentials_of(process_stage, "acme", tmp_path)
    nats.kill()
    for path in (nats.directory / "accounts").glob("*.jwt"):
        path.unlink()
    nats.start()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(90):
        tenant = await JetStreamBus.connect(nats.url, tasks=tasks, creds=creds, max_payload=256 * 1024)
        watcher = Watcher(tenant, account, "cluster-1")

        async def is_heard() -> bool:
            try:
                await watcher.say("u1", a_wish())
            except Exception:
                return False
            return True

        await process_stage.until(is_heard, seconds=60)
        await tenant.close()
    await process_stage.until_addresses({"u1": ("192.0.2.0",)})


async def test_a_stream_that_only_an_operator_can_mend_is_named_until_it_is_mended(
    process_stage: Stage, nats: NatsServer, manager: ManagerProcess
) -> None:
    nats.start()
    async with asyncio.TaskGroup() as tasks:
        hub = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds)
        wrong = stream_config(PARKED_STREAM) | {"storage": "memory"}
        await hub.request(f"$JS.API.STREAM.CREATE.{PARKED_STREAM.name}", msgspec.json.encode(wrong))
        manager.start()
        await process_stage.until(manager.is_listening)

        async def is_named() -> bool:
            _, page = await manager.get("readyz")
            closed = {gate["gate"]: gate["reason"] for gate in msgspec.json.decode(page)["closed"]}
            return 'storage is "memory", not "file"' in closed.get("streams", "")

        await process_stage.until(is_named)
        await hub.delete_stream(PARKED_STREAM.name)
        await process_stage.until(manager.is_ready)
        await hub.close()
    told = [line for line in manager.lines() if "nats stream rm FLEETLB_PARKED" in str(line)]
    assert len(told) == 1, told
    assert b"Traceback" not in manager.log.read_bytes()


async def test_a_thousand_services_fit_into_its_memory(
    process_stage: Stage, nats: NatsServer, manager: ManagerProcess, tmp_path: Path
) -> None:
    nats.start()
    await process_stage.set_up("acme", pool="10.200.0.0/16")
    manager.start()
    await process_stage.until(manager.is_listening)
    account, creds = await credentials_of(process_stage, "acme", tmp_path)
    async with asyncio.TaskGroup() as tasks:
        hub = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds)
        node = Node(hub)
        playing = tasks.create_task(node.run())
        tenant = await JetStreamBus.connect(nats.url, tasks=tasks, creds=creds, max_payload=256 * 1024)
        watcher = Watcher(tenant, account, "cluster-1")
        await watcher.say_nodes(*(TenantNode(name=f"node-{n}", addresses=(f"10.1.0.{n}",)) for n in range(1, 4)))
        began = time.monotonic()
        async with asyncio.TaskGroup() as saying:
            for number in range(1000):
                saying.create_task(watcher.say(f"u{number}", a_wish(f"u{number}")))
        await process_stage.until(lambda: len(node.serving) == 1000, 120)
        print(f"1000 services in {time.monotonic() - began:.1f} s, {manager.rss_kib() / 1024:.0f} MiB")
        playing.cancel()
        await tenant.close()
        await hub.close()
    assert manager.rss_kib() < RSS_LIMIT_KIB
