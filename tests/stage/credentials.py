"""The credentials of a tenant's watchers: what is in their file, and what an operator does to them."""

import base64
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb.kube.resources import SECRETS
from fleetlb.runtime.nats_accounts import parse_creds
from fleetlb.runtime.nats_credentials import Credentials, Keyring, credentials_of
from tests.e2e.fleet import Fleet, eventually


def held(fleet: Fleet, tenant: str) -> Credentials:
    """What a watcher of the fleet connects with, or would after a restart."""
    return Keyring(_file(fleet, tenant)).newest()


async def offered(fleet: Fleet, tenant: str) -> Credentials:
    """What the hub offers to whoever joins."""
    return credentials_of(*parse_creds(await _offered_text(fleet, tenant)))


async def join_again(fleet: Fleet, tenant: str, issued_since: int) -> None:
    """Give a watcher the credentials that the hub offers, once those were issued late enough."""

    async def is_offered() -> bool:
        return (await offered(fleet, tenant)).issued_at >= issued_since

    await eventually(is_offered, "credentials to join with")
    unfinished = _file(fleet, tenant).with_suffix(".new")
    unfinished.write_text(await _offered_text(fleet, tenant))
    unfinished.replace(_file(fleet, tenant))


@asynccontextmanager
async def revoked(fleet: Fleet, tenant: str, notice: float | None = None) -> AsyncIterator[int]:
    """Within, what was issued up to now is void; with a notice in seconds, only after it. Gives the first time of issue
    that stays good."""
    since = math.ceil(time.time()) + (0 if notice else 2)
    rules = {"issuedBefore": _spelled(since)} | ({"at": _spelled(since + notice)} if notice else {})
    await _patch(fleet, tenant, {"credentials": {"revoked": rules}})
    try:
        yield since
    finally:
        await _patch(fleet, tenant, {"credentials": None})


@asynccontextmanager
async def suspended(fleet: Fleet, tenant: str) -> AsyncIterator[None]:
    """Within, a tenant is suspended."""
    await _patch(fleet, tenant, {"suspended": True})
    try:
        yield
    finally:
        await _patch(fleet, tenant, {"suspended": False})


async def _patch(fleet: Fleet, tenant: str, spec: dict[str, Any]) -> None:
    await fleet.management.patch(TENANTS, tenant, {"spec": spec}, kind=PatchKind.MERGE)


async def _offered_text(fleet: Fleet, tenant: str) -> str:
    secret = await fleet.management.get(SECRETS, WATCHER_CREDENTIALS_SECRET, f"tenant-{tenant}")
    return base64.b64decode(secret["data"][WATCHER_CREDENTIALS_KEY]).decode()


def _file(fleet: Fleet, tenant: str) -> Path:
    return Path(fleet.environment.tenants[tenant].creds)


def _spelled(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
