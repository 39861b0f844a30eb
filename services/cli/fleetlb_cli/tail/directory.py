"""Whom accounts, clusters and UIDs stand for, as far as it was heard: messages say little of names. No I/O."""

from collections.abc import Iterable

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import Owner


class Directory:
    """Names of tenants and Services. A Service that is gone keeps its name: its last messages are still to come."""

    def __init__(self) -> None:
        self._tenants: dict[str, str] = {}
        self._services: dict[tuple[str, str, str], str] = {}

    def note_tenant(self, tenant: Tenant) -> None:
        """A tenant's account."""
        if tenant.status.account:
            self._tenants[tenant.status.account] = tenant.metadata.name

    def note_balancers(self, balancers: Iterable[LoadBalancer]) -> None:
        """Services that the hub knows already."""
        for item in balancers:
            service = item.spec.service
            self.note_service(
                item.spec.tenant, item.spec.cluster_uid, item.metadata.name, service.namespace, service.name
            )

    def note_service(self, tenant: str, cluster: str, uid: str, namespace: str, name: str) -> None:
        """A Service."""
        self._services[tenant, cluster, uid] = f"{namespace}/{name}"

    def tenant(self, account: str) -> str:
        """Whose account it is; empty: nobody has said."""
        return self._tenants.get(account, "")

    def service(self, tenant: str, cluster: str, uid: str) -> str:
        """NAMESPACE/NAME; empty: nobody has said."""
        return self._services.get((tenant, cluster, uid), "")

    def owned(self, owner: Owner) -> str:
        """NAMESPACE/NAME of whose a virtual server is; empty: nobody has said."""
        return self.service(owner.tenant, owner.cluster_uid, owner.service_uid)
