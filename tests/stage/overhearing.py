"""What is said on the bus while something happens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fleetlb.kube.fleet_objects import TENANTS
from tests.e2e.fleet import Fleet
from tests.stage.hub import counters

Heard = list[tuple[str, bytes]]
"""Subjects and bodies, in order."""
_TRIES = 5


@asynccontextmanager
async def overheard(fleet: Fleet, *subjects: str) -> AsyncIterator[Heard]:
    """All that is sent on these subjects of the hub, within a block."""
    heard: Heard = []
    async with fleet.hub_bus() as bus:
        for subject in subjects:
            await bus.listen(subject, lambda message: heard.append((message.subject, message.data)))
        await bus.request("$JS.API.INFO", b"", 5)  # answered once the server has heard of what was asked before
        yield heard


async def said_meanwhile(fleet: Fleet, tenant: str, act: Callable[[], Awaitable[None]], *subjects: str) -> Heard:
    """What is sent on these subjects because of an act that may be done again.

    The hub may have a watcher repeat everything at any time, when an inventory is late; then the act proves nothing.
    """
    for _ in range(_TRIES):
        before = await _repeated(fleet, tenant)
        async with overheard(fleet, *subjects) as heard:
            await act()
        if await _repeated(fleet, tenant) == before:
            return heard
    raise AssertionError(f"the watcher of {tenant} was made to repeat itself {_TRIES} times in a row")


async def said_by(fleet: Fleet, tenant: str, what: str) -> str:
    """The subject on which a tenant's watcher says something of its cluster: `nodes`, `service.<uid>`."""
    account = (await fleet.management.get(TENANTS, tenant)).status.account
    return f"fleetlb.v1.observed.{account}.{fleet.environment.tenants[tenant].cluster_uid}.{what}"


async def _repeated(fleet: Fleet, tenant: str) -> dict[str, float]:
    return await counters(fleet, f"tenant-watcher/{tenant}", "fleetlb_watcher_republished_total")
