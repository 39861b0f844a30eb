"""For which Services a pool is. Decides only where new addresses come from: knows nothing of what is held."""

from typing import Annotated

import msgspec

from fleetlb.domain.services import MAX_LABELS, LabelValue, TenantService

_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class PoolSelector(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a Service must be for a pool to be for it; what is empty asks for nothing."""

    tenants: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=64)] = ()
    """It is one of these tenants'."""
    namespaces: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=64)] = ()
    """It is in one of these namespaces of its tenant's cluster."""
    service_labels: Annotated[dict[str, LabelValue], msgspec.Meta(max_length=MAX_LABELS)] = {}
    """It has all of these labels, as far as its watcher tells of labels."""


def admits(selector: PoolSelector, tenant: str) -> bool:
    """Whether a pool is for a tenant at all; another's might as well not be there, as its name may say whose it is."""
    return not selector.tenants or tenant in selector.tenants


def misfit(selector: PoolSelector, service: TenantService) -> str:
    """Which Services of a tenant that is admitted are left out, this one among them; empty: it fits.

    Says nothing of what would fit: that is the operator's to tell.
    """
    if selector.namespaces and service.namespace not in selector.namespaces:
        return f"Services of namespace {service.namespace!r}"
    if not selector.service_labels.items() <= service.labels.items():
        return "Services with the labels of this one"
    return ""
