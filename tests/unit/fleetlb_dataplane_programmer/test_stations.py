"""The spans of a balancer node: one for each station that it reached, none for those of others."""

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.v1 import Hop
from fleetlb.domain.traces import trace_id
from fleetlb.runtime.tracing import OFF, Kind, Span, Tracing
from fleetlb_dataplane_programmer.stations import spans_of

CAME, OTHER = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))
PASSED = (Hop("watch", 1), Hop("claim", 5), Hop("program", 10), Hop("acknowledge", 30), Hop("probe", 70))


class Nobody:
    """A sink that makes a process record spans, and loses them."""

    def samples(self, trace_id: str) -> bool:
        return True

    def emit(self, span: Span) -> None:
        raise AssertionError("spans_of emits nothing")

    async def close(self) -> None:
        pass


def test_each_station_is_reached_from_the_one_before() -> None:
    found = list(spans_of(Journey(CAME, PASSED, (OTHER,)), PASSED, Tracing(Nobody()), {"a": 1}))
    assert [(span.name, span.kind, span.began, span.ended) for span in found] == [
        ("process fleetlb.v1.desired.{group}.{virtual-server}", Kind.CONSUMER, 10, 30),
        ("program virtual server", Kind.INTERNAL, 10, 30),
        ("probe virtual server", Kind.CLIENT, 30, 70),
    ]
    processed, programmed, probed = found
    assert {trace_id(span.trace) for span in found} == {trace_id(CAME)}
    assert (processed.parent, programmed.parent, probed.parent) == (CAME, processed.trace, CAME)
    assert (programmed.attributes, probed.attributes) == ({"a": 1}, {"a": 1})


def test_what_a_message_overtook_is_linked_from_its_processing() -> None:
    processed, *others = spans_of(Journey(CAME, PASSED, (OTHER,)), PASSED, Tracing(Nobody()), {"a": 1})
    assert (processed.links, [span.links for span in others]) == ((OTHER,), [(), ()])
    assert processed.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "fleetlb.v1.desired.{group}.{virtual-server}",
        "a": 1,
    }


def test_what_was_told_before_is_not_told_again() -> None:
    (probed,) = spans_of(Journey(CAME, PASSED), PASSED[-1:], Tracing(Nobody()), {})
    assert probed.name == "probe virtual server"


def test_nothing_is_made_for_nobody() -> None:
    assert list(spans_of(Journey(CAME, PASSED), PASSED, OFF, {})) == []
    assert list(spans_of(Journey("", PASSED), PASSED, Tracing(Nobody()), {})) == []
