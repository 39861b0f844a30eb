"""Who a Service is: tenant, cluster UID, Service UID. Names are never identity. Knows no message and no object.

A watcher is not trusted: whatever becomes the name of an object or a label is checked here, before it is remembered.
"""

import re
from typing import NamedTuple

from fleetlb.domain.errors import Poison
from fleetlb.domain.virtual_servers import VirtualServerKey

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ClusterKey(NamedTuple):
    """One cluster of one tenant."""

    tenant: str
    cluster: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.cluster}"


class ServiceKey(NamedTuple):
    """One Service of the whole fleet, for its whole life."""

    tenant: str
    cluster: str
    uid: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.cluster}/{self.uid}"

    @property
    def cluster_key(self) -> ClusterKey:
        """The cluster that it lives in."""
        return ClusterKey(self.tenant, self.cluster)


class Slot(NamedTuple):
    """One virtual server of one balancer group: what a subject of `desired` stands for."""

    group: str
    key: VirtualServerKey

    def __str__(self) -> str:
        return f"{self.group}/{self.key}"


class AllowanceKey(NamedTuple):
    """One tenant on one balancer group: what a subject of `allowed` stands for."""

    group: str
    tenant: str

    def __str__(self) -> str:
        return f"{self.group}/{self.tenant}"


def require_label(text: str, what: str) -> str:
    """The text itself, if it can name an object or be a label. Raises Poison otherwise."""
    if not _LABEL.fullmatch(text):
        raise Poison(f"{what} {text[:64]!r} is no DNS label")
    return text


def namespace_of(tenant: str) -> str:
    """A tenant's namespace in the management cluster."""
    return f"tenant-{tenant}"
