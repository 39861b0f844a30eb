"""A NATS server with known holes between tenants: who keeps tenants apart waits for a better one, and says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from fleetlb.runtime import nats_accounts as minting
from fleetlb.runtime.process import Process
from fleetlb.runtime.settings import load
from fleetlb.runtime.tracing import Tracing
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_kube import ScriptedKube
from fleetlb.testkit.scripted_nats import ScriptedNats
from fleetlb_dataplane_programmer import __main__ as programmer
from fleetlb_dataplane_programmer.settings import Settings as ProgrammerSettings
from fleetlb_manager import __main__ as manager
from fleetlb_manager.settings import ManagerSettings
from fleetlb_status import __main__ as status
from fleetlb_status.settings import Settings as StatusSettings
from fleetlb_tenant_watcher import __main__ as watcher
from fleetlb_tenant_watcher.settings import WatcherSettings

Service = tuple[Callable[[Process, Any], Awaitable[None]], type[msgspec.Struct]]
OF_THE_HUB: dict[str, Service] = {
    "manager": (manager.serve, ManagerSettings),
    "status": (status.serve, StatusSettings),
    "programmer": (programmer.work, ProgrammerSettings),
}
WATCHER: Service = (watcher.watch, WatcherSettings)


def environment(folder: Path, nats: ScriptedNats, kind: type[msgspec.Struct]) -> dict[str, str]:
    """What any of the services may be told; each is given what it knows."""
    account, user = minting.new_seed(minting.KeyKind.ACCOUNT), minting.new_seed(minting.KeyKind.USER)
    creds = folder / "nats.creds"
    jwt = minting.user_jwt("u", minting.public_key(user), account, issued_at=1)
    creds.write_text(minting.creds_file(jwt, user))
    seed = folder / "operator.seed"
    seed.write_text(minting.new_seed(minting.KeyKind.OPERATOR))
    told = {
        "nats_url": nats.url,
        "nats_creds": str(creds),
        "nats_system_creds": str(creds),
        "nats_operator_seed": str(seed),
        "nats_hub_account": minting.public_key(account),
        "kubeconfig": str(ScriptedKube().kubeconfig(folder)),
        "node": "node-1",
        "state_dir": str(folder),
        "ads_socket": str(folder / "ads"),
        "envoy_admin": str(folder / "admin"),
    }
    known = {field.name for field in msgspec.structs.fields(kind)}
    return {f"FLEETLB_{name.upper()}": value for name, value in told.items() if name in known}


class _Over(Exception):
    """Ends the tasks of a service."""


@contextlib.asynccontextmanager
async def living(service: Service, folder: Path, nats: ScriptedNats) -> AsyncIterator[Process]:
    """A service at work, with no Kubernetes to be reached."""
    main, kind = service
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            process = Process("demo", tasks, stack, Tracing())

            async def work() -> None:
                await main(process, load(kind, environment(folder, nats, kind)))

            tasks.create_task(work())
            yield process
            raise _Over
    except* _Over:
        pass


def closed(process: Process) -> dict[str, str]:
    """What /readyz says."""
    return {gate.gate: gate.reason for gate in process.health.closed}


@pytest.mark.parametrize("name", OF_THE_HUB)
async def test_the_hubs_processes_wait_for_a_better_server_and_say_so(name: str, tmp_path: Path) -> None:
    nats = ScriptedNats()
    nats.version = "2.12.11"
    with structlog.testing.capture_logs() as lines:
        async with nats.listening(), living(OF_THE_HUB[name], tmp_path, nats) as process:
            await eventually(lambda: nats.greetings > 1)
            await eventually(lambda: "nats-server" in closed(process))
            assert "is version 2.12.11" in closed(process)["nats-server"]
            assert "upgrade it to 2.14.3 or newer" in closed(process)["nats-server"]
            assert not any(line.startswith(("SUB", "PUB", "HPUB")) for line in nats.received), "it uses the old server"
            nats.version = "2.12.12"
            await eventually(lambda: "nats-server" not in closed(process))
            await eventually(lambda: any(line.startswith("SUB") for line in nats.received))
    told = [line for line in lines if "2.12.11" in str(line)]
    assert [line["log_level"] for line in told] == ["warning"]
    assert not any("exc_info" in line for line in lines)


async def test_a_watcher_says_so_and_works_on(tmp_path: Path) -> None:
    """It cannot mend the hub's server, and keeps nobody apart: without the hub it would serve its tenant no better."""
    nats = ScriptedNats()
    nats.version = "2.12.11"
    with structlog.testing.capture_logs() as lines:
        async with nats.listening(), living(WATCHER, tmp_path, nats) as process:
            await eventually(lambda: any(line.startswith("SUB") for line in nats.received))
            assert "nats-server" not in closed(process)
    (told,) = [line for line in lines if "2.12.11" in str(line)]
    assert told["log_level"] == "warning"
