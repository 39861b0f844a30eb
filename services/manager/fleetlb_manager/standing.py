"""Whether a Tenant stays, waits for a word before it goes, or goes: the two-step guard of its removal. Pure.

A deleted Tenant whose load balancers are live is served on until somebody confirms with its name; one that has none
needs no confirmation. What is said of it follows from the same decision.
"""

import enum

import msgspec

from fleetlb.contracts.tenants import CONFIRM_REMOVAL, Tenant
from fleetlb.domain.conditions import READY, REMOVED, Condition, Reason, Refusal, Status


class Standing(enum.Enum):
    """Where a Tenant stands."""

    STAYS = "stays"
    UNCONFIRMED = "unconfirmed"
    """Deleted, served as before, and new Services too, until it is confirmed."""
    LEAVING = "leaving"
    """Everything of it is released and removed."""


def decide_standing(tenant: Tenant | None, live: int) -> Standing:
    """`live`: load balancers that hold an address. A Tenant that is not there stays: silence removes nothing."""
    if tenant is None or tenant.metadata.deletion_timestamp is None:
        return Standing.STAYS
    return Standing.UNCONFIRMED if live and not is_confirmed(tenant) else Standing.LEAVING


def is_confirmed(tenant: Tenant) -> bool:
    """Whether somebody wrote the Tenant's own name where the removal is confirmed."""
    return tenant.metadata.annotations.get(CONFIRM_REMOVAL) == tenant.metadata.name


def removal_condition(tenant: Tenant, live: int) -> Condition | None:
    """What a deleted Tenant waits for; None if it is not deleted."""
    standing = decide_standing(tenant, live)
    if standing is Standing.STAYS:
        return None
    if standing is Standing.UNCONFIRMED:
        return _said(tenant, REMOVED, "LoadBalancersLive", f"{live} load balancers are live and {_cure(tenant)}")
    if live:
        return _said(tenant, REMOVED, "InProgress", "its load balancers are being released, node by node")
    text = "its account, its stream, its objects and its namespace are being removed"
    return _said(tenant, REMOVED, "InProgress", text)


def staying_conditions(tenant: Tenant, refusal: Refusal | None, live: int) -> tuple[Condition, ...]:
    """What a Tenant that is not leaving says of itself; `refusal`: why it is not served."""
    ready = _ready(tenant, refusal)
    removal = removal_condition(tenant, live)
    return (ready,) if removal is None else (ready, removal)


def _ready(tenant: Tenant, refusal: Refusal | None) -> Condition:
    if refusal is not None:
        return _said(tenant, READY, refusal.reason, refusal.message)
    if tenant.spec.suspended:
        text = "its watchers are cut from the hub; what is served goes on until spec.suspended is false again"
        return _said(tenant, READY, "Suspended", text)
    ready = _said(tenant, READY, Reason.COMPLETE, "account, namespace and credentials are there")
    return msgspec.structs.replace(ready, status=Status.TRUE)


def leaving_conditions(tenant: Tenant, live: int) -> tuple[Condition, ...]:
    """What a Tenant that is leaving says of itself."""
    ready = _said(tenant, READY, "Removing", "this tenant is being removed; nothing new is served")
    removal = removal_condition(tenant, live)
    return (ready,) if removal is None else (ready, removal)


def _cure(tenant: Tenant) -> str:
    name, said = tenant.metadata.name, tenant.metadata.annotations.get(CONFIRM_REMOVAL)
    wrong = "" if said is None else f"; it says {said[:64]!r}"
    return (
        f"served on. To cut them off and remove the tenant: kubectl annotate tenant {name}"
        f" --overwrite {CONFIRM_REMOVAL}={name}{wrong}"
    )


def _said(tenant: Tenant, kind: str, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status=Status.FALSE,
        reason=reason,
        message=message,
        observed_generation=tenant.metadata.generation,
    )
