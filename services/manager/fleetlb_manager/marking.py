"""What must be looked at again. Folding marks, keyed workers work: the one seam between knowing and doing.

Must not know how or when the work is done.
"""

from typing import NamedTuple, Protocol

from fleetlb_manager.identities import AllowanceKey, ClusterKey, ServiceKey, Slot


class StatusKey(NamedTuple):
    """An object whose status is ours: kind `tenant`, `pool` or `group`, and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Marks(Protocol):
    """Notes that something changed about a key; noting twice is noting once."""

    def service(self, key: ServiceKey) -> None:
        """A Service: its wish, its object, its claims or what they depend on."""

    def slot(self, slot: Slot) -> None:
        """A virtual server: it may have to be published or let go."""

    def allowance(self, key: AllowanceKey) -> None:
        """What a tenant may have on a balancer group."""

    def claim(self, address: str) -> None:
        """A claim on its way out."""

    def cluster(self, key: ClusterKey) -> None:
        """A tenant cluster: nodes or inventory."""

    def account(self, tenant: str) -> None:
        """A tenant's account, namespace and credentials."""

    def tenancy(self) -> None:
        """Tenants, judged together."""

    def pool(self, name: str) -> None:
        """An AddressPool: whether it is kept from being removed, or can go."""

    def status(self, key: StatusKey) -> None:
        """A status; written after a while, with all that changed meanwhile."""
