"""Everything that is to be looked at when terms begin: others may have changed any of it. Marks; decides nothing."""

from collections.abc import Callable

from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory


def mark_everything(memory: Memory, marks: Marks, *, is_of: Callable[[str], bool], is_of_fleet: bool) -> None:
    """Mark what is of certain tenants; `is_of_fleet`: what is no tenant's as well. O(all)."""
    marks.tenancy()
    if is_of_fleet:
        _mark_pools_and_groups(memory, marks)
    for name in filter(is_of, memory.tenants):
        marks.account(name)
        marks.status(StatusKey("tenant", name))
    for cluster in memory.observations.clusters():
        if is_of(cluster.tenant):
            marks.cluster(cluster)
    for key in memory.services():
        if is_of(key.tenant):
            marks.service(key)
    _mark_addresses(memory, marks, lambda tenant: is_of(tenant) if tenant else is_of_fleet)
    for name in filter(is_of, memory.registrations):
        for allowance in memory.allowances_of(name):
            marks.allowance(allowance)


def _mark_pools_and_groups(memory: Memory, marks: Marks) -> None:
    for name in memory.pools:
        marks.pool(name)
        marks.status(StatusKey("pool", name))
    for name in memory.groups:
        marks.status(StatusKey("group", name))


def _mark_addresses(memory: Memory, marks: Marks, is_of: Callable[[str], bool]) -> None:
    """What is served, and what is on its way out; of nobody where the tenant is empty."""
    for slot in memory.slots():
        if is_of(memory.tenant_at(slot)):
            marks.slot(slot)
    for address in dict.fromkeys((*memory.claims.passing(), *memory.claims.of_pools.elsewhere())):
        claim = memory.claims.at(address)
        if claim is not None and is_of(claim.spec.owner.tenant):
            marks.claim(address)
