"""How people name a Service: [TENANT/]NAMESPACE/NAME."""

from typing import NamedTuple


class Wanted(NamedTuple):
    """The Service that is asked for; an empty tenant: whoever has one of that name."""

    tenant: str
    namespace: str
    name: str


def wanted_of(name: str) -> Wanted:
    """A name as it was written. Raises ValueError."""
    match name.split("/"):
        case [namespace, service] if namespace and service:
            return Wanted("", namespace, service)
        case [tenant, namespace, service] if tenant and namespace and service:
            return Wanted(tenant, namespace, service)
    raise ValueError(f"{name[:80]}: write [TENANT/]NAMESPACE/NAME, such as acme/shop/web")
