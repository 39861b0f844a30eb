"""The stage of a Service, from how it looks and what this run knows of it."""

from typing import Any

import pytest

from fleetlb.domain.conditions import PROVISIONED, Condition, Status
from fleetlb.kube.service_wishes import STANDARD_FINALIZER, Claim, Selection
from fleetlb_tenant_watcher.records import Record, Report, Stage, stage_of
from fleetlb_tenant_watcher.service_views import ServiceView

OURS = (Condition(type=PROVISIONED, status=Status.FALSE, reason="Unsupported"),)


def view(claim: Claim = Claim.OURS, **given: Any) -> ServiceView:
    return ServiceView(uid="u", namespace="n", name="s", claim=claim, **given)


def record(stage: Stage = Stage.WANTED, **given: Any) -> Record:
    return Record(view=view(), version=1, stage=stage, since=0.0, **given)


@pytest.mark.parametrize(
    ("seen", "known", "stage"),
    [
        (view(), None, Stage.WANTED),
        (view(), record(Stage.RELEASING), Stage.WANTED),
        (view(Claim.PLAIN), None, None),
        (view(Claim.PLAIN), record(), None),
        (view(Claim.PLAIN), record(is_guarded=True), Stage.RELEASING),
        (view(Claim.PLAIN), record(published="digest"), Stage.RELEASING),
        (view(Claim.PLAIN), record(is_inherited=True), Stage.RELEASING),
        (view(Claim.PLAIN), record(Stage.RELEASING), Stage.RELEASING),
        (view(Claim.PLAIN, conditions=OURS), None, Stage.RELEASING),
        (view(Claim.FOREIGN, conditions=OURS), None, None),
        (view(Claim.FOREIGN, conditions=OURS), record(), Stage.RELEASING),
        (view(Claim.FOREIGN, finalizers=(STANDARD_FINALIZER,)), None, None),
        (view(Claim.FOREIGN, finalizers=(STANDARD_FINALIZER,)), record(is_guarded=True), Stage.RELEASING),
        (view(deleting=True), None, None),
        (view(deleting=True, conditions=OURS), record(), None),
        (view(deleting=True, finalizers=(STANDARD_FINALIZER,)), None, Stage.RELEASING),
    ],
)
def test_stages(seen: ServiceView, known: Record | None, stage: Stage | None) -> None:
    assert stage_of(seen, Selection(), known) is stage


@pytest.mark.parametrize(
    ("reasons", "settled"),
    [
        ((), False),
        (("Complete", "InProgress"), False),
        (("InProgress",), False),
        (("Complete", "NoReadyBackend"), True),
    ],
)
def test_a_report_is_settled_when_nothing_in_it_is_under_way(reasons: tuple[str, ...], settled: bool) -> None:
    conditions = tuple(Condition(type=reason, status=Status.FALSE, reason=reason) for reason in reasons)
    assert Report(wish="", ingress=(), conditions=conditions).is_settled is settled
