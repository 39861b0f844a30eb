"""Managers as processes of their own, on a real NATS server in operator mode and a real API server."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_SECRET
from fleetlb.kube.resources import SECRETS
from fleetlb.testkit.nats_server import NatsServer
from tests.integration.manager_stage import Stage


class ManagerProcess:
    """One `fleetlb-manager`."""

    def __init__(self, kubeconfig: Path, nats: NatsServer, folder: Path, **more: str) -> None:
        seed = folder / "operator.seed"
        seed.write_text(nats.operator_seed)
        self.environ = {
            "PATH": os.defpath,
            "FLEETLB_KUBECONFIG": str(kubeconfig),
            "FLEETLB_NATS_URL": nats.url,
            "FLEETLB_NATS_CREDS": str(nats.hub_creds),
            "FLEETLB_NATS_SYSTEM_CREDS": str(nats.system_creds),
            "FLEETLB_NATS_OPERATOR_SEED": str(seed),
            "FLEETLB_NATS_HUB_ACCOUNT": nats.hub_account,
            "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0",
            "FLEETLB_IDENTITY": "manager-1",
            **more,
        }
        self.log = folder / f"{self.environ['FLEETLB_IDENTITY']}.log"
        self.command = Path(sys.executable).with_name("fleetlb-manager")
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen([self.command], env=self.environ, stdout=log, stderr=log)

    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.log.read_bytes().splitlines()]

    async def get(self, page: str) -> tuple[int, bytes]:
        address = next(line["http"][0] for line in self.lines() if line["msg"] == "listening")
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/{page}") as answer:
            return answer.status, await answer.read()

    async def is_listening(self) -> bool:
        return any(line["msg"] == "listening" for line in self.lines())

    async def is_ready(self) -> bool:
        return (await self.get("readyz"))[0] == 200

    def rss_kib(self) -> int:
        assert self.child is not None
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def send(self, how: signal.Signals) -> None:
        """Such as SIGSTOP and SIGCONT."""
        assert self.child is not None
        self.child.send_signal(how)

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self.child is not None
        self.child.send_signal(how)
        return self.child.wait(timeout=15)


async def credentials_of(stage: Stage, tenant: str, folder: Path) -> tuple[str, Path]:
    """A tenant's account, and its watcher's credentials as a file."""
    account = (await stage.until_status(tenant)).status.account
    secret = await stage.cluster.get(SECRETS, WATCHER_CREDENTIALS_SECRET, f"tenant-{tenant}")
    path = folder / f"{tenant}.creds"
    path.write_bytes(base64.b64decode(secret["data"]["nats.creds"]))
    return account, path
