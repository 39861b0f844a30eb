"""A cluster that joins with what `fleetlb tenant join` writes: applied to a real API server, with a real watcher."""

import asyncio
import base64
import contextlib
import os
import re
import shlex
import socket
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from fleetlb.kube.resources import Object
from fleetlb_cli.local.programs import script
from tests.e2e.fleet import FLEETLB, Fleet, eventually
from tests.stage.tenant_commands import SECRET, done, let_in, offered, read_credentials, see_off
from tests.upstream.admitting import Kubectl, watchers_kubeconfig

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NAMESPACE, WATCHER = "fleetlb-system", "fleetlb-tenant-watcher"
CLASS = "fleetlb.dev/of-nobody"
PLACE = "kubectl --context YOUR-CLUSTER "


@pytest.fixture
def administrator(fleet: Fleet) -> Kubectl:
    """Of a cluster that has never heard of the tenant."""
    return Kubectl(kubeconfig=Path(fleet.environment.tenants["globex"].kubeconfig))


async def test_a_cluster_joins_with_the_manifest_alone(fleet: Fleet, administrator: Kubectl, tmp_path: Path) -> None:
    """Its watcher becomes ready, is heard, and keeps renewed credentials in its Secret."""
    file, url = tmp_path / "join.yaml", fleet.environment.nats.url
    async with let_in(fleet, "initech"):
        options = ["--nats-url", url, "--load-balancer-class", CLASS, "-o", str(file)]
        told = await done(fleet, "join", "initech", *options)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        apply, rollout = [line for line in told.splitlines() if line.startswith(PLACE)]
        assert rollout == f"{PLACE}-n {NAMESPACE} rollout status deployment/{WATCHER}"
        expires_at = (await offered(fleet, "initech")).expires_at
        assert time.strftime("used to join until %Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at)) in told
        assert "The file is a secret" in told
        try:
            await asyncio.to_thread(administrator.run, *shlex.split(apply.removeprefix(PLACE)))
            before = await asyncio.to_thread(_kept, administrator)
            async with _watcher(administrator, url, tmp_path) as address:
                await eventually(lambda: _is_ready(address), "a watcher that is ready", 60)
                await eventually(lambda: _is_heard(fleet), "a cluster that the hub has heard of")
                await done(fleet, "rotate", "initech", "--notice", "60")

                async def is_renewed() -> bool:
                    kept = await asyncio.to_thread(_kept, administrator)
                    return read_credentials(kept).issued_at > read_credentials(before).issued_at

                await eventually(is_renewed, "renewed credentials in the watcher's Secret")
        finally:
            await asyncio.to_thread(administrator.run, "delete", "-f", str(file), "--ignore-not-found")


async def test_the_rights_are_those_that_a_watcher_needs(fleet: Fleet, administrator: Kubectl, tmp_path: Path) -> None:
    """As a real API server judges them, asked by the watcher's own token."""
    file = tmp_path / "join.yaml"
    await done(fleet, "join", "acme", "--nats-url", "nats://hub:4222", "-o", str(file))
    try:
        await asyncio.to_thread(administrator.run, "apply", "-f", str(file))
        await asyncio.to_thread(_judge_rights, administrator, tmp_path)
    finally:
        await asyncio.to_thread(administrator.run, "delete", "-f", str(file), "--ignore-not-found")


def _judge_rights(administrator: Kubectl, folder: Path) -> None:
    account = Kubectl(kubeconfig=_kubeconfig(administrator, folder))

    def may(*words: str) -> bool:
        command = [account.program, "--kubeconfig", str(account.kubeconfig), "auth", "can-i", *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert answer.stdout.strip() in ("yes", "no"), answer.stderr
        return answer.stdout.strip() == "yes"

    assert may("patch", f"secret/{SECRET}", "-n", NAMESPACE)
    assert may("list", "services", "-A")
    assert not may("get", f"secret/{SECRET}", "-n", NAMESPACE)
    assert not may("patch", "secret/other", "-n", NAMESPACE)
    assert not may("patch", f"secret/{SECRET}", "-n", "default")
    assert not may("create", "secrets", "-n", NAMESPACE)


async def test_the_commands_of_the_documents_can_be_typed(
    fleet: Fleet, administrator: Kubectl, tmp_path: Path, pages: list[str]
) -> None:
    """In the order in which they stand there; a rollout needs a cluster that runs pods."""
    environ = os.environ | {"KUBECONFIG": fleet.environment.management.kubeconfig}
    for page in pages:
        try:
            for line in re.findall(r"^\$ ((?:fleetlb tenant|kubectl --context YOUR-CLUSTER apply) .*)$", page, re.M):
                command = shlex.split(line, comments=True)
                if line.startswith(PLACE):
                    await asyncio.to_thread(_apply_and_delete, administrator, tmp_path / command[-1])
                    continue
                answer = await asyncio.to_thread(
                    subprocess.run, [FLEETLB, *command[1:]], cwd=tmp_path, env=environ, capture_output=True, text=True
                )
                assert answer.returncode == 0, f"{line}: {answer.stderr}"
        finally:
            await see_off(fleet, "initech")


@pytest.fixture
def pages() -> list[str]:
    """The parts of the documents that let a tenant in and see to its credentials."""
    readme, operating = ((ROOT / path).read_text() for path in ("README.md", "docs/operating.md"))
    found = [
        readme.partition("## Let a tenant in")[2].partition("\n## ")[0],
        operating.partition("## Letting a tenant in")[2].partition("\n## Removing an address pool")[0],
    ]
    assert [page.count("$ fleetlb tenant ") for page in found] == [4, 6]
    return found


def _apply_and_delete(administrator: Kubectl, file: Path) -> None:
    for verb in ("apply", "delete"):
        administrator.run(verb, "-f", str(file))


def _kept(administrator: Kubectl) -> Object:
    secret: Object = administrator.read("-n", NAMESPACE, "get", "secret", SECRET)
    return secret


def _kubeconfig(administrator: Kubectl, folder: Path) -> Path:
    """With a token of the watcher's account."""
    token = administrator.run("create", "token", WATCHER, "-n", NAMESPACE).strip()
    path = folder / "watcher.kubeconfig"
    path.write_text(watchers_kubeconfig(administrator.read("config", "view", "--raw", "--minify", "--flatten"), token))
    return path


@asynccontextmanager
async def _watcher(administrator: Kubectl, url: str, folder: Path) -> AsyncIterator[str]:
    """A watcher as its Deployment has it, but outside of the cluster; gives where it answers."""
    deployment = administrator.read("-n", NAMESPACE, "get", "deployment", WATCHER)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    settings = {each["name"]: each["value"] for each in container["env"]}
    assert settings["FLEETLB_NATS_URL"] == url
    creds = folder / "mounted.creds"
    creds.write_bytes(base64.b64decode(_kept(administrator)["data"]["nats.creds"]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings |= {
        "FLEETLB_NATS_CREDS": str(creds),
        "FLEETLB_KUBECONFIG": str(_kubeconfig(administrator, folder)),
        "FLEETLB_HTTP_ADDRESS": address,
    }
    with (folder / "watcher.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            script("fleetlb-tenant-watcher"), env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        yield address
        assert child.returncode is None, (folder / "watcher.log").read_text()[-2000:]
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        async with asyncio.timeout(30):
            await child.wait()


async def _is_ready(address: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _is_heard(fleet: Fleet) -> bool:
    (row,) = [line for line in (await done(fleet, "list")).splitlines() if line.startswith("initech ")]
    return "never" not in row
