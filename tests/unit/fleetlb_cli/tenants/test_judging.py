import pytest

from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.conditions import READY, REMOVED, Status
from fleetlb_cli.tenants.judging import Outlook, Removal, outlook, readiness, said
from tests.unit.fleetlb_cli.tenants.acme import condition, tenant

LIVE = condition(REMOVED, Status.FALSE, "LoadBalancersLive", message="3 are live", observed_generation=2)
GOING = condition(REMOVED, Status.FALSE, "InProgress", message="released", observed_generation=2)


def test_what_is_said_of_an_earlier_spec_does_not_count() -> None:
    old = tenant("acme", condition(observed_generation=1), generation=2)
    assert said(old, READY) is None
    assert said(old, READY, 1) is not None
    assert (readiness(old).status, readiness(old).reason) == (Status.UNKNOWN, "NotLookedAt")


def test_what_is_said_of_this_spec_counts() -> None:
    assert readiness(tenant("acme", condition(observed_generation=2), generation=2)).status is Status.TRUE


@pytest.mark.parametrize(
    ("found", "confirmed", "expected"),
    [
        (None, False, Outlook(Removal.GONE)),
        (tenant("namesake", LIVE), False, Outlook(Removal.GONE)),
        (tenant("acme", condition(), generation=2), False, Outlook(Removal.UNSAID, "no manager has looked at it yet")),
        (tenant("acme", LIVE, generation=3), False, Outlook(Removal.UNSAID, "no manager has looked at it yet")),
        (tenant("acme", LIVE, generation=2), False, Outlook(Removal.UNCONFIRMED, "3 are live")),
        (tenant("acme", LIVE, generation=2), True, Outlook(Removal.GOING_ON, "LoadBalancersLive: 3 are live")),
        (tenant("acme", GOING, generation=2), False, Outlook(Removal.GOING_ON, "InProgress: released")),
    ],
)
def test_how_far_a_removal_is(found: Tenant | None, confirmed: bool, expected: Outlook) -> None:
    assert outlook(found, "uid-acme", confirmed=confirmed) == expected
