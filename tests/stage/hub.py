"""What stands in the hub beside its objects: messages, claims by owner, counters of processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from fleetlb.contracts import subjects
from fleetlb.contracts.objects import AddressClaim
from fleetlb.contracts.streams import desired_stream, observed_stream
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, TENANTS
from fleetlb.runtime.reading import last_message
from tests.e2e.fleet import Fleet, eventually

GROUP = "default"
PROGRAMMER = "dataplane-programmer/node-1"


async def claims_of(fleet: Fleet, uid: str) -> list[AddressClaim]:
    """Every claim of a Service, in whatever phase."""
    claims = await fleet.management.list(ADDRESS_CLAIMS)
    return [claim for claim in claims if claim.spec.owner.service_uid == uid]


async def observed_message(fleet: Fleet, tenant: str, uid: str) -> bytes | None:
    """The last message about a Service that the hub holds from its watcher."""
    account, cluster = await _place(fleet, tenant)
    return await _last(fleet, observed_stream(account).name, subjects.observed_service(account, cluster, uid))


async def desired_message(fleet: Fleet, key: VirtualServerKey) -> bytes | None:
    """The last message that asks the balancer nodes for a virtual server, or to let go of it."""
    return await _last(fleet, desired_stream(GROUP).name, subjects.desired(GROUP, key))


async def forget_observed(fleet: Fleet, tenant: str, uid: str) -> None:
    """Lose what the hub holds of a Service's watcher."""
    account, cluster = await _place(fleet, tenant)
    async with fleet.hub_bus() as bus:
        await bus.purge_subject(observed_stream(account).name, subjects.observed_service(account, cluster, uid))


@asynccontextmanager
async def reports_on(fleet: Fleet, tenant: str, uid: str) -> AsyncIterator[list[bytes]]:
    """Reports on a Service as they are sent, within a block."""
    heard: list[bytes] = []
    account, cluster = await _place(fleet, tenant)
    async with fleet.hub_bus() as bus:
        await bus.listen(subjects.reported(account, cluster, uid), lambda message: heard.append(message.data))
        yield heard


async def at_rest(fleet: Fleet, tenant: str, uid: str) -> None:
    """Wait until the verdict on a Service stands in the hub too: it is written a moment after its tenant is told."""

    async def is_written() -> bool:
        item = await fleet.load_balancer(tenant, uid)
        if item is None or item.status.observed_generation != item.metadata.generation:
            return False
        return all(condition.reason != Reason.IN_PROGRESS for condition in item.status.conditions)

    await eventually(is_written, "the verdict in the hub")


async def report(fleet: Fleet, tenant: str, uid: str, body: bytes) -> None:
    """Send a report as the status service would."""
    account, cluster = await _place(fleet, tenant)
    async with fleet.hub_bus() as bus:
        await bus.notify(subjects.reported(account, cluster, uid), body)


async def hear_everything_again(fleet: Fleet, tenant: str) -> None:
    """Have a watcher say everything again, as the manager does when it misses something; returns when it has begun."""
    account, cluster = await _place(fleet, tenant)
    process, name = f"tenant-watcher/{tenant}", "fleetlb_watcher_republished_total"
    before = await counters(fleet, process, name)
    async with fleet.hub_bus() as bus:
        await bus.notify(subjects.resync(account, cluster), b"{}")

    async def has_begun() -> bool:
        return await counters(fleet, process, name) != before

    await eventually(has_begun, "a watcher that says everything again")


async def counters(fleet: Fleet, process: str, *names: str) -> dict[str, float]:
    """Counters of a process since its start, summed over their labels."""
    url = f"{fleet.environment.processes[process].http}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {name: sum(sample.value for sample in samples if sample.name == name) for name in names}


async def _place(fleet: Fleet, tenant: str) -> tuple[str, str]:
    account = (await fleet.management.get(TENANTS, tenant)).status.account
    return account, fleet.environment.tenants[tenant].cluster_uid


async def _last(fleet: Fleet, stream: str, subject: str) -> bytes | None:
    async with fleet.hub_bus() as bus:
        kept = await last_message(bus, stream, subject)
    return kept.data if kept else None
