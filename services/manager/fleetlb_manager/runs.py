"""One run of a worker about a Service, as others may follow it: its trace context, and the spans that it leaves."""

import msgspec

from fleetlb.contracts.journeys import Journey
from fleetlb.runtime.tracing import Attributes, Kind, Span, Tracing, messaging
from fleetlb_manager.identities import ServiceKey

OBSERVED = "fleetlb.v1.observed.{account}.{cluster}.service.{uid}"


class Run(msgspec.Struct):
    """When what happened. Times: microseconds since 1970."""

    trace: str
    """Context of all that the run does."""
    began: int
    decided: int = 0
    """When it was clear what to do; 0: nothing was to be decided."""

    def tell(self, tracing: Tracing, key: ServiceKey, journey: Journey, now: int) -> None:
        """The run is over: leave its spans."""
        if not tracing.records(self.trace):
            return
        about = attributes_of(key)
        tracing.record(
            Span(
                trace=self.trace,
                parent=journey.trace,
                name=f"process {OBSERVED}" if journey.trace else "reconcile Service",
                kind=Kind.CONSUMER if journey.trace else Kind.INTERNAL,
                began=self.began,
                ended=now,
                attributes={**messaging("process", "process", OBSERVED), **about} if journey.trace else about,
                links=journey.overtaken,
            )
        )
        if self.decided:
            self._tell_part(tracing, "decide", self.began, self.decided)
            self._tell_part(tracing, "claim", self.decided, now)

    def _tell_part(self, tracing: Tracing, name: str, began: int, ended: int) -> None:
        part = tracing.follow(self.trace)
        tracing.record(Span(trace=part, parent=self.trace, name=name, began=began, ended=ended))


def attributes_of(key: ServiceKey) -> Attributes:
    """What a span says of its Service."""
    return {"fleetlb.tenant": key.tenant, "fleetlb.cluster.uid": key.cluster, "fleetlb.service.uid": key.uid}
