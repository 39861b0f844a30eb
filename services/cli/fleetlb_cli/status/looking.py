"""Looks at a whole fleet, again and again over the same connections. An adapter; writes nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fleetlb.kube.cluster import Cluster
from fleetlb_cli.reaching import Target, hub
from fleetlb_cli.status.gathering import gather
from fleetlb_cli.status.view import FleetView
from fleetlb_cli.status.viewing import view_of

Look = Callable[[], Awaitable[FleetView]]
"""The fleet as it is now. Raises FleetlbError."""


@asynccontextmanager
async def looking(target: Target, name: str, namespace: str) -> AsyncIterator[Look]:
    """For a block. `name`: of the connections; `namespace`: of the Leases. Raises FleetlbError."""
    cluster = await Cluster.connect(target.kubeconfig, field_manager=name)
    try:
        async with hub(target, name) as link:

            async def look() -> FleetView:
                return view_of(await gather(cluster, link, target.nats_url, namespace))

            yield look
    finally:
        await cluster.close()
