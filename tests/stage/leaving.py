"""Tenants that are made for a test and taken away: each has one watcher, played by hand with the credentials that the
hub made for it.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.streams import observed_stream
from fleetlb.contracts.tenants import (
    CONFIRM_REMOVAL,
    WATCHER_CREDENTIALS_KEY,
    WATCHER_CREDENTIALS_SECRET,
    Tenant,
    TenantSpec,
)
from fleetlb.contracts.v1 import NodesObserved, ServiceObserved
from fleetlb.domain.addresses import Family
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService, digest_of
from fleetlb.kube import patching
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, TENANTS
from fleetlb.kube.resources import NAMESPACES, SECRETS
from fleetlb.runtime.jetstream import JetStreamBus
from tests.e2e.fleet import Fleet, eventually
from tests.stage.pools import NOTICE_SECONDS

CLUSTER = "passing-cluster"
NODE = TenantNode(name="node-1", addresses=("198.51.100.7",))


@asynccontextmanager
async def a_passing_tenant(fleet: Fleet, name: str, creds: Path) -> AsyncIterator[tuple[str, JetStreamBus]]:
    """A tenant with its account and its watcher's bus; `creds`: where to keep the credentials. Forced away at the end,
    if it is still there."""
    spec = TenantSpec(node_cidrs=("198.51.100.0/24",))
    await fleet.management.apply(TENANTS, Tenant(metadata=ObjectMeta(name=name), spec=spec))
    try:
        account = await _account(fleet, name)
        secret = await fleet.management.get(SECRETS, WATCHER_CREDENTIALS_SECRET, f"tenant-{name}")
        creds.write_bytes(base64.b64decode(secret["data"][WATCHER_CREDENTIALS_KEY]))
        async with fleet.bus(str(creds)) as bus:
            yield account, bus
    finally:
        if await is_there(fleet, name):
            await fleet.management.delete(TENANTS, name)
            await force_away(fleet, name)


async def _account(fleet: Fleet, name: str) -> str:
    found = ""

    async def is_named() -> bool:
        nonlocal found
        found = (await fleet.management.get(TENANTS, name)).status.account
        return bool(found)

    await eventually(is_named, f"the account of {name}", NOTICE_SECONDS)
    return found


async def say_service(bus: JetStreamBus, uid: str) -> None:
    """The watcher wants a Service served, on a node where nobody answers."""
    await bus.publish(
        subjects.local_observed_nodes(CLUSTER), codec.encode(NodesObserved(nodes=(NODE,))), message_id=f"{uid} nodes"
    )
    ports = (ServicePort(port=80, node_port=30080),)
    service = TenantService(namespace="shop", name=uid, ports=ports, ip_families=(Family.IPV4,))
    endpoints = ServiceEndpoints(ready=True, nodes=(NODE.name,))
    digest = digest_of((service, endpoints))
    message = ServiceObserved(digest=digest, wish=digest_of(service), service=service, endpoints=endpoints)
    await bus.publish(subjects.local_observed_service(CLUSTER, uid), codec.encode(message), message_id=digest)


async def confirm_removal(fleet: Fleet, name: str, text: str) -> None:
    """Annotate a Tenant as somebody does who means it."""
    found = await fleet.management.get(TENANTS, name)
    body = patching.annotate(found.metadata.uid, {CONFIRM_REMOVAL: text})
    await fleet.management.patch(TENANTS, name, body, kind=PatchKind.MERGE)


async def force_away(fleet: Fleet, name: str) -> None:
    """Take a deleted Tenant's finalizers off by hand."""
    await fleet.management.patch(TENANTS, name, {"metadata": {"finalizers": None}}, kind=PatchKind.MERGE)


async def until_said(fleet: Fleet, name: str, reason: str, words: str) -> None:
    """Wait until a Tenant says something of its removal."""

    async def is_said() -> bool:
        conditions = (await fleet.management.get(TENANTS, name)).status.conditions
        return any(c.type == "Removed" and c.reason == reason and words in c.message for c in conditions)

    await eventually(is_said, f"{name} that says {reason}: {words}", NOTICE_SECONDS)


async def is_there(fleet: Fleet, name: str) -> bool:
    """Whether there is a Tenant of this name."""
    try:
        await fleet.management.get(TENANTS, name)
    except NotFound:
        return False
    return True


async def left_of(fleet: Fleet, name: str, account: str) -> list[str]:
    """What the hub still has of a tenant; addresses that rest are nobody's."""
    claims = [each.spec for each in await fleet.management.list(ADDRESS_CLAIMS)]
    found = [each.address for each in claims if each.owner.tenant == name and each.phase != "Quarantined"]
    namespaces = [each["metadata"]["name"] for each in await fleet.management.list(NAMESPACES)]
    secrets = [each["metadata"]["name"] for each in await fleet.management.list(SECRETS, "fleetlb-system")]
    async with fleet.hub_bus() as bus:
        info = await bus.request(f"$JS.API.STREAM.INFO.{observed_stream(account).name}", b"", 5)
    found += [name] if await is_there(fleet, name) else []
    found += [each for each in namespaces if each == f"tenant-{name}"]
    found += [each for each in secrets if each.endswith(f"-{name}")]
    return found if b'"err_code":10059' in info else [*found, observed_stream(account).name]
