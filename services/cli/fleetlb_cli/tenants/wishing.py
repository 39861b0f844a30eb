"""What the commands write into a Tenant: a new one, a suspension, a rotation of its credentials. Pure."""

import math

import msgspec

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.tenants import Quotas, Revocation, Tenant, TenantSpec
from fleetlb.kube.resources import Object
from fleetlb_cli.tenants.offering import Offer
from fleetlb_cli.tenants.times import spelled

CUT_MARGIN_SECONDS = 2
"""Beyond now, so that nothing that is issued in the same second survives."""


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """What a new tenant is granted, as it was typed."""

    node_cidrs: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    node_port_range: str
    pools: tuple[str, ...]
    groups: tuple[str, ...]
    quotas: Quotas


def new_tenant(name: str, grants: Grants) -> Tenant:
    """Whether it is sound, the API server says."""
    return Tenant(
        metadata=ObjectMeta(name=name),
        spec=TenantSpec(
            node_cidrs=grants.node_cidrs,
            pod_cidrs=grants.pod_cidrs,
            node_port_range=grants.node_port_range,
            pools=grants.pools,
            groups=grants.groups,
            quotas=grants.quotas,
        ),
    )


def revocation(offer: Offer | None, notice: int | None, now: float) -> Revocation:
    """Of all credentials up to now, after so many seconds, or at once.

    What the hub offers now is always among them, even if this machine's clock is behind the manager's.
    """
    issued_before = math.ceil(now) if notice is not None else math.ceil(now + CUT_MARGIN_SECONDS)
    if offer is not None:
        issued_before = max(issued_before, offer.issued_at + 1)
    return Revocation(
        issued_before=spelled(issued_before), at="" if notice is None else spelled(issued_before + notice)
    )


def revoking(revoked: Revocation) -> Object:
    """The part of the spec for a merge; an earlier notice goes."""
    body = {"issuedBefore": revoked.issued_before, "at": revoked.at or None}
    return {"credentials": {"revoked": body}}
