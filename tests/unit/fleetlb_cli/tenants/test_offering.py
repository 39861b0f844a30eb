import pytest
from msgspec.structs import replace

from fleetlb.contracts.tenants import Revocation
from fleetlb.kube.resources import Object
from fleetlb_cli.tenants.offering import Offer, Void, good_until, offer_of, trouble_with, void_of
from tests.unit.fleetlb_cli.tenants.acme import ACCOUNT, DAY, NOW, secret, tenant

OFFER = Offer(account=ACCOUNT, issued_at=NOW - DAY, expires_at=NOW + 29 * DAY)
LATER = "2027-01-15T08:10:00Z"
"""600 s after NOW."""


def test_a_secret_says_whose_its_credentials_are_and_how_long_they_are_good() -> None:
    assert offer_of(secret()) == OFFER
    assert offer_of(secret(expires_at=None)) == replace(OFFER, expires_at=None)


@pytest.mark.parametrize(
    "broken", [None, {}, {"data": None}, {"data": {"nats.creds": "!"}}, {"data": {"nats.creds": "aGVsbG8="}}]
)
def test_what_is_no_credentials_is_no_offer(broken: Object | None) -> None:
    assert offer_of(broken) is None


@pytest.mark.parametrize(
    ("revoked", "void"),
    [
        (None, None),
        (Revocation(issued_before="2027-01-15T08:00:00Z"), Void(NOW, 0)),
        (Revocation(issued_before="2027-01-15T08:00:00.5Z", at=LATER), Void(NOW + 1, NOW + 600)),
        (Revocation(issued_before="yesterday"), None),
        (Revocation(issued_before="2027-01-15T08:00:00Z", at="later"), None),
    ],
)
def test_a_revocation_is_read_as_the_manager_reads_it(revoked: Revocation | None, void: Void | None) -> None:
    assert void_of(revoked) == void


@pytest.mark.parametrize(
    ("revoked", "until"),
    [
        (None, NOW + 29 * DAY),
        (Revocation(issued_before="2027-01-15T08:00:00Z", at=LATER), NOW + 600),
        (Revocation(issued_before="2027-01-15T08:00:00Z"), 0),
        (Revocation(issued_before="2027-01-14T08:00:00Z", at=LATER), NOW + 29 * DAY),
    ],
    ids=["expiry", "notice", "at-once", "issued-after"],
)
def test_credentials_are_good_until_they_expire_or_are_void(revoked: Revocation | None, until: int) -> None:
    assert good_until(tenant(revoked=revoked), OFFER) == until


def test_what_was_void_once_is_void_whatever_the_spec_says_now() -> None:
    cut = tenant(revoked=Revocation(issued_before="2027-01-15T08:00:00Z", at=LATER))
    cut = replace(cut, status=replace(cut.status, void_before="2027-01-14T08:00:01Z"))
    assert good_until(cut, OFFER) == 0
    assert good_until(cut, replace(OFFER, issued_at=OFFER.issued_at + 1)) == NOW + 600


def test_one_can_join_with_good_credentials() -> None:
    assert trouble_with(tenant(), OFFER, NOW) == ""
    assert trouble_with(tenant(revoked=Revocation(issued_before="2027-01-15T08:00:00Z", at=LATER)), OFFER, NOW) == ""
    assert trouble_with(tenant(), replace(OFFER, expires_at=None), NOW) == ""


def test_nobody_can_join_otherwise_and_is_told_what_to_do() -> None:
    assert "`fleetlb tenant resume acme`" in trouble_with(tenant(suspended=True), OFFER, NOW)
    assert "is being removed" in trouble_with(tenant(deleted=True), OFFER, NOW)
    assert "holds no credentials: the manager" in trouble_with(tenant(), None, NOW)
    assert "of another account: the manager" in trouble_with(tenant(), replace(OFFER, account="A"), NOW)
    expired = trouble_with(tenant(), replace(OFFER, expires_at=NOW), NOW)
    assert "in tenant-acme holds credentials that expired at 2027-01-15T08:00:00Z: the manager" in expired
    void = tenant(revoked=Revocation(issued_before="2027-01-15T08:00:00Z"))
    assert "that are revoked: the manager" in trouble_with(void, OFFER, NOW)
    late = tenant(revoked=Revocation(issued_before="2027-01-15T08:00:00Z", at=LATER))
    assert "that are revoked: the manager" in trouble_with(late, OFFER, NOW + 600)
