"""What is known of one Service: how it looks, what the hub was told, what the hub answered. Data only, no decision."""

import enum

import msgspec

from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import Condition, Reason
from fleetlb.domain.services import TenantService
from fleetlb.kube.service_wishes import Selection
from fleetlb_tenant_watcher.service_views import ServiceView

UPDATED = "UpdatedLoadBalancer"
DELETING = "DeletingLoadBalancer"
"""Reasons of Events that are told of a change, not of a state."""


class Stage(enum.Enum):
    """What is to be done about a Service."""

    WANTED = "wanted"
    RELEASING = "releasing"
    """The tenant wants the load balancer no more; our finalizer stays until the hub has let go of it."""


class Report(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the hub last said of a Service."""

    wish: str
    ingress: tuple[Ingress, ...]
    conditions: tuple[Condition, ...]

    @property
    def is_settled(self) -> bool:
        """False while it only says that work is under way."""
        return bool(self.conditions) and all(c.reason != Reason.IN_PROGRESS for c in self.conditions)


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A change that was seen and not told yet."""

    at: int
    """Microseconds since 1970."""
    trace: str
    """Trace context of the change …"""
    sent: str
    """… and of the message that will tell of it, however often it is sent."""


class Record(msgspec.Struct, kw_only=True, gc=False):
    """One Service, from the first sight of it until the hub has let go of it."""

    view: ServiceView
    version: int
    """resourceVersion of the view; older views are dropped."""
    stage: Stage
    since: float
    """When, by the loop's clock, the stage or the wish last changed."""
    standing: TenantService | None = None
    """The last wish that could be passed on; it goes on standing while a newer one is refused here."""
    wish: str = ""
    """Digest of `standing`."""
    is_edited: bool = False
    """Whether the wish changed in this run and no report has answered it yet."""
    due: str = ""
    """Reason of an Event that the tenant is owed, once."""
    is_guarded: bool = False
    """Whether our finalizers have been seen on it: only then may the hub hear of it (FIN-1)."""
    is_inherited: bool = False
    """Whether it carried our finalizer at first sight: an earlier run may have told the hub of it."""
    is_gone: bool = False
    """Whether the object vanished before the hub had let go of it."""
    published: str = ""
    """Digest of what the hub was last sent in this run."""
    shown: tuple[str, ...] = ()
    """Addresses that this said the Service shows."""
    shown_due: float | None = None
    """When the hub is to hear that it shows others, should nothing else be said before; by the loop's clock."""
    is_unsaid: bool = False
    """Whether that has to be sent (again)."""
    is_crowded: bool = False
    """Whether it has more pods than the hub is told of."""
    releases: int = 0
    """How often the hub was asked to let go."""
    asked: float = 0.0
    """When it was last asked, by the loop's clock."""
    is_released: bool = False
    """Whether the hub has nothing of it."""
    is_finished: bool = False
    """Whether everything is done, and only our own last write has not been seen by the watch yet."""
    heard_generation: int = 0
    """Generation of the newest report heard."""
    heard_revision: int = 0
    """Revision of that report."""
    report: Report | None = None
    trace: str = ""
    """Trace context of the change that led to what is to be shown now; empty if none is known."""

    @property
    def is_engaged(self) -> bool:
        """Whether the hub may know of it, as far as this run can tell."""
        return bool(self.published) or self.is_guarded or self.is_inherited

    def note_told(self, reason: str) -> None:
        """The tenant was told by an Event of this reason."""
        if reason == self.due:
            self.due = ""


def stage_of(view: ServiceView, selection: Selection, record: Record | None) -> Stage | None:
    """What is to be done about a Service, given what this run knows of it; None: nothing, it is not ours."""
    if view.is_wanted:
        return Stage.WANTED
    if record is not None and (record.is_engaged or record.stage is Stage.RELEASING):
        return Stage.RELEASING
    if view.is_marked(selection):
        return Stage.RELEASING
    return Stage.RELEASING if is_littered(view, known=record is not None) else None


def is_littered(view: ServiceView, *, known: bool) -> bool:
    """Whether nothing but our conditions are left on a Service that stays and is nobody's or was ours."""
    return bool(view.conditions) and not view.deleting and (known or not view.is_load_balancer)
