"""From a wish to an address, an object and virtual servers: the worker of one Service.

    wish → judged → addresses chosen → claims → LoadBalancer → plan → `desired`

Two writes for a new Service, none for a change of endpoints or nodes. Level-triggered: every run looks at what is there
and does what is missing, so it can be interrupted after any write.
"""

from collections.abc import Mapping

import msgspec
import structlog
from prometheus_client import Counter

from fleetlb.contracts.objects import (
    AddressClaim,
    ClaimPhase,
    LoadBalancer,
)
from fleetlb.domain.annotation_policy import with_defaults
from fleetlb.domain.conditions import WAITING_REASONS
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Grant, Usage
from fleetlb_manager import timestamps
from fleetlb_manager.adopting import ASK_AGAIN_SECONDS
from fleetlb_manager.answering import Answering, LoadBalancerStore
from fleetlb_manager.balancer_groups import Delivery
from fleetlb_manager.choices import Choice, Denial, Wish
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.deciding import (
    Course,
    count_passed_on,
    count_shared,
    decide_course,
    decide_delivery,
    denial_of,
    granted_spec,
    judge,
    refused_spec,
    standing_choice,
    still_standing,
)
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.planning import Planner
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.runs import Run
from fleetlb_manager.standing import Standing
from fleetlb_manager.usage import plus
from fleetlb_manager.waiting_lines import for_anybody, quota_resource, sharing_resource
from fleetlb_manager.workbench import Workbench

REFUSALS = Counter("fleetlb_refusals_total", "Wishes refused, by reason.", ["reason"])
SHARED_SOON_SECONDS = 0.05
"""How soon a Service asks again whether the address that it is to share is claimed."""
MAX_RACES = 16
"""Addresses tried in one run; after so many lost races the memory is plainly old."""

log = structlog.get_logger(__name__)


class Serving:
    """Moves one Service at a time to where its wish is answered."""

    def __init__(
        self,
        bench: Workbench,
        load_balancers: LoadBalancerStore,
        *,
        chooser: Chooser,
        claiming: Claiming,
        releasing: Releasing,
        planner: Planner,
    ) -> None:
        """Each collaborator does one step."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._authority = bench.authority
        self._clock = bench.clock
        self._tracing = bench.tracing
        self._answering = Answering(bench, load_balancers)
        self._chooser = chooser
        self._claiming = claiming
        self._releasing = releasing
        self._planner = planner

    async def reconcile(self, key: ServiceKey) -> None:
        """Do what is left to do for one Service. Raises Transient."""
        if not self._authority.acting or key.tenant not in self._memory.registrations:
            return
        observed = self._memory.observations.service(key)
        known = self._memory.load_balancers.get(key)
        claims = self._memory.claims.of(key)
        leaving = self._memory.standing_of(key.tenant) is Standing.LEAVING
        course = decide_course(observed, self._memory.is_absent(key), known, claims, leaving=leaving)
        if course is Course.RELEASE:
            self._memory.adoption.done(key)
            await self._releasing.release_service(key)
        elif course is Course.SERVE and observed is not None and observed.service is not None:
            grant = self._memory.registrations[key.tenant].grant
            service = with_defaults(grant.annotations, observed.service) if grant else observed.service
            run = Run(self._tracing.follow(observed.journey.trace), timestamps.to_microseconds(self._clock.wall()))
            item = await self._answer(key, observed, service, run)
            self._memory.adoption.done(key)
            self._go_on(key, item, observed, run)

    def _go_on(self, key: ServiceKey, item: LoadBalancer, observed: ObservedService, run: Run) -> None:
        """From the object to the balancer nodes, under the name of the change that led here."""
        came, now = observed.journey, timestamps.to_microseconds(self._clock.wall())
        self._memory.observations.gone_on(key, came)
        journey = came.then("decide", run.began).then("claim", now).under(run.trace)
        is_news = self._planner.plan(key, item, observed, journey)
        if came.trace or is_news or item.spec.trace == run.trace:
            run.tell(self._tracing, key, came, now)

    async def _answer(
        self, key: ServiceKey, observed: ObservedService, service: TenantService, run: Run
    ) -> LoadBalancer:
        """Grant or refuse the wish, in objects; returns the LoadBalancer as it is now."""
        for _ in range(MAX_RACES):
            outcome = self._decide(key, service, observed.shown)
            run.decided = timestamps.to_microseconds(self._clock.wall())
            if isinstance(outcome, Denial):
                return await self._refuse(key, observed.wish, service, outcome, run.trace)
            try:
                if await self._claiming.claim_all(key, service, outcome):
                    delivery = self._delivery(key, outcome.group)
                    spec = granted_spec(key, observed.wish, service, outcome, delivery)
                    item = await self._answering.write(key, spec, run.trace)
                    await self._give_up_surplus(key, item)
                    return item
            finally:
                self._settle_usage(key)
        raise Transient(f"{key}: {MAX_RACES} addresses in a row were taken meanwhile")

    async def _refuse(
        self, key: ServiceKey, wish: str, service: TenantService, denial: Denial, trace: str
    ) -> LoadBalancer:
        known = self._memory.load_balancers.get(key)
        refusal, waits_for = denial.refusal, for_anybody(denial.waits_for)
        if denial.is_passing and known is not None and known.spec.wish == wish:
            # Two who decline one unit in turn, each for its own reason, would write for ever.
            refusal, waits_for = known.spec.refusal or refusal, known.spec.waits_for
        if known is None or known.spec.refusal != refusal:
            REFUSALS.labels(refusal.reason).inc()
        delivery = self._delivery(key, known.spec.group if known else "")
        standing = still_standing(known, self._memory.claims.of(key))
        spec = refused_spec(key, wish, service, refusal, standing, delivery, waits_for)
        item = await self._answering.write(key, spec, trace)
        if self._memory.registrations[key.tenant].grant is not None:
            await self._give_up_surplus(key, item)
        return item

    def _delivery(self, key: ServiceKey, group: str) -> Delivery:
        return decide_delivery(self._memory.carriers.get(group), self._memory.load_balancers.get(key))

    def _decide(self, key: ServiceKey, service: TenantService, shown: tuple[str, ...]) -> Choice | Denial:
        """Without a pause, so that no two Services are judged on the same free unit. Raises Transient."""
        registration, claims = self._memory.registrations[key.tenant], self._memory.claims.of(key)
        around = self._memory.claims.around(key, service.sharing_key, service.addresses)
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
        outcome = self._choose(key, service, registration.grant, around, shown)
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
        around: Mapping[str, AddressClaim],
        shown: tuple[str, ...],
    ) -> Choice | Denial:
        """Addresses, or none: after those who were here before. Raises Transient."""
        known, claims = self._memory.load_balancers.get(key), self._memory.claims.of(key)
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

    def _settle_usage(self, key: ServiceKey) -> None:
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

    async def _give_up_surplus(self, key: ServiceKey, item: LoadBalancer) -> None:
        """What the object does not name: addresses and ports asked for no more, and those of a grant that was not
        completed."""
        await self._claiming.narrow(key, item)
        for claim in self._memory.claims.of(key):
            if claim.spec.phase is ClaimPhase.BOUND and claim.spec.address not in item.spec.addresses:
                await self._releasing.begin(key, claim.spec.address)
