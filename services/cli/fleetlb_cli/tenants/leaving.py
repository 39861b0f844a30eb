"""Removes a tenant, in the two steps that the manager asks for. Returns what to tell, or raises Failed or ApiError."""

import contextlib

from fleetlb.contracts.tenants import CONFIRM_REMOVAL, Tenant
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.judging import Outlook, Removal, outlook
from fleetlb_cli.tenants.waiting import until


async def remove(cluster: Cluster, name: str, *, confirmed: bool, wait: bool, seconds: float) -> str:
    """`wait`: until it is gone, instead of until a manager has begun."""
    tenant = await cluster.get(TENANTS, name)
    with contextlib.suppress(NotFound):
        await cluster.delete(TENANTS, name, uid=tenant.metadata.uid)
        if confirmed:
            await _confirm(cluster, tenant)
    last = Outlook(Removal.UNSAID, "")
    enough = {Removal.GONE, Removal.UNCONFIRMED} | (set() if wait else {Removal.GOING_ON})

    async def look() -> Outlook | None:
        nonlocal last
        last = outlook(await _find(cluster, name), tenant.metadata.uid, confirmed=confirmed)
        return last if last.removal in enough else None

    await until(look, seconds)
    return told(name, last, wait, seconds)


def told(name: str, last: Outlook, wait: bool, seconds: float) -> str:
    """What to tell of it. Raises Failed unless it went as asked."""
    match last.removal:
        case Removal.GONE:
            return f"tenant {name} is removed; uninstall its watchers, where they still run"
        case Removal.GOING_ON if not wait:
            return f"tenant {name} is being removed: {last.message}"
        case Removal.UNCONFIRMED:
            raise Failed(
                f"tenant {name} is deleted, but nothing is cut: {last.message};"
                f" or: fleetlb tenant remove {name} --confirm {name}"
            )
    raise Failed(
        f"tenant {name} is deleted, but not gone after {seconds:g} s: {last.message}; its removal goes on by itself,"
        f" see `fleetlb tenant show {name}`"
    )


async def _confirm(cluster: Cluster, tenant: Tenant) -> None:
    """After the deletion: one that is confirmed beforehand would have no guard any more."""
    name = tenant.metadata.name
    body = patching.annotate(tenant.metadata.uid, {CONFIRM_REMOVAL: name})
    await cluster.patch(TENANTS, name, body, kind=PatchKind.MERGE)


async def _find(cluster: Cluster, name: str) -> Tenant | None:
    with contextlib.suppress(NotFound):
        return await cluster.get(TENANTS, name)
    return None
