"""Which annotations a tenant may use, and what holds where it uses none: a Tenant's `spec.annotations`, and before it
the rules of the whole fleet. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from fleetlb.domain.annotations import PREFIX, Annotation, Asked, parse_annotations
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import TenantService

_FIELDS: Mapping[Annotation, str] = {
    Annotation.ADDRESSES: "addresses",
    Annotation.POOL: "pool",
    Annotation.SHARING_KEY: "sharing_key",
    Annotation.SCHEDULER: "scheduler",
    Annotation.PROXY_PROTOCOL: "proxy_protocol",
    Annotation.DRAIN_SECONDS: "drain_seconds",
    Annotation.HOSTNAME: "hostname",
}
"""Where a wish holds what an annotation asks for; both structs call it the same."""
_NO_DEFAULT = (Annotation.ADDRESSES, Annotation.HOSTNAME, Annotation.SHARING_KEY)
"""What only one Service can have."""


class AnnotationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform team lets a tenant choose. `deny` wins over `allow`, and neither binds the defaults."""

    allow: frozenset[Annotation] | None = None
    """None: all."""
    deny: frozenset[Annotation] = frozenset()
    defaults: Asked = Asked()


def parse_policy(
    allow: Iterable[str] | None,
    deny: Iterable[str],
    default: Mapping[str, str],
    *,
    called: Callable[[str], str] = "spec.annotations.{}".format,
) -> AnnotationPolicy:
    """From names with or without the prefix. Raises ValueError naming the field, as it is `called`, and the cure."""
    defaults: dict[str, str] = {_named(called("default"), name): text for name, text in default.items()}
    for annotation in _NO_DEFAULT:
        if annotation in defaults:
            raise ValueError(f"{called('default')}: {annotation.short} fits one Service only; remove it")
    asked = parse_annotations(defaults)
    if isinstance(asked, Refusal):
        raise ValueError(f"{called('default')}: {asked.message}")
    return AnnotationPolicy(
        allow=None if allow is None else frozenset(_named(called("allow"), name) for name in allow),
        deny=frozenset(_named(called("deny"), name) for name in deny),
        defaults=asked,
    )


def before(tenant: AnnotationPolicy, fleet: AnnotationPolicy) -> AnnotationPolicy:
    """The rules of a tenant before those of the fleet: what it is allowed by name, the fleet does not deny it."""
    changes = {
        field: getattr(tenant.defaults, field) for field in _FIELDS.values() if _is_asked(tenant.defaults, field)
    }
    return AnnotationPolicy(
        allow=fleet.allow if tenant.allow is None else tenant.allow,
        deny=tenant.deny | (fleet.deny - (tenant.allow or frozenset())),
        defaults=msgspec.structs.replace(fleet.defaults, **changes),
    )


def judge_annotations(policy: AnnotationPolicy, service: TenantService) -> Refusal | None:
    """Whether a tenant may ask for what a Service of its asks for by annotations, beside its defaults."""
    for annotation, field in _FIELDS.items():
        is_allowed = annotation not in policy.deny and (policy.allow is None or annotation in policy.allow)
        is_default = getattr(service, field) == getattr(policy.defaults, field)
        if not is_allowed and not is_default and _is_asked(service, field):
            message = f"annotation {annotation}: this tenant may not use it; remove it, or ask the platform team"
            return Refusal(Reason.ANNOTATION_NOT_ALLOWED, message)
    return None


def with_defaults(policy: AnnotationPolicy, service: TenantService) -> TenantService:
    """A wish with the tenant's defaults where it asks for nothing itself."""
    added: dict[str, Any] = {
        field: getattr(policy.defaults, field)
        for field in _FIELDS.values()
        if _is_asked(policy.defaults, field) and not _is_asked(service, field)
    }
    return msgspec.structs.replace(service, **added) if added else service


def _is_asked(wish: TenantService | Asked, field: str) -> bool:
    return bool(getattr(wish, field) != getattr(_NOTHING, field))


def _named(where: str, name: str) -> Annotation:
    try:
        return Annotation(name if name.startswith(PREFIX) else PREFIX + name)
    except ValueError:
        known = ", ".join(annotation.short for annotation in Annotation)
        raise ValueError(f"{where}: {name[:64]!r} is no annotation; use one of {known}") from None


_NOTHING = Asked()
