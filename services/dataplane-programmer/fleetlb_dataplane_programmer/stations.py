"""The spans of a change on a balancer node, made from the stations that it passed there. Pure, but for their ids."""

from collections.abc import Iterator

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.v1 import Hops, VirtualServerRealized
from fleetlb.runtime.tracing import Attributes, Kind, Span, Tracing

_STEPS = {"acknowledge": ("program virtual server", Kind.INTERNAL), "probe": ("probe virtual server", Kind.CLIENT)}
"""What leads to a station. The way to any other is somebody else's."""


def spans_of(journey: Journey, stations: Hops, tracing: Tracing, attributes: Attributes) -> Iterator[Span]:
    """One for each of the stations that this node reached, from the station before it."""
    if not tracing.records(journey.trace):
        return
    passed = dict(zip(journey.hops[1:], journey.hops, strict=False))
    for hop in stations:
        before = passed.get(hop)
        if hop.name in _STEPS and before is not None:
            name, kind = _STEPS[hop.name]
            yield Span(
                trace=tracing.follow(journey.trace),
                parent=journey.trace,
                name=name,
                kind=kind,
                began=before.at,
                ended=hop.at,
                attributes=attributes,
                links=journey.overtaken if hop.name == "acknowledge" else (),
            )


def attributes_of(realized: VirtualServerRealized) -> Attributes:
    """What a span says of its virtual server."""
    return {
        "fleetlb.tenant": realized.owner.tenant,
        "fleetlb.service.uid": realized.owner.service_uid,
        "fleetlb.virtual_server": str(realized.key),
        "fleetlb.node": realized.node,
        "fleetlb.state": str(realized.state),
        "fleetlb.probe": str(realized.probe),
    }
