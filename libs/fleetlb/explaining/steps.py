"""The steps of a Service's way from its tenant to the packet, each of which can say that it is not done. Pure.

Reasons are those of the conditions; where no condition can tell, because a process is away, they are codes of this
module alone.
"""

import enum
from collections.abc import Callable

import msgspec

from fleetlb.contracts.objects import AddressClaimSpec, ClaimPhase
from fleetlb.contracts.v1 import LoadBalancerRevision, Probe, RealizedState
from fleetlb.domain.conditions import PROVISIONED, READY, SERVING, Condition, Reason, Status
from fleetlb.domain.verdicts import IDLE_TEXTS
from fleetlb.explaining.announcing import unannounced, unreached
from fleetlb.explaining.situation import Situation, spelled

SILENCE_SECONDS = 60.0
"""A watcher says every 15 s that it lives."""


class Stage(enum.StrEnum):
    """The steps of a Service's way, in order."""

    TENANT = "tenant cluster"
    WATCHER = "tenant-watcher"
    MANAGER = "manager"
    NODE = "balancer node"
    BACKENDS = "backends"
    ANNOUNCED = "announced"
    STATUS = "status service"
    SERVING = "serving"


class Finding(msgspec.Struct, frozen=True):
    """One step that is not done."""

    stage: Stage
    reason: str
    message: str
    given: dict[str, str] = {}
    since: str = ""


def _nobody_knows_it(seen: Situation) -> Finding | None:
    if seen.service is not None or seen.balancer is not None:
        return None
    where = "in the tenant's cluster" if seen.is_tenant_seen else "in the hub"
    return Finding(Stage.TENANT, "NotFound", f"there is no Service {seen.namespace}/{seen.name} {where}")


def _not_ours(seen: Situation) -> Finding | None:
    """The tenant's Service is not, or not any more, for this load balancer."""
    service = seen.service
    if service is None or seen.balancer is not None or service.status.conditions:
        return None
    if service.spec.type != "LoadBalancer":
        return Finding(Stage.TENANT, "NotALoadBalancer", f"spec.type is {service.spec.type}")
    if seen.observed is None and service.spec.load_balancer_class:
        text = f"spec.loadBalancerClass is {service.spec.load_balancer_class}, and no watcher of that class took it up"
        return Finding(Stage.TENANT, "OtherClass", text)
    return None


def _tenant_not_ready(seen: Situation) -> Finding | None:
    if seen.tenant is None:
        return Finding(Stage.MANAGER, "TenantUnknown", f"there is no Tenant {seen.tenant_name}")
    if seen.tenant.spec.suspended:
        return Finding(
            Stage.MANAGER, "TenantSuspended", "the tenant is suspended: what serves goes on, nothing changes"
        )
    ready = next((c for c in seen.tenant.status.conditions if c.type == READY), None)
    if ready is None or ready.status is Status.TRUE:
        return None
    return _of(Stage.MANAGER, ready, Reason.TENANT_NOT_READY)


def _refused_by_the_watcher(seen: Situation) -> Finding | None:
    """What no hub needs to be asked about."""
    condition = seen.service.condition(PROVISIONED) if seen.service else None
    if condition is None or condition.reason not in (Reason.INVALID, Reason.UNSUPPORTED, Reason.HUB_UNREACHABLE):
        return None
    if seen.balancer is not None and seen.balancer.spec.refusal is not None:
        return None
    return Finding(Stage.WATCHER, condition.reason, condition.message, since=condition.last_transition_time)


def _watcher_silent(seen: Situation) -> Finding | None:
    heard = seen.watcher_heard
    if heard is not None and seen.now - heard <= SILENCE_SECONDS:
        return None
    since = spelled(heard) if heard is not None else ""
    text = f"the tenant's watcher was last heard {seen.now - heard:.0f} s ago" if heard else "it was never heard"
    return Finding(Stage.WATCHER, "WatcherSilent", text, since=since)


def _not_told(seen: Situation) -> Finding | None:
    if seen.observed is not None or seen.service is None:
        return None
    heard = f", last heard {seen.now - seen.watcher_heard:.0f} s ago," if seen.watcher_heard else ""
    text = f"the tenant's cluster has the Service, and its watcher{heard} has not told the hub of it"
    return Finding(Stage.WATCHER, "NotObserved", text, since=seen.service.metadata.creation_timestamp)


def _nobody_decides(seen: Situation) -> Finding | None:
    """A wish that is not answered."""
    if not seen.manager.is_held:
        return Finding(Stage.MANAGER, "NoManager", f"nobody holds the Lease {seen.manager.name}: nothing is decided")
    if seen.manager.objection:
        return Finding(Stage.MANAGER, "StoreWentBack", seen.manager.objection)
    answered = seen.balancer.spec.wish if seen.balancer else ""
    wished = seen.observed.wish if seen.observed else ""
    if not wished or answered == wished:
        return None
    text = f"{seen.manager.holder} has not answered the wish that the hub holds"
    return Finding(Stage.MANAGER, "NotDecided", text, {"wish": wished, "answered": answered or "none"})


def _being_released(seen: Situation) -> Finding | None:
    leaving = [claim for claim in seen.claims if _is_left(claim.spec, seen.uid)]
    if not leaving:
        return None
    nodes = sorted(
        {node for node, _, said in seen.words() if said is None or said.word.state is not RealizedState.REMOVED}
    )
    addresses = ", ".join(claim.spec.address for claim in leaving)
    text = f"{addresses} is given back as soon as every balancer node has let go of it"
    return Finding(Stage.NODE, Reason.RELEASE_PENDING, text, {"waits for": ", ".join(nodes) or "unknown"})


def _is_left(spec: AddressClaimSpec, uid: str) -> bool:
    """Whether a Service gives up an address, alone or as one of those who share it."""
    here = uid in {spec.owner.service_uid, *(share.owner.service_uid for share in spec.sharers)}
    return spec.phase is ClaimPhase.RELEASING or not here


def _refused(seen: Situation) -> Finding | None:
    refusal = seen.balancer.spec.refusal if seen.balancer else None
    if refusal is None:
        return None
    return Finding(Stage.MANAGER, refusal.reason, refusal.message, since=since_of(seen, PROVISIONED))


def _not_published(seen: Situation) -> Finding | None:
    item = seen.balancer
    for key in seen.virtual_servers():
        wish = seen.desired.get(key)
        if item is None or (wish is not None and wish.server is not None and _is_current(seen, wish.load_balancer)):
            continue
        text = f"{key} has not been published to the balancer nodes as the LoadBalancer has it"
        return Finding(Stage.MANAGER, "NotPublished", text, {"generation": str(item.metadata.generation)})
    return None


def _not_programmed(seen: Situation) -> Finding | None:
    for node, key, said in seen.words():
        if said is None or said.word.state is RealizedState.REMOVED or not _is_current(seen, said.word.load_balancer):
            state = "nothing" if said is None else f"revision {said.word.revision}"
            wish = seen.desired.get(key)
            given = {"node": node, "it said": state, "wished": f"revision {wish.revision}" if wish else "unknown"}
            return Finding(Stage.NODE, "NotAcknowledged", f"{node} has not acknowledged {key}", given)
    return None


def _rejected(seen: Situation) -> Finding | None:
    for node, key, said in seen.words():
        if said is not None and said.word.state is RealizedState.REJECTED:
            given = {"node": node, "virtual server": str(key)}
            return Finding(Stage.NODE, Reason.DATAPLANE_REJECTED, said.word.message, given, spelled(said.at))
    return None


def _without_backends(seen: Situation) -> Finding | None:
    for node, key, said in seen.words():
        if said is not None and said.word.real_servers == 0:
            reason = said.word.reason or Reason.NO_READY_BACKEND
            given = {"node": node, "virtual server": str(key), **_backends(seen)}
            return Finding(Stage.BACKENDS, reason, IDLE_TEXTS.get(reason, reason), given, since_of(seen))
    return None


def _unanswered(seen: Situation) -> Finding | None:
    for node, key, said in seen.words():
        if said is not None and (said.word.probe is Probe.UNANSWERED or said.word.healthy == 0):
            healthy = "not checked" if said.word.healthy is None else f"{said.word.healthy} of {said.word.real_servers}"
            given = {"node": node, "virtual server": str(key), "healthy": healthy}
            text = f"{node} dialled {key} and no backend answered"
            return Finding(Stage.BACKENDS, Reason.PROBE_UNANSWERED, text, given, since_of(seen))
    return None


def _not_announced(seen: Situation) -> Finding | None:
    lack = unannounced(seen)
    return Finding(Stage.ANNOUNCED, lack.reason, lack.message, lack.given, lack.since) if lack else None


def _not_reached(seen: Situation) -> Finding | None:
    lack = unreached(seen)
    return Finding(Stage.ANNOUNCED, lack.reason, lack.message, lack.given, lack.since) if lack else None


def _not_judged(seen: Situation) -> Finding | None:
    if not seen.status.is_held:
        return Finding(Stage.STATUS, "NoStatusService", f"nobody holds the Lease {seen.status.name}: nothing is told")
    item = seen.balancer
    serving = next((c for c in item.status.conditions if c.type == SERVING), None) if item else None
    if item is None or serving is None or item.status.observed_generation != item.metadata.generation:
        return Finding(Stage.STATUS, "NotJudged", "the LoadBalancer's status does not speak of its present spec yet")
    if serving.status is not Status.TRUE:
        return _of(Stage.STATUS, serving)
    return None


def _not_shown(seen: Situation) -> Finding | None:
    if not seen.is_tenant_seen or seen.service is None or seen.balancer is None or seen.balancer.spec.service.hostname:
        return None
    shown = {ingress.ip for ingress in seen.service.status.load_balancer.ingress}
    if shown == set(seen.balancer.status.addresses):
        return None
    given = {"shown": ", ".join(sorted(shown)) or "nothing", "granted": ", ".join(seen.balancer.status.addresses)}
    return Finding(Stage.WATCHER, "NotShown", "the tenant's Service does not show what it was granted", given)


STEPS: tuple[Callable[[Situation], Finding | None], ...] = (
    _nobody_knows_it,
    _not_ours,
    _tenant_not_ready,
    _refused_by_the_watcher,
    _watcher_silent,
    _not_told,
    _nobody_decides,
    _being_released,
    _refused,
    _not_published,
    _not_programmed,
    _rejected,
    _without_backends,
    _unanswered,
    _not_announced,
    _not_reached,
    _not_judged,
    _not_shown,
)


def _of(stage: Stage, condition: Condition, reason: str = "") -> Finding:
    text = f"{condition.reason}: {condition.message}" if reason else condition.message
    return Finding(stage, reason or condition.reason, text, since=condition.last_transition_time)


def _is_current(seen: Situation, said: LoadBalancerRevision | None) -> bool:
    """Whether somebody speaks of the LoadBalancer's present spec."""
    meta = seen.balancer.metadata if seen.balancer else None
    return meta is not None and said == LoadBalancerRevision(meta.uid, meta.generation)


def _backends(seen: Situation) -> dict[str, str]:
    endpoints = seen.observed.endpoints if seen.observed else None
    return {"endpoints": "no EndpointSlice" if endpoints is None else f"ready: {str(endpoints.ready).lower()}"}


def since_of(seen: Situation, kind: str = SERVING) -> str:
    """Since when a condition of the LoadBalancer says what it says (RFC 3339); empty if it says nothing."""
    conditions = seen.balancer.status.conditions if seen.balancer else ()
    return next((c.last_transition_time for c in conditions if c.type == kind), "")
