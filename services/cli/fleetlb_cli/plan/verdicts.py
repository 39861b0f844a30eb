"""What would become of each object of a manifest, as values for machines and for showing. Pure."""

from fleetlb.contracts.object_meta import Part
from fleetlb.contracts.plans import PoolPlanAnswered, ServicePlan
from fleetlb.domain.conditions import Refusal
from fleetlb.explaining.cures import CURES

GRANTED, REFUSED, NOT_OURS = "granted", "refused", "not ours"
CHANGED, UNCHANGED, NEW = "changed", "unchanged", "new"


class ServiceVerdict(Part, frozen=True, kw_only=True):
    """Of one Service."""

    service: str
    """TENANT/NAMESPACE/NAME."""
    verdict: str
    """`granted`, `refused` or `not ours`."""
    reason: str = ""
    message: str = ""
    cure: str = ""
    plan: ServicePlan = ServicePlan()
    """What the manager said; of what the watcher would refuse, nothing."""


class PoolVerdict(Part, frozen=True, kw_only=True):
    """Of one AddressPool."""

    pool: str
    verdict: str
    """`new`, `changed`, `unchanged` or `refused`."""
    message: str = ""
    plan: PoolPlanAnswered = PoolPlanAnswered()


class Verdicts(Part, frozen=True, kw_only=True):
    """Of everything in a manifest."""

    services: tuple[ServiceVerdict, ...] = ()
    pools: tuple[PoolVerdict, ...] = ()
    others: tuple[str, ...] = ()
    """Objects of other kinds, which nothing is said of."""
    notes: tuple[str, ...] = ()

    @property
    def are_granted(self) -> bool:
        """Whether nothing of it would be refused or left alone."""
        said = [*(each.verdict for each in self.services), *(each.verdict for each in self.pools)]
        return REFUSED not in said and NOT_OURS not in said


def not_ours(title: str, why: str, cure: str) -> ServiceVerdict:
    """A Service that the watcher would leave alone."""
    return ServiceVerdict(service=title, verdict=NOT_OURS, message=why, cure=cure)


def refused(title: str, refusal: Refusal, plan: ServicePlan | None = None) -> ServiceVerdict:
    """A Service that the watcher or the manager would refuse."""
    cure = CURES.get(refusal.reason, "")
    return ServiceVerdict(
        service=title,
        verdict=REFUSED,
        reason=refusal.reason,
        message=refusal.message,
        cure=cure,
        plan=plan or ServicePlan(),
    )


def verdict_on_service(title: str, plan: ServicePlan) -> ServiceVerdict:
    """What the manager said of a Service."""
    if plan.refusal is not None:
        return refused(title, plan.refusal, plan)
    return ServiceVerdict(service=title, verdict=GRANTED, plan=plan)


def verdict_on_pool(name: str, plan: PoolPlanAnswered) -> PoolVerdict:
    """What the manager said of an AddressPool."""
    if plan.problem:
        return PoolVerdict(pool=name, verdict=REFUSED, message=plan.problem, plan=plan)
    differs = plan.gained or plan.lost or plan.changes
    return PoolVerdict(pool=name, verdict=NEW if plan.is_new else CHANGED if differs else UNCHANGED, plan=plan)
