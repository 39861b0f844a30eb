"""The spans of a change on a balancer node, made from the stations that it passed there. Pure, but for their ids."""

from collections.abc import Iterator

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.v1 import Hop, Hops, VirtualServerRealized
from fleetlb.runtime.tracing import Attributes, Kind, Span, Tracing, messaging

DESIRED = "fleetlb.v1.desired.{group}.{virtual-server}"


def spans_of(journey: Journey, stations: Hops, tracing: Tracing, attributes: Attributes) -> Iterator[Span]:
    """For each of the stations that this node reached, what it did since the station before it.

    The message is processed once the data plane has acknowledged what it says; what it overtook is linked from there.
    The way to any other station is somebody else's.
    """
    if not tracing.records(journey.trace):
        return
    passed = dict(zip(journey.hops[1:], journey.hops, strict=False))
    for hop in stations:
        before = passed.get(hop)
        if before is None:
            continue
        if hop.name == "acknowledge":
            processed = Span(
                trace=tracing.follow(journey.trace),
                parent=journey.trace,
                name=f"process {DESIRED}",
                kind=Kind.CONSUMER,
                began=before.at,
                ended=hop.at,
                attributes={**messaging("process", "process", DESIRED), **attributes},
                links=journey.overtaken,
            )
            yield processed
            yield _step(tracing, processed.trace, "program virtual server", Kind.INTERNAL, before, hop, attributes)
        elif hop.name == "probe":
            yield _step(tracing, journey.trace, "probe virtual server", Kind.CLIENT, before, hop, attributes)


def _step(tracing: Tracing, parent: str, name: str, kind: Kind, before: Hop, hop: Hop, attributes: Attributes) -> Span:
    return Span(
        trace=tracing.follow(parent),
        parent=parent,
        name=name,
        kind=kind,
        began=before.at,
        ended=hop.at,
        attributes=attributes,
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
