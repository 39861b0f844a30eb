"""Whether a wish is granted, and which addresses it gets: judged, then chosen, after those who waited longer.

Synchronous on purpose: no two Services are judged on the same free unit. Writes nothing: a grant is a proposal and a
reservation in memory, until its claims are written. Who only wants to know what would be decided asks a copy of the
memory (`rehearsing`).
"""

from collections.abc import Mapping

import msgspec

from fleetlb.contracts.objects import AddressClaim
from fleetlb.domain.annotation_policy import with_defaults
from fleetlb.domain.conditions import WAITING_REASONS
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Grant, Usage
from fleetlb_manager import timestamps
from fleetlb_manager.adopting import ASK_AGAIN_SECONDS
from fleetlb_manager.choices import Choice, Denial, Wish
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.deciding import count_passed_on, count_shared, denial_of, judge, standing_choice
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.moves import place_of
from fleetlb_manager.places import seen_in
from fleetlb_manager.registering import Registration
from fleetlb_manager.usage import plus
from fleetlb_manager.waiting_lines import address_of, quota_resource, sharing_resource
from fleetlb_manager.workbench import Workbench

SHARED_SOON_SECONDS = 0.05
"""How soon a Service asks again whether the address that it is to share is claimed."""


class Granting:
    """Decides about one wish at a time."""

    def __init__(self, bench: Workbench, chooser: Chooser) -> None:
        """`chooser` looks into the book of the bench's memory."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._clock = bench.clock
        self._chooser = chooser

    def decide(self, key: ServiceKey, service: TenantService, shown: tuple[str, ...]) -> Choice | Denial:
        """Without a pause, so that no two Services are judged on the same free unit. Raises Transient."""
        registration, claims = self._memory.registrations[key.tenant], self._memory.claims.of(key)
        around = self._memory.claims.around(key, service.sharing_key, service.addresses)
        place = place_of(self._memory, key)
        claims = tuple(seen_in(claim, place) for claim in claims)
        around = {address: seen_in(claim, place) for address, claim in around.items()}
        standing = standing_choice(self._memory.load_balancers.get(key), service, claims, around)
        if standing is not None:
            self._folding.call_next(self._memory.lines.leave(key))
            return standing
        beside, held = self._memory.usage.without(key), self._memory.usage.held_by(key)
        shared = count_shared(key, service.sharing_key, around.values())
        refusal = judge(service, registration, beside, held, shared)
        if refusal is not None or registration.grant is None:
            return self._deny(key, service, denial_of(refusal, key.tenant))
        refusal = judge(service, registration, self._with_what_is_kept(beside, key), held, shared)
        if refusal is not None:
            return self._deny(key, service, msgspec.structs.replace(denial_of(refusal, key.tenant), is_passing=True))
        outcome = self._choose(key, service, registration.grant, claims, around, shown)
        if isinstance(outcome, Denial):
            return self._deny(key, service, outcome)
        kept = [holding.address for holding in outcome.holdings]
        really = count_shared(key, service.sharing_key, [around[address] for address in kept if address in around])
        passed_on = Usage(addresses=count_passed_on(key, around.values(), kept))
        if really < shared or passed_on.addresses:
            refusal = judge(service, registration, plus(beside, passed_on), plus(held, passed_on, -1), really)
            if refusal is not None:
                return self._deny(key, service, denial_of(refusal, key.tenant))
        wanted = Usage(load_balancers=1, addresses=len(outcome.holdings) - really, ports=len(service.ports))
        self._memory.usage.reserve(key, wanted)
        self._line_up(key, outcome.short.waits_for if outcome.short else ())
        return outcome

    def _choose(
        self,
        key: ServiceKey,
        service: TenantService,
        grant: Grant,
        claims: tuple[AddressClaim, ...],
        around: Mapping[str, AddressClaim],
        shown: tuple[str, ...],
    ) -> Choice | Denial:
        """Addresses, or none: after those who were here before. Raises Transient."""
        known = self._memory.load_balancers.get(key)
        if not claims and self._memory.adoption.goes_before(key, self._clock.monotonic()):
            text = f"{key}: Services that show addresses choose first"
            raise Transient(text, retry_after=ASK_AGAIN_SECONDS)
        if not claims and self._chooser.is_awaited(key, service.sharing_key):
            text = f"{key}: the address of its sharing key is being claimed"
            raise Transient(text, retry_after=SHARED_SOON_SECONDS)
        preferred = (known.spec.addresses if known else ()) or shown
        lost = frozenset(address for address in preferred if self._memory.claims.is_lost_by(key, address))
        return self._chooser.choose(
            Wish(key=key, service=service, grant=grant, claims=claims, around=around, preferred=preferred, lost=lost)
        )

    def _with_what_is_kept(self, usage: Usage, key: ServiceKey) -> Usage:
        """Usage, and what is kept for Services of the tenant that waited longer than this one."""
        kept = self._memory.lines.kept_from(key, quota_resource(key.tenant))
        return plus(usage, Usage(load_balancers=kept, addresses=kept, ports=kept))

    def settle(self, key: ServiceKey) -> None:
        """From now on the claims count; what was reserved and is not claimed, another Service may have."""
        before = self._memory.usage.of(key.tenant)
        self._memory.usage.settle(key)
        if self._memory.usage.of(key.tenant) != before:
            self._marks.status(StatusKey("tenant", key.tenant))
            self._folding.call_next([quota_resource(key.tenant)])

    def _deny(self, key: ServiceKey, service: TenantService, denial: Denial) -> Denial:
        self._chooser.abandon(key, self._memory.claims.of(key))
        waits_for = denial.waits_for
        if service.sharing_key and denial.refusal.reason in WAITING_REASONS:
            waits_for += (sharing_resource(key.tenant, service.sharing_key),)
        self._line_up(key, waits_for)
        if denial.is_passing:  # for an address that is free, and kept for another, somebody must call it later
            self._folding.call_next([name for name in waits_for if address_of(name)])
        return denial

    def _line_up(self, key: ServiceKey, waits_for: tuple[str, ...]) -> None:
        """Wait for these resources, or for nothing any more."""
        lines, known = self._memory.lines, self._memory.load_balancers.get(key)
        if waits_for:
            created = known.metadata.creation_timestamp if known else None
            since = created or timestamps.to_text(self._clock.wall())
            self._folding.call_next(lines.wait(key, waits_for, since))
        else:
            self._folding.call_next(lines.leave(key))


def as_wished(registration: Registration, service: TenantService) -> TenantService:
    """A wish as it is judged: with its tenant's defaults where it asks for nothing itself."""
    return with_defaults(registration.grant.annotations, service) if registration.grant else service
