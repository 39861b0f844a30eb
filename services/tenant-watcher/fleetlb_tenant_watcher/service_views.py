"""What one Service says at one moment, parsed: the only form in which a Service is kept. Knows no client and no hub."""

import enum

import msgspec

from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import Condition, Refusal
from fleetlb.domain.dialects import Dialect
from fleetlb.domain.services import TenantService

STANDARD_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""The name that the ecosystem looks for (KEP-980)."""
OWN_FINALIZER = "fleetlb.dev/load-balancer-cleanup"
"""Needed where a default cloud controller runs too: it strips the standard one from any Service (FIN-2)."""

MAX_SHOWN = 4
_WITHOUT_CLASS = (STANDARD_FINALIZER,)
_WITH_CLASS = (STANDARD_FINALIZER, OWN_FINALIZER)


class Selection(msgspec.Struct, frozen=True):
    """Which Services are ours: those of a class, or those without one."""

    load_balancer_class: str | None = None
    dialects: tuple[Dialect, ...] = ()
    """Other products whose annotations are read too."""
    labels: tuple[str, ...] = ()
    """Labels that the hub is told of, beside those of our own prefix."""

    @property
    def finalizers(self) -> tuple[str, ...]:
        """What a Service must carry before the hub hears of it."""
        return _WITHOUT_CLASS if self.load_balancer_class is None else _WITH_CLASS

    @property
    def marker(self) -> str:
        """The finalizer by which a Service is recognised after its class was wiped (SEL-5)."""
        return self.finalizers[-1]

    def marks(self, view: "ServiceView") -> bool:
        """Whether a Service carries the marker, and nobody else can have put it there.

        The standard finalizer on a load balancer of another class is that class's own business (SEL-2).
        """
        if self.marker not in view.finalizers:
            return False
        return self.marker == OWN_FINALIZER or view.claim is not Claim.FOREIGN


class Claim(enum.Enum):
    """Whose Service it is, by type and class alone."""

    OURS = "ours"
    PLAIN = "plain"
    """Not of type LoadBalancer."""
    FOREIGN = "foreign"
    """A load balancer of somebody else's."""


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

    def shown(self, kind: str) -> Condition | None:
        """The condition of a type, as it stands on the Service."""
        return next((condition for condition in self.conditions if condition.type == kind), None)
