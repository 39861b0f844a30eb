"""What to do about one Service, from its record alone. Pure: values in, values out, time as a parameter.

The rules, in one place:
  * the finalizer stands before the hub hears of a Service, and goes after the hub has let go (FIN-1, FIN-3);
  * silence changes nothing: a condition is replaced by "in progress" only if none is there, or the wish was edited;
  * a report within the grace period means one write and no intermediate state;
  * nothing is written that is shown already (STA-2).
"""

from collections.abc import Mapping

import msgspec

from fleetlb.contracts.v1 import Ingress, ServiceObserved
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Reason, Refusal, Status, says_the_same
from fleetlb.domain.services import ServiceEndpoints, digest_of
from fleetlb.domain.verdicts import in_progress
from fleetlb.kube.service_wishes import OWN_FINALIZER, Claim, Selection
from fleetlb_tenant_watcher.records import DELETING, UPDATED, Record, Report, Stage
from fleetlb_tenant_watcher.service_views import ServiceView

GRACE_SECONDS = 0.5
"""For so long a new or edited wish waits for its report before the Service says that work is under way."""
RELEASE_GRACE_SECONDS = 10.0
"""For so long a release that the hub was asked for is awaited without a word."""
RELEASE_DIGEST = digest_of((None, None))
_WAITING = (Reason.IN_PROGRESS, Reason.HUB_UNREACHABLE, Reason.RELEASE_PENDING)


class AddFinalizers(msgspec.Struct, frozen=True):
    """Put our finalizers on the Service."""

    names: tuple[str, ...]


class WriteStatus(msgspec.Struct, frozen=True):
    """Write what differs: the ingress (None: leave it) and conditions, in one patch."""

    ingress: tuple[Ingress, ...] | None
    conditions: tuple[Condition, ...]


class ClearStatus(msgspec.Struct, frozen=True):
    """Remove our conditions, and the ingress if it is ours."""

    ingress: bool
    conditions: tuple[str, ...]


class RemoveFinalizers(msgspec.Struct, frozen=True):
    """Let go of the Service."""

    names: tuple[str, ...]


class Announce(msgspec.Struct, frozen=True):
    """Tell the tenant by an Event; nothing depends on its arrival."""

    kind: str
    reason: str
    message: str


Action = AddFinalizers | WriteStatus | ClearStatus | RemoveFinalizers | Announce

_ENSURING = Announce("Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
_BACKEND_TROUBLES: Mapping[str, str] = {
    Reason.NO_ELIGIBLE_NODE: "UnAvailableLoadBalancer",
    Reason.BACKEND_NOT_ALLOWED: "UpdateLoadBalancerFailed",
}
"""Reasons of Events, as cloud controllers have them, for reasons why a load balancer has nothing to serve by."""


class Plan(msgspec.Struct, frozen=True):
    """Actions in their order, the later ones only if the earlier succeeded."""

    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    """Decide again after so many seconds."""
    is_waiting: bool = False
    """Whether the hub owes an answer."""
    is_final: bool = False
    """Whether nothing is left to do once the actions are done."""


def decide(record: Record, selection: Selection, *, now: float, hub_connected: bool) -> Plan:
    """What to do to the Service."""
    if record.is_finished:
        return Plan()
    if record.stage is Stage.RELEASING:
        return _release(record) if record.is_released else _await_release(record, now, hub_connected)
    return _serve(record, selection, now, hub_connected)


def decide_message(record: Record, endpoints: ServiceEndpoints | None) -> ServiceObserved | None:
    """What the hub should hold about the Service; None: this run has nothing to say about it."""
    if record.is_finished:
        return None
    if record.stage is Stage.RELEASING:
        return None if record.is_released else ServiceObserved(digest=RELEASE_DIGEST)
    if record.standing is None or not record.is_guarded:
        return None
    shown = record.view.addresses
    return ServiceObserved(
        digest=_digest(record, endpoints, shown),
        wish=record.wish,
        service=record.standing,
        endpoints=endpoints,
        shown=shown,
    )


def differs_only_in_shown(record: Record, endpoints: ServiceEndpoints | None) -> bool:
    """Whether the hub knows all but the addresses that the Service shows, which mostly are the hub's own answer."""
    return record.stage is Stage.WANTED and record.published == _digest(record, endpoints, record.shown)


def _digest(record: Record, endpoints: ServiceEndpoints | None, shown: tuple[str, ...]) -> str:
    return digest_of((record.standing, endpoints, shown))


def _serve(record: Record, selection: Selection, now: float, hub_connected: bool) -> Plan:
    view, actions = record.view, list[Action]()
    is_refused = isinstance(view.wish, Refusal)
    if not is_refused and view.finalizers != selection.finalizers:
        actions.append(AddFinalizers(selection.finalizers))
        if not record.is_guarded:
            actions.append(_ENSURING)
    current = record.report is not None and record.report.wish == record.wish
    is_waiting = not is_refused and not (current and record.report is not None and record.report.is_settled)
    remaining = record.since + GRACE_SECONDS - now
    is_due = is_refused or current or remaining <= 0
    conditions = _conditions(record, hub_connected) if is_due else ()
    ingress = record.report.ingress if record.report else None
    actions += _write(record, ingress, conditions)
    if record.due == UPDATED and current and _says_provisioned(record.report):
        actions.append(Announce("Normal", UPDATED, "Updated load balancer"))
    wake = remaining if is_waiting and not current and remaining > 0 else None
    return Plan(tuple(actions), wake, is_waiting)


def _conditions(record: Record, hub_connected: bool) -> tuple[Condition, ...]:
    """What the conditions should say; a condition that is not named stays as it is."""
    view, report = record.view, record.report
    if isinstance(view.wish, Refusal):
        return _refused(record, view.wish)
    if report is not None and report.wish == record.wish:
        return report.conditions
    shown = view.shown(PROVISIONED)
    if record.is_edited or len(view.conditions) < 2 or (shown is not None and shown.reason in _WAITING):
        return _waiting(view, hub_connected)
    return ()


def _refused(record: Record, refusal: Refusal) -> tuple[Condition, ...]:
    """A wish refused here. If an earlier one stands in the hub it goes on, and so does what is said of its serving."""
    no = Condition(type=PROVISIONED, status=Status.FALSE, reason=refusal.reason, message=refusal.message)
    if record.report is not None and record.report.ingress:
        return no, *(c for c in record.report.conditions if c.type == SERVING)
    if record.is_engaged and record.view.ingress:
        return (no,)
    return no, msgspec.structs.replace(no, type=SERVING)


def _waiting(view: ServiceView, hub_connected: bool) -> tuple[Condition, ...]:
    if hub_connected:
        return in_progress(PROVISIONED), in_progress(SERVING)
    cut = _unreachable("the hub cannot be reached; the Service is provisioned as soon as it can be again")
    if view.ingress and view.shown(SERVING):
        return (cut,)  # an edit does not reach the balancers, so they go on as before
    return cut, msgspec.structs.replace(cut, type=SERVING)


def _unreachable(message: str) -> Condition:
    return Condition(type=PROVISIONED, status=Status.FALSE, reason=Reason.HUB_UNREACHABLE, message=message)


def _says_provisioned(report: Report | None) -> bool:
    return report is not None and any(c.type == PROVISIONED and c.status is Status.TRUE for c in report.conditions)


def _write(record: Record, ingress: tuple[Ingress, ...] | None, conditions: tuple[Condition, ...]) -> list[Action]:
    """One status patch with what differs from what is shown, and what is worth an Event in it."""
    view = record.view
    changed = tuple(c for c in conditions if not _is_shown(view, c))
    wanted = ingress if ingress is not None and ingress != view.ingress else None
    if wanted is None and not changed:
        return []
    notes = [note for c in changed for note in _announcements(record, c, ingress or ())]
    return [WriteStatus(wanted, changed), *notes]


def _is_shown(view: ServiceView, condition: Condition) -> bool:
    shown = view.shown(condition.type)
    return shown is not None and says_the_same(shown, condition)


def _announcements(record: Record, condition: Condition, ingress: tuple[Ingress, ...]) -> list[Action]:
    """At most one Event per change of reason: compared with the condition shown, so a restart repeats none."""
    shown = record.view.shown(condition.type)
    if condition.type == SERVING:
        reason = _BACKEND_TROUBLES.get(condition.reason)
        if reason is None or (shown and shown.reason == condition.reason):
            return []
        return [Announce("Warning", reason, condition.message)]
    if condition.status is Status.TRUE:
        if (shown and shown.status is Status.TRUE) or record.due == UPDATED:
            return []
        addresses = ", ".join(map(str, ingress))
        return [Announce("Normal", "EnsuredLoadBalancer", f"Ensured load balancer at {addresses}")]
    if condition.reason == Reason.IN_PROGRESS or (shown and _is_known(shown, condition)):
        return []
    return [Announce("Warning", "SyncLoadBalancerFailed", f"{condition.reason}: {condition.message}")]


def _is_known(shown: Condition, condition: Condition) -> bool:
    """Whether the tenant has had this failure; where its wish is at fault, every change of words is another (EVT-5)."""
    if shown.reason != condition.reason:
        return False
    return shown.message == condition.message or condition.reason not in (Reason.UNSUPPORTED, Reason.INVALID)


def _await_release(record: Record, now: float, hub_connected: bool) -> Plan:
    """Wait, with a visible reason if the hub is away (FIN-11) or does not let go (FIN-6)."""
    if record.is_gone:
        return Plan(is_waiting=True)
    farewell = _farewell(record)
    remaining = record.since + (RELEASE_GRACE_SECONDS if hub_connected else GRACE_SECONDS) - now
    if remaining > 0:
        return Plan(farewell, wake_after=remaining, is_waiting=True)
    delay = _delayed(hub_connected, ", ".join(record.view.finalizers))
    if _is_shown(record.view, delay):
        return Plan(farewell, is_waiting=True)
    note = Announce("Warning", "DeleteLoadBalancerFailed", f"{delay.reason}: {delay.message}")
    return Plan((*farewell, WriteStatus(None, (delay,)), note), is_waiting=True)


def _delayed(hub_connected: bool, finalizers: str) -> Condition:
    """Why the address is not released yet, and how to give up waiting."""
    cure = f"to give up waiting, remove the finalizer {finalizers}; the hub then frees the address by itself"
    if not hub_connected:
        return _unreachable(f"the hub cannot be reached, so the address is not released yet; {cure}")
    text = f"a balancer node has not let go of the address yet; it is released as soon as all have; {cure}"
    return Condition(type=PROVISIONED, status=Status.FALSE, reason=Reason.RELEASE_PENDING, message=text)


def _farewell(record: Record) -> tuple[Action, ...]:
    return (Announce("Normal", DELETING, "Deleting load balancer"),) if record.due == DELETING else ()


def _release(record: Record) -> Plan:
    """The hub has let go: leave the Service as if we had never been there."""
    view, actions = record.view, list(_farewell(record))
    if record.is_gone:
        return Plan(is_final=True)
    shows_ingress = bool(view.ingress) and view.claim is Claim.OURS
    vanishes = view.deleting and not view.has_others
    if (view.conditions or shows_ingress) and not vanishes:
        actions.append(ClearStatus(shows_ingress, tuple(c.type for c in view.conditions)))
    names = view.finalizers
    if view.claim is Claim.FOREIGN and OWN_FINALIZER in names:
        names = (OWN_FINALIZER,)  # the standard one may be the new owner's by now
    if names:
        actions.append(RemoveFinalizers(names))
    if record.is_engaged:
        actions.append(Announce("Normal", "DeletedLoadBalancer", "Deleted load balancer"))
    return Plan(tuple(actions), is_final=True)
