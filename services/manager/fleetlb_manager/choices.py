"""What is chosen, and from what: values that go in and out of a choice of addresses. Pure."""

from collections.abc import Mapping

import msgspec

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.conditions import Refusal
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Grant
from fleetlb_manager.identities import ServiceKey


class Holding(msgspec.Struct, frozen=True):
    """One address that a load balancer has or is to claim."""

    address: str
    pool: str
    group: str


class Choice(msgspec.Struct, frozen=True):
    """Addresses of one balancer group, in the order of the Service's families."""

    group: str
    holdings: tuple[Holding, ...]
    short: "Denial | None" = None
    """Why a family that the Service would like to have is missing."""


class Denial(msgspec.Struct, frozen=True):
    """No address, why, and what would change that."""

    refusal: Refusal
    waits_for: tuple[str, ...] = ()
    is_passing: bool = False
    """What is free is kept for others, who may not need it: the answer that stands is as true as this one."""
    is_held: bool = False
    """Others are in the way at an address that it holds: that one stays, and no other is had instead."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when addresses are chosen."""

    key: ServiceKey
    service: TenantService
    grant: Grant
    claims: tuple[AddressClaim, ...] = ()
    """The Service's own claims, in every phase, as it sees them."""
    around: Mapping[str, AddressClaim] = {}
    """By address, the claims themselves that it has part in, asks for, or may find others under its sharing key in."""
    preferred: tuple[str, ...] = ()
    """Addresses that it had: given again if nobody has them, and none who waits longer is called for them."""
    lost: frozenset[str] = frozenset()
    """Those of them that it never gave up: others wait for them in vain."""

    def held(self, family: Family) -> Holding | None:
        """The bound address of a family that the wish may keep: one in its pool, if it asks for a pool."""
        fitting = [
            Holding(claim.spec.address, claim.spec.pool, claim.spec.group)
            for claim in self.claims
            if claim.spec.phase is ClaimPhase.BOUND
            and family_of(claim.spec.address) is family
            and self.service.pool in ("", claim.spec.pool)
        ]
        known = [holding for holding in fitting if holding.address in self.preferred]
        return next(iter(known or fitting), None)
