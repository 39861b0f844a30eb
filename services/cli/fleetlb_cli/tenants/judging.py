"""What a Tenant says of itself, and whether it says so of what was asked for. Pure."""

import enum

import msgspec

from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.conditions import READY, REMOVED, Condition, Status

LIVE = "LoadBalancersLive"
_SILENT = Condition(type=READY, status=Status.UNKNOWN, reason="NotLookedAt", message="no manager has looked at it yet")


class Removal(enum.Enum):
    """How far the removal of a Tenant is."""

    UNSAID = "unsaid"
    """No manager has said anything of it yet."""
    UNCONFIRMED = "unconfirmed"
    """Nothing is cut; it waits for a word."""
    GOING_ON = "going on"
    GONE = "gone"


class Outlook(msgspec.Struct, frozen=True):
    """The removal of a Tenant, and what was said of it."""

    removal: Removal
    message: str = ""


def said(tenant: Tenant, kind: str, generation: int | None = None) -> Condition | None:
    """A condition about this generation of the spec, or a later one; the Tenant's own generation unless given."""
    wanted = tenant.metadata.generation if generation is None else generation
    return next((c for c in tenant.status.conditions if c.type == kind and c.observed_generation >= wanted), None)


def readiness(tenant: Tenant) -> Condition:
    """Whether a Tenant is ready, as it is now; Unknown while nobody has said so."""
    return said(tenant, READY) or _SILENT


def outlook(tenant: Tenant | None, uid: str, *, confirmed: bool) -> Outlook:
    """How far the removal of the Tenant with this UID is; `confirmed`: what it waits for has been said."""
    if tenant is None or tenant.metadata.uid != uid:
        return Outlook(Removal.GONE)
    told = said(tenant, REMOVED)
    if told is None:
        return Outlook(Removal.UNSAID, _SILENT.message)
    if told.reason == LIVE and not confirmed:
        return Outlook(Removal.UNCONFIRMED, told.message)
    return Outlook(Removal.GOING_ON, f"{told.reason}: {told.message}")
