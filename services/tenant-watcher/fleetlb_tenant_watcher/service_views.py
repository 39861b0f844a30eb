"""What one Service says at one moment, parsed: the only form in which a Service is kept. Knows no client and no hub."""

import msgspec

from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import Condition, Refusal
from fleetlb.domain.services import TenantService
from fleetlb.kube.service_wishes import OWN_FINALIZER, Claim, Selection

MAX_SHOWN = 4


class ServiceView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Service of interest. Equal views ask for equal deeds, whatever else changed on the object."""

    uid: str
    namespace: str
    name: str
    claim: Claim
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    """Those of our finalizers that it carries."""
    has_others: bool = False
    """Whether it carries finalizers of somebody else's."""
    wish: TenantService | Refusal | None = None
    """None where the Service is not wanted as ours, or no more."""
    ingress: tuple[Ingress | None, ...] = ()
    """What the status shows; None stands for an entry that we would never write."""
    conditions: tuple[Condition, ...] = ()
    """Those of our conditions that the status shows."""

    @property
    def is_wanted(self) -> bool:
        """Whether the tenant wants a load balancer of us."""
        return self.claim is Claim.OURS and not self.deleting

    @property
    def is_load_balancer(self) -> bool:
        """Whether its type is LoadBalancer, ours or not."""
        return self.claim is not Claim.PLAIN

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that the status shows, as many as the hub may be told of."""
        return tuple(entry.ip for entry in self.ingress if entry is not None and entry.ip)[:MAX_SHOWN]

    def is_marked(self, selection: Selection) -> bool:
        """Whether it carries the marker of a selection, and nobody else can have put it there.

        The standard finalizer on a load balancer of another class is that class's own business (SEL-2).
        """
        if selection.marker not in self.finalizers:
            return False
        return selection.marker == OWN_FINALIZER or self.claim is not Claim.FOREIGN

    def shown(self, kind: str) -> Condition | None:
        """The condition of a type, as it stands on the Service."""
        return next((condition for condition in self.conditions if condition.type == kind), None)
