import pytest
from msgspec.structs import replace

from fleetlb.contracts.tenants import CredentialRules, Revocation, Tenant
from fleetlb_manager.credential_terms import FOREVER, CredentialTerms, Validity, terms_of
from tests.unit.fleetlb_manager.manager_world import a_tenant

LIFE = 1000


def said(revoked: Revocation | None = None, *, suspended: bool = False) -> Tenant:
    tenant = a_tenant()
    spec = replace(tenant.spec, credentials=CredentialRules(revoked=revoked), suspended=suspended)
    return replace(tenant, spec=spec)


def test_a_tenant_that_says_nothing_has_credentials_that_are_renewed_at_half_of_their_life() -> None:
    terms = terms_of(said(), LIFE)
    assert terms == CredentialTerms(life_seconds=LIFE)
    assert terms.void_until(5000) is None
    assert terms.is_open(5000)
    assert [terms.is_due(Validity(5000), now) for now in (5000, 5499.9, 5500, 9999)] == [False, False, True, True]
    assert terms.seconds_left(Validity(5000), 5100) == 400
    assert terms.issue(5000.9) == Validity(5000, 6000)


def test_a_revocation_counts_by_the_time_of_issue_and_is_rounded_up() -> None:
    terms = terms_of(said(Revocation(issued_before="1970-01-01T01:00:00.2Z")), LIFE)
    assert terms.issued_before == 3601
    assert terms.void_until(3500) == 3600, "at once: also what is issued in the seconds to come is void"
    assert terms.is_due(Validity(3600), 3601)
    assert not terms.is_due(Validity(3601), 3601)
    assert not terms.is_open(3600.9)
    assert terms.is_open(3601)
    assert terms.issue(3599) == Validity(3601, 4601)


def test_a_revocation_with_notice_lets_everybody_renew_first() -> None:
    terms = terms_of(said(Revocation(issued_before="1970-01-01T01:00:00Z", at="1970-01-01T01:10:00+00:00")), LIFE)
    assert terms.is_due(Validity(3599), 3599)
    assert terms.is_open(3599)
    assert terms.issue(3599).issued_at == 3600
    assert terms.void_until(4199) is None
    assert terms.void_until(4200) == 3599
    assert terms.seconds_left(Validity(3900), 3900) == 300


def test_a_suspended_tenant_has_no_good_credentials() -> None:
    terms = terms_of(said(suspended=True), LIFE)
    assert terms.void_until(0) == FOREVER
    assert not terms.is_open(10_000)


def test_credentials_of_another_length_count_by_the_shorter_life() -> None:
    terms = CredentialTerms(life_seconds=LIFE)
    assert [terms.is_due(Validity(5000, 5100), now) for now in (5049, 5050)] == [False, True]
    assert [terms.is_due(Validity(5000, 99_999), now) for now in (5499, 5500)] == [False, True]
    assert terms.seconds_left(Validity(5000, 5100), 5010) == 40


def test_there_is_always_a_next_look() -> None:
    terms = CredentialTerms(life_seconds=LIFE, issued_before=10, void_at=20)
    assert terms.seconds_left(Validity(100), 5000) == LIFE / 2


NO_TIMES = ["soon", "2026-01-31", "2026-01-31T12:00:00", "2999-01-01T00:00:00Z", "1900-01-01T00:00:00Z"]


@pytest.mark.parametrize("text", NO_TIMES)
@pytest.mark.parametrize(("field", "attribute"), [("issuedBefore", "issued_before"), ("at", "at")])
def test_what_is_no_time_is_named(field: str, attribute: str, text: str) -> None:
    good = "2026-01-31T12:00:00Z"
    revoked = replace(Revocation(issued_before=good, at=good), **{attribute: text})
    with pytest.raises(ValueError, match=rf"spec\.credentials\.revoked\.{field}: '{text}' is no time such as"):
        terms_of(said(revoked), LIFE)
