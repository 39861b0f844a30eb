import pytest
from msgspec.structs import replace

from fleetlb.contracts.tenants import CONFIRM_REMOVAL, Tenant
from fleetlb_manager.standing import Standing, decide_standing, leaving_conditions, removal_condition
from tests.unit.fleetlb_manager.manager_world import a_tenant

DELETED = "2026-11-25T13:00:00Z"


def deleted(confirmed: str | None = None) -> Tenant:
    """A Tenant that somebody deleted, and perhaps confirmed."""
    tenant = a_tenant()
    annotations = {} if confirmed is None else {CONFIRM_REMOVAL: confirmed}
    return replace(
        tenant, metadata=replace(tenant.metadata, deletion_timestamp=DELETED, annotations=annotations, generation=3)
    )


@pytest.mark.parametrize(
    ("confirmed", "live", "standing"),
    [
        (None, 1, Standing.UNCONFIRMED),
        (None, 0, Standing.LEAVING),
        ("acme", 1, Standing.LEAVING),
        ("acme", 0, Standing.LEAVING),
        ("globex", 1, Standing.UNCONFIRMED),
        ("", 1, Standing.UNCONFIRMED),
        ("true", 1, Standing.UNCONFIRMED),
    ],
)
def test_a_deleted_tenant_leaves_when_it_is_confirmed_by_its_own_name_or_nothing_of_it_is_live(
    confirmed: str | None, live: int, standing: Standing
) -> None:
    assert decide_standing(deleted(confirmed), live) is standing


@pytest.mark.parametrize("live", [0, 1])
def test_one_that_is_not_deleted_stays_even_if_it_is_confirmed_and_so_does_one_that_is_not_known(live: int) -> None:
    tenant = a_tenant()
    annotated = replace(tenant, metadata=replace(tenant.metadata, annotations={CONFIRM_REMOVAL: "acme"}))
    assert decide_standing(annotated, live) is Standing.STAYS
    assert decide_standing(None, live) is Standing.STAYS
    assert removal_condition(annotated, live) is None


def test_it_is_said_how_many_are_live_and_how_to_confirm() -> None:
    condition = removal_condition(deleted("globex"), 3)
    assert condition is not None
    assert (condition.type, condition.status, condition.reason) == ("Removed", "False", "LoadBalancersLive")
    assert condition.message.startswith("3 load balancers are live")
    assert "kubectl annotate tenant acme --overwrite fleetlb.dev/confirm-removal=acme" in condition.message
    assert "'globex'" in condition.message
    assert condition.observed_generation == 3


def test_it_is_said_what_a_removal_is_at() -> None:
    releasing, cleaning = leaving_conditions(deleted("acme"), 2), leaving_conditions(deleted(), 0)
    assert [(c.type, c.status, c.reason) for c in releasing] == [
        ("Ready", "False", "Removing"),
        ("Removed", "False", "InProgress"),
    ]
    assert "released" in releasing[1].message
    assert "namespace" in cleaning[1].message
