"""All tenants at a glance. Pure."""

from collections.abc import Iterable

import msgspec

from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.domain.conditions import Status
from fleetlb_cli.tenants.judging import readiness
from fleetlb_cli.tenants.tables import aligned

NEVER = "never"
_HEAD = ("NAME", "READY", "LOAD BALANCERS", "ADDRESSES", "CLUSTERS", "LAST CONTACT")


class Share(msgspec.Struct, frozen=True):
    """How much of a quota is in use; `limit` None: there is none."""

    used: int
    limit: int | None


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One tenant; `reason` is that of its condition Ready, `last_contact` that of any of its clusters, or empty."""

    name: str
    ready: Status
    reason: str
    load_balancers: Share
    addresses: Share
    clusters: int
    last_contact: str


def rows_of(tenants: Iterable[Tenant], clusters: Iterable[TenantCluster]) -> tuple[Row, ...]:
    """By name."""
    contacts: dict[str, list[str]] = {}
    for cluster in clusters:
        contacts.setdefault(cluster.spec.tenant, []).append(cluster.status.last_contact)
    return tuple(_row(tenant, contacts.get(tenant.metadata.name, [])) for tenant in sorted(tenants, key=_name))


def as_table(rows: Iterable[Row]) -> str:
    """For a terminal."""
    cells = [
        (
            row.name,
            row.ready.value if row.ready is Status.TRUE else f"{row.ready.value}: {row.reason}",
            _share(row.load_balancers),
            _share(row.addresses),
            str(row.clusters),
            row.last_contact or NEVER,
        )
        for row in rows
    ]
    return aligned([_HEAD, *cells])


def _row(tenant: Tenant, contacts: list[str]) -> Row:
    ready, used, quotas = readiness(tenant), tenant.status.usage, tenant.spec.quotas
    return Row(
        name=tenant.metadata.name,
        ready=ready.status,
        reason=ready.reason,
        load_balancers=Share(used.load_balancers, quotas.load_balancers),
        addresses=Share(used.addresses, quotas.addresses),
        clusters=len(contacts),
        last_contact=max(contacts, default=""),
    )


def _name(tenant: Tenant) -> str:
    return tenant.metadata.name


def _share(share: Share) -> str:
    return str(share.used) if share.limit is None else f"{share.used}/{share.limit}"
