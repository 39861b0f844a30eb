import pytest
from msgspec.structs import replace

from fleetlb.contracts.tenants import Quotas, Revocation
from fleetlb_cli.tenants.offering import Offer
from fleetlb_cli.tenants.wishing import Grants, new_tenant, revocation, revoking
from tests.unit.fleetlb_cli.tenants.acme import ACCOUNT, DAY, NOW

OFFER = Offer(account=ACCOUNT, issued_at=NOW - DAY, expires_at=NOW + 29 * DAY)


def test_a_new_tenant_is_granted_what_was_typed() -> None:
    grants = Grants(
        node_cidrs=("10.1.0.0/16",),
        pod_cidrs=("10.2.0.0/16",),
        node_port_range="31000-31999",
        pools=("gold",),
        groups=("edge",),
        quotas=Quotas(load_balancers=1, addresses=2, ports=3),
    )
    made = new_tenant("acme", grants)
    assert made.metadata.name == "acme"
    assert {name: getattr(made.spec, name) for name in grants.__struct_fields__} == {
        name: getattr(grants, name) for name in grants.__struct_fields__
    }


@pytest.mark.parametrize(
    ("offer", "notice", "expected"),
    [
        (OFFER, 600, Revocation(issued_before="2027-01-15T08:00:01Z", at="2027-01-15T08:10:01Z")),
        (None, 600, Revocation(issued_before="2027-01-15T08:00:01Z", at="2027-01-15T08:10:01Z")),
        (OFFER, None, Revocation(issued_before="2027-01-15T08:00:03Z")),
        (
            replace(OFFER, issued_at=NOW + 60),
            600,
            Revocation(issued_before="2027-01-15T08:01:01Z", at="2027-01-15T08:11:01Z"),
        ),
        (replace(OFFER, issued_at=NOW + 60), None, Revocation(issued_before="2027-01-15T08:01:01Z")),
    ],
    ids=["notice", "nothing-offered", "at-once", "clock-behind", "clock-behind-at-once"],
)
def test_what_is_revoked_holds_all_that_was_issued(
    offer: Offer | None, notice: int | None, expected: Revocation
) -> None:
    assert revocation(offer, notice, NOW + 0.25) == expected


def test_a_notice_is_taken_out_by_a_revocation_at_once() -> None:
    assert revoking(Revocation(issued_before="a")) == {"credentials": {"revoked": {"issuedBefore": "a", "at": None}}}
    assert revoking(Revocation(issued_before="a", at="b"))["credentials"]["revoked"]["at"] == "b"
