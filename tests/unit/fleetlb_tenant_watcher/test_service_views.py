"""Who put a finalizer on a Service, as far as that can be told."""

import pytest

from fleetlb.kube.service_wishes import OWN_FINALIZER, STANDARD_FINALIZER, Claim, Selection
from fleetlb_tenant_watcher.service_views import ServiceView

DEFAULT, CLASSY = Selection(), Selection("example.com/lb")


def view(claim: Claim, *finalizers: str) -> ServiceView:
    return ServiceView(uid="u", namespace="n", name="s", claim=claim, finalizers=finalizers)


def test_finalizers_and_marker() -> None:
    assert (DEFAULT.finalizers, DEFAULT.marker) == ((STANDARD_FINALIZER,), STANDARD_FINALIZER)
    assert (CLASSY.finalizers, CLASSY.marker) == ((STANDARD_FINALIZER, OWN_FINALIZER), OWN_FINALIZER)


@pytest.mark.parametrize(
    ("selection", "seen", "marked"),
    [
        (DEFAULT, view(Claim.OURS, STANDARD_FINALIZER), True),
        (DEFAULT, view(Claim.PLAIN, STANDARD_FINALIZER), True),
        (DEFAULT, view(Claim.FOREIGN, STANDARD_FINALIZER), False),
        (DEFAULT, view(Claim.OURS), False),
        (CLASSY, view(Claim.OURS, STANDARD_FINALIZER), False),
        (CLASSY, view(Claim.FOREIGN, OWN_FINALIZER), True),
        (CLASSY, view(Claim.PLAIN, STANDARD_FINALIZER, OWN_FINALIZER), True),
    ],
)
def test_marks(selection: Selection, seen: ServiceView, marked: bool) -> None:
    assert seen.is_marked(selection) is marked
