"""From what is known of a Service to where it is, why, and what to do. Pure: the first step not done is the answer."""

import msgspec

from fleetlb.domain.conditions import SERVING, Reason
from fleetlb.domain.traces import mark_of, trace_id, unmarked
from fleetlb.explaining.announcing import announced
from fleetlb.explaining.cures import CURES
from fleetlb.explaining.moving import moves
from fleetlb.explaining.situation import Situation
from fleetlb.explaining.steps import STEPS, Finding, Stage, since_of


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a Service is on its way."""

    service: str
    serving: bool
    stage: Stage
    reason: str
    message: str
    """What was decided, in words."""
    given: dict[str, str]
    """What it was decided from."""
    since: str = ""
    """When that began (RFC 3339); empty: not known."""
    cure: str = ""
    """What to do."""
    trace: str = ""
    """Trace id of the last change."""


def explain(seen: Situation) -> Explanation:
    """Where a Service is, why, since when, and what to do."""
    found = next((finding for step in STEPS if (finding := step(seen)) is not None), None)
    if found is None:
        found = Finding(Stage.SERVING, Reason.SERVING, "every balancer node reached a backend", since=since_of(seen))
    return Explanation(
        service=seen.title,
        serving=found.stage is Stage.SERVING,
        stage=found.stage,
        reason=str(found.reason),
        message=unmarked(found.message),
        given=_given(seen) | found.given,
        since=found.since,
        cure=CURES.get(str(found.reason), ""),
        trace=_trace(seen),
    )


def _given(seen: Situation) -> dict[str, str]:
    item = seen.balancer
    if item is None:
        return {}
    ports = ", ".join(f"{port.port}/{port.protocol.value}" for port in item.spec.service.ports)
    given = {"addresses": ", ".join(item.spec.addresses), "ports": ports, "group": item.spec.group}
    return {name: text for name, text in given.items() if text} | announced(seen) | moves(seen)


def _trace(seen: Situation) -> str:
    """Of what its tenant sees, else of the last change that the hub decided on."""
    shown = seen.service.condition(SERVING) if seen.service else None
    found = mark_of(shown.message) if shown else ""
    return found or (trace_id(seen.balancer.spec.trace) if seen.balancer else "")
