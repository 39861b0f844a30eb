"""Contexts and spans: made for every change, recorded where somebody collects them."""

import pytest

from fleetlb.domain import traces
from fleetlb.runtime.tracing import OFF, Kind, Span, Tracing

PARENT = f"00-{1:032x}-{1:016x}-01"


class Kept:
    """A sink that keeps spans, and takes every trace or none."""

    def __init__(self, *, takes: bool = True) -> None:
        self.spans: list[Span] = []
        self._takes = takes

    def samples(self, trace_id: str) -> bool:
        return self._takes

    def emit(self, span: Span) -> None:
        self.spans.append(span)

    async def close(self) -> None:
        pass


def test_whoever_records_nothing_leaves_the_choice_to_others() -> None:
    first = OFF.begin()
    assert traces.valid(first) == first
    assert traces.is_sampled(first)
    assert first != OFF.begin()
    assert not OFF.records(first)
    OFF.record(Span(trace=first, name="x", began=1, ended=2))


@pytest.mark.parametrize("takes", [True, False])
def test_a_trace_is_recorded_whole_or_not_at_all(takes: bool) -> None:
    sink = Kept(takes=takes)
    tracing = Tracing(sink)
    first = tracing.begin()
    then = tracing.follow(first)
    assert traces.trace_id(then) == traces.trace_id(first)
    assert tracing.records(then) is takes
    tracing.record(Span(trace=then, parent=first, name="x", began=1, ended=2))
    tracing.record_publish(then, first, "a.{b}", 1, 2)
    tracing.record_process(then, "a.{b}", 1, {"c": "d"})
    assert [span.name for span in sink.spans] == (["x", "publish a.{b}", "process a.{b}"] if takes else [])


def test_a_message_that_was_taken_in_is_a_step_below_its_sending() -> None:
    sink = Kept()
    Tracing(sink, now=lambda: 9).record_process(PARENT, "a.{b}", 5, {"c": "d"})
    (span,) = sink.spans
    assert (span.parent, span.kind, span.began, span.ended) == (PARENT, Kind.CONSUMER, 5, 9)
    assert traces.trace_id(span.trace) == traces.trace_id(PARENT)
    assert span.trace != PARENT
    assert span.attributes["messaging.operation.type"] == "process"
    assert span.attributes["c"] == "d"


def test_what_others_began_is_recorded_as_they_say() -> None:
    tracing = Tracing(Kept(takes=False))
    assert tracing.records(tracing.follow(PARENT))
    assert not tracing.records(tracing.follow(PARENT[:-1] + "0"))
    assert traces.trace_id(tracing.follow("")) != traces.trace_id(PARENT), "without a cause a trace begins"
