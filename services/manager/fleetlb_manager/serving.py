"""From a wish to an address, an object and virtual servers: the worker of one Service.

    wish → judged → addresses chosen → claims → LoadBalancer → plan → `desired`

Two writes for a new Service, none for a change of endpoints or nodes. Level-triggered: every run looks at what is there
and does what is missing, so it can be interrupted after any write.
"""

import structlog
from prometheus_client import Counter

from fleetlb.contracts.objects import (
    ClaimPhase,
    LoadBalancer,
)
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService
from fleetlb_manager import timestamps
from fleetlb_manager.answering import Answering, LoadBalancerStore
from fleetlb_manager.balancer_groups import Delivery
from fleetlb_manager.choices import Denial
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.deciding import (
    Course,
    decide_course,
    decide_delivery,
    granted_spec,
    may_stand,
    refused_spec,
    still_standing,
)
from fleetlb_manager.granting import Granting, as_wished
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.moves import place_of
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.planning import Planner
from fleetlb_manager.releasing import Releasing
from fleetlb_manager.runs import Run
from fleetlb_manager.standing import Standing
from fleetlb_manager.waiting_lines import for_anybody
from fleetlb_manager.workbench import Workbench

REFUSALS = Counter("fleetlb_refusals_total", "Wishes refused, by reason.", ["reason"])
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
        self._authority = bench.authority
        self._clock = bench.clock
        self._tracing = bench.tracing
        self._answering = Answering(bench, load_balancers)
        self._granting = Granting(bench, chooser)
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
            service = as_wished(self._memory.registrations[key.tenant], observed.service)
            run = Run(self._tracing.follow(observed.journey.trace), timestamps.to_microseconds(self._clock.wall()))
            item = await self._answer(key, observed, service, run)
            self._memory.adoption.done(key)
            self._go_on(key, item, observed, run)
            self._folding.look_at_move(item.spec.addresses)

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
            outcome = self._granting.decide(key, service, observed.shown)
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
                self._granting.settle(key)
        raise Transient(f"{key}: {MAX_RACES} addresses in a row were taken meanwhile")

    async def _refuse(
        self, key: ServiceKey, wish: str, service: TenantService, denial: Denial, trace: str
    ) -> LoadBalancer:
        known = self._memory.load_balancers.get(key)
        refusal, waits_for = denial.refusal, for_anybody(denial.waits_for)
        if denial.is_passing and known is not None and known.spec.wish == wish:
            # Two who decline one unit in turn, each for its own reason, would write for ever.
            around = self._memory.claims.around(key, service.sharing_key, service.addresses)
            if may_stand(key, service, known.spec.refusal, around.values()):
                refusal, waits_for = known.spec.refusal or refusal, known.spec.waits_for
        if known is None or known.spec.refusal != refusal:
            REFUSALS.labels(refusal.reason).inc()
        place = place_of(self._memory, key)
        delivery = self._delivery(key, place)
        standing = still_standing(known, self._memory.claims.of(key), place)
        spec = refused_spec(key, wish, service, refusal, standing, delivery, waits_for)
        item = await self._answering.write(key, spec, trace)
        if self._memory.registrations[key.tenant].grant is not None:
            await self._give_up_surplus(key, item)
        return item

    def _delivery(self, key: ServiceKey, group: str) -> Delivery:
        return decide_delivery(self._memory.carriers.get(group), self._memory.load_balancers.get(key))

    async def _give_up_surplus(self, key: ServiceKey, item: LoadBalancer) -> None:
        """What the object does not name: addresses and ports asked for no more, and those of a grant that was not
        completed."""
        await self._claiming.narrow(key, item)
        for claim in self._memory.claims.of(key):
            if claim.spec.phase is ClaimPhase.BOUND and claim.spec.address not in item.spec.addresses:
                await self._releasing.begin(key, claim.spec.address)
