"""`fleetlb tenant` as an operator types it, on a fleet's management cluster."""

import asyncio
import base64
import contextlib
import itertools
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from fleetlb.contracts.tenants import Tenant
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb.kube.resources import SECRETS, Object
from fleetlb.runtime.nats_accounts import parse_creds
from fleetlb.runtime.nats_credentials import Credentials, credentials_of
from tests.e2e.fleet import FLEETLB, Fleet
from tests.stage.leaving import force_away, is_there

DONE, FAILED, USAGE = 0, 1, 2
NETWORK = "198.51.100.0/24"
SECRET = "fleetlb-watcher-creds"
_files = itertools.count(1)


class Outcome:
    """What a command said. Never a traceback."""

    def __init__(self, ended: "subprocess.CompletedProcess[str]") -> None:
        assert "Traceback" not in ended.stderr, ended.stderr
        self.code, self.out, self.err = ended.returncode, ended.stdout, ended.stderr


async def tenant(fleet: Fleet, *arguments: str, kubeconfig: str | None = None) -> Outcome:
    """`fleetlb tenant …`, with the management cluster's kubeconfig or another."""
    where = kubeconfig or fleet.environment.management.kubeconfig
    command = [FLEETLB, "tenant", *arguments, "--kubeconfig", where]
    return Outcome(
        await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100, check=False)
    )


async def done(fleet: Fleet, *arguments: str) -> str:
    """What a command says that must succeed."""
    outcome = await tenant(fleet, *arguments)
    assert (outcome.code, outcome.err) == (DONE, "")
    return outcome.out


@asynccontextmanager
async def let_in(fleet: Fleet, name: str, *options: str) -> AsyncIterator[str]:
    """Within, a tenant that the command made; gives what it said. Forced away at the end, if it is still there."""
    try:
        yield await done(fleet, "create", name, "--node-cidr", NETWORK, *options)
    finally:
        await see_off(fleet, name)


async def see_off(fleet: Fleet, name: str) -> None:
    """Whether it is still there or not; with all that was made for it, unless nobody removes that."""
    if await is_there(fleet, name):
        left = (await tenant(fleet, "remove", name, "--confirm", name)).code != DONE
        with contextlib.suppress(NotFound):
            if left:
                await force_away(fleet, name)


async def found(fleet: Fleet, name: str) -> Tenant:
    """A Tenant as it is."""
    return await fleet.management.get(TENANTS, name)


async def offered(fleet: Fleet, name: str) -> Credentials:
    """What the hub offers to whoever joins."""
    return read_credentials(await fleet.management.get(SECRETS, SECRET, f"tenant-{name}"))


def read_credentials(secret: Object) -> Credentials:
    """What a Secret holds."""
    return credentials_of(*parse_creds(base64.b64decode(secret["data"]["nats.creds"]).decode()))


async def joined(fleet: Fleet, name: str, folder: Path) -> Path:
    """A credentials file with those of the manifest that the command prints."""
    text = await done(fleet, "join", name, "--nats-url", fleet.environment.nats.url, "-o", "-")
    objects = {item["kind"]: item for item in yaml.safe_load_all(text)}
    path = folder / f"{name}-{next(_files)}.creds"
    path.write_bytes(base64.b64decode(objects["Secret"]["data"]["nats.creds"]))
    return path
