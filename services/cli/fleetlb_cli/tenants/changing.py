"""Makes, suspends, resumes and rotates, and waits until a manager has done it. Each returns what to tell, or raises
Failed or ApiError.
"""

import functools
import time

from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.conditions import READY, Condition, Status
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb.kube.resources import Object
from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.judging import said
from fleetlb_cli.tenants.looking import read_offer
from fleetlb_cli.tenants.offering import Offer
from fleetlb_cli.tenants.times import seconds_of, spelled
from fleetlb_cli.tenants.waiting import until
from fleetlb_cli.tenants.wishing import revocation, revoking


async def create(cluster: Cluster, wanted: Tenant, seconds: float) -> str:
    """Make a Tenant, and wait until it can be joined."""
    name = wanted.metadata.name
    try:
        made = await cluster.create(TENANTS, wanted)
    except AlreadyExists as problem:
        raise Failed(
            f"there is a tenant {name} already, and it is as it was: see `fleetlb tenant show {name}`, change it with"
            f" `kubectl edit tenant {name}`, or choose another name"
        ) from problem
    ready = await _until_said(cluster, made, seconds, "made")
    if ready.status is not Status.TRUE:
        raise Failed(
            f"tenant {name} is made, but not ready: {ready.reason}: {ready.message}; correct it with"
            f" `kubectl edit tenant {name}`"
        )
    return f"tenant {name} is ready; next: fleetlb tenant join {name} --nats-url nats://HUB:4222"


async def suspend(cluster: Cluster, name: str, seconds: float) -> str:
    """Cut a tenant's watchers from the hub. The manager says that it has, whatever else it has to say of the Tenant."""
    await _set_suspended(cluster, name, True, seconds)
    return (
        f"tenant {name} is suspended: its watchers are cut from the hub; what is served goes on, and nothing changes"
        f" until `fleetlb tenant resume {name}`"
    )


async def resume(cluster: Cluster, name: str, seconds: float) -> str:
    """Let them connect again."""
    ready = await _set_suspended(cluster, name, False, seconds)
    if ready.status is not Status.TRUE:
        raise Failed(f"tenant {name} is resumed, but not ready: {ready.reason}: {ready.message}")
    return (
        f"tenant {name} is resumed: its watchers connect again with the credentials that they have; where those have"
        f" expired meanwhile, `fleetlb tenant join {name}`"
    )


async def rotate(cluster: Cluster, name: str, notice: int | None, seconds: float) -> str:
    """Void the credentials that the tenant's watchers have: after a notice in seconds, or at once."""
    tenant = await cluster.get(TENANTS, name)
    offer, now = await read_offer(cluster, tenant), time.time()
    revoked = revocation(offer, notice, now)
    await _patch_spec(cluster, tenant, revoking(revoked))
    issued_before = seconds_of(revoked.issued_before) or 0
    await _until_offered(cluster, tenant, issued_before, seconds)
    if notice is None:
        return (
            f"what was issued to tenant {name} before {revoked.issued_before} is void: its watchers are cut from the"
            f" hub and must join anew, with the manifest of `fleetlb tenant join {name}`; what is served goes on"
        )
    told = f"what was issued to tenant {name} before {revoked.issued_before} is void from {revoked.at} on"
    if tenant.spec.suspended:
        return f"{told}; it is suspended, so its watchers renew nothing, and those that cannot by then must join anew"
    return f"{told}; its watchers renew now and lose nothing"


async def _set_suspended(cluster: Cluster, name: str, suspended: bool, seconds: float) -> Condition:
    tenant = await cluster.get(TENANTS, name)
    changed = await _patch_spec(cluster, tenant, {"suspended": suspended})
    return await _until_said(cluster, changed, seconds, "suspended" if suspended else "resumed")


async def _patch_spec(cluster: Cluster, tenant: Tenant, spec: Object) -> Tenant:
    body = patching.merge(tenant.metadata.uid, spec=spec)
    return await cluster.patch(TENANTS, tenant.metadata.name, body, kind=PatchKind.MERGE)


async def _until_said(cluster: Cluster, changed: Tenant, seconds: float, what: str) -> Condition:
    """The condition Ready of this generation of a Tenant."""
    name, generation = changed.metadata.name, changed.metadata.generation

    async def look() -> Condition | None:
        return said(await cluster.get(TENANTS, name), READY, generation)

    ready = await until(look, seconds)
    if ready is None:
        raise Failed(f"tenant {name} is {what}, but {_no_manager(seconds)}; see `fleetlb tenant show {name}`")
    return ready


async def _until_offered(cluster: Cluster, tenant: Tenant, issued_before: int, seconds: float) -> None:
    """Credentials that stay good. The manager tells the NATS servers what is void before it makes them."""
    look = functools.partial(_newer_offer, cluster, tenant, issued_before)
    if await until(look, seconds) is None:
        raise Failed(
            f"it is written that what was issued to tenant {tenant.metadata.name} before {spelled(issued_before)} is"
            f" void, but {_no_manager(seconds)}"
        )


async def _newer_offer(cluster: Cluster, tenant: Tenant, issued_before: int) -> Offer | None:
    offer = await read_offer(cluster, tenant)
    return offer if offer is not None and offer.issued_at >= issued_before else None


def _no_manager(seconds: float) -> str:
    return f"no manager has acted on it within {seconds:g} s: see that one runs, it does so as soon as it can"
