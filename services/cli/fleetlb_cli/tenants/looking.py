"""Reads what the commands show of tenants. An adapter; writes nothing."""

import contextlib

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_SECRET, Tenant
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from fleetlb.kube.resources import SECRETS, Object
from fleetlb_cli.tenants.detailing import Details, details_of
from fleetlb_cli.tenants.listing import Row, rows_of
from fleetlb_cli.tenants.offering import Offer, offer_of


async def read_rows(cluster: Cluster) -> tuple[Row, ...]:
    """All tenants. Raises ApiError."""
    return rows_of(await cluster.list(TENANTS), await cluster.list(TENANT_CLUSTERS))


async def read_details(cluster: Cluster, name: str) -> Details:
    """One tenant. Raises ApiError."""
    tenant = await cluster.get(TENANTS, name)
    clusters = await cluster.list(TENANT_CLUSTERS, tenant.namespace)
    balancers = await cluster.list(LOAD_BALANCERS, tenant.namespace)
    return details_of(tenant, clusters, balancers, await read_offer(cluster, tenant))


async def read_secret(cluster: Cluster, tenant: Tenant) -> Object | None:
    """The Secret with the credentials to join with, if there is one. Raises ApiError."""
    with contextlib.suppress(NotFound):
        return await cluster.get(SECRETS, WATCHER_CREDENTIALS_SECRET, tenant.namespace)
    return None


async def read_offer(cluster: Cluster, tenant: Tenant) -> Offer | None:
    """What is to be known of those credentials. Raises ApiError."""
    return offer_of(await read_secret(cluster, tenant))
