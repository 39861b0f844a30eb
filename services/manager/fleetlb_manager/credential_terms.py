"""How long a tenant's credentials are good, and from when on which of them are void. Pure.

A Tenant says which credentials are void by the time they were issued at, as the NATS servers do: they refuse what was
issued up to a time, and cut whoever is connected with it. So nobody needs to know who holds which credentials, and what
a thief had issued to himself goes with what he stole. What was void once stays void: the Tenant's status remembers it.
"""

import math

import msgspec

from fleetlb.contracts.tenants import Tenant
from fleetlb_manager import timestamps

DEFAULT_LIFE_SECONDS = 30 * 86400
FOREVER = 4_102_444_800
"""The year 2100: credentials issued up to then are void, so all are."""


class Validity(msgspec.Struct, frozen=True):
    """When credentials were issued and expire, in whole seconds since 1970; 0: they never expire."""

    issued_at: int
    expires_at: int = 0


class CredentialTerms(msgspec.Struct, frozen=True, kw_only=True):
    """For one tenant; times are whole seconds since 1970."""

    life_seconds: int
    void_before: int = 0
    """What was issued before this time is void for good; 0: nothing."""
    issued_before: int = 0
    """What was issued before this time is void, and is renewed from now on; 0: nothing."""
    void_at: int = 0
    """When it becomes void; 0: at once."""
    suspended: bool = False

    def void_until(self, now: float) -> int | None:
        """What was issued up to this time is void now; None: nothing is."""
        if self.suspended:
            return FOREVER
        before = self.cut(now)
        return before - 1 if before else None

    def cut(self, now: float) -> int:
        """What was issued before this time is void from now on for good; 0: nothing is."""
        return max(self.void_before, self.issued_before if now >= self.void_at else 0)

    def is_due(self, validity: Validity, now: float) -> bool:
        """Whether credentials should be followed by newer ones: they are half through their life, or void soon."""
        return now >= self._due_at(validity) or validity.issued_at < max(self.issued_before, self.void_before)

    def is_open(self, now: float) -> bool:
        """Whether watchers may be issued credentials now.

        What is revoked at once can have itself issued nothing until its connection is surely cut.
        """
        return not self.suspended and now >= self.cut(now)

    def issue(self, now: float) -> Validity:
        """Of credentials that are made now: never void ones, even if everything up to a time to come is."""
        issued_at = max(int(now), self.issued_before, self.void_before)
        return Validity(issued_at, issued_at + self.life_seconds)

    def seconds_left(self, validity: Validity, now: float) -> float:
        """Until something changes by itself: credentials are due, or others become void."""
        turns = (self._due_at(validity), self.void_at)
        return min((turn - now for turn in turns if turn > now), default=self.life_seconds / 2)

    def _due_at(self, validity: Validity) -> float:
        """Half through the life that they have, or would have if they were made now."""
        life = self.life_seconds
        if validity.expires_at:
            life = min(life, validity.expires_at - validity.issued_at)
        return validity.issued_at + life / 2


def terms_of(tenant: Tenant, life_seconds: int) -> CredentialTerms:
    """What a Tenant says. Raises ValueError naming the field."""
    revoked, void_before = tenant.spec.credentials.revoked, tenant.status.void_before
    return CredentialTerms(
        life_seconds=life_seconds,
        void_before=_seconds("status.voidBefore", void_before),
        issued_before=_seconds("spec.credentials.revoked.issuedBefore", revoked.issued_before) if revoked else 0,
        void_at=_seconds("spec.credentials.revoked.at", revoked.at) if revoked else 0,
        suspended=tenant.spec.suspended,
    )


def _seconds(field: str, text: str) -> int:
    """A time in whole seconds, rounded up; 0 for none."""
    found = timestamps.to_seconds(text) if text else 0
    if found is None or not 0 <= found < FOREVER:
        raise ValueError(f"{field}: {text[:40]!r} is no time such as 2026-01-31T12:00:00Z")
    return math.ceil(found)
