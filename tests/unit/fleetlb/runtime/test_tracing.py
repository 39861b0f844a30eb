"""Contexts and spans: made for every change, recorded where somebody collects them, sent by OTLP as variables say."""

import os
import subprocess
import sys

import pytest

from fleetlb.domain import traces
from fleetlb.runtime.settings import SettingsError
from fleetlb.runtime.tracing import OFF, Kind, Span, Tracing, sink_for
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.otlp_receiver import OtlpReceiver

PARENT = f"00-{1:032x}-{1:016x}-01"
PRODUCER, CONSUMER = 4, 5
"""Kinds of spans, as OTLP numbers them."""


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
    assert [span.name for span in sink.spans] == (["x", "publish a.{b}"] if takes else [])


def test_what_others_began_is_recorded_as_they_say() -> None:
    tracing = Tracing(Kept(takes=False))
    assert tracing.records(tracing.follow(PARENT))
    assert not tracing.records(tracing.follow(PARENT[:-1] + "0"))
    assert traces.trace_id(tracing.follow("")) != traces.trace_id(PARENT), "without a cause a trace begins"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "console"},
    ],
)
def test_spans_go_nowhere_unless_the_environment_asks_for_it(environ: dict[str, str]) -> None:
    assert sink_for("fleetlb-demo", "me", environ) is None


def test_spans_that_are_wanted_and_cannot_be_sent_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fleetlb.runtime.otlp", None)
    with pytest.raises(SettingsError, match=r"install fleetlb\[tracing\]"):
        sink_for("fleetlb-demo", "me", {"OTEL_TRACES_EXPORTER": "otlp"})


async def test_a_collector_gets_what_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        for name, text in (receiver.environ | {"OTEL_RESOURCE_ATTRIBUTES": "k8s.node.name=n1"}).items():
            monkeypatch.setenv(name, text)
        sink = sink_for("fleetlb-demo", "replica-1", os.environ)
        assert sink is not None
        tracing = Tracing(sink)
        first = tracing.begin()
        own = tracing.follow(PARENT)
        tracing.record_publish(own, PARENT, "a.{b}", 5, 9)
        tracing.record(Span(trace=first, name="alone", began=9, ended=5, kind=Kind.CONSUMER, links=(PARENT,)))
        await sink.close()
        await eventually(lambda: len(receiver.spans()) == 2)
        sent, alone = sorted(receiver.spans(), key=lambda span: span.name, reverse=True)
    assert (sent.service, sent.name, sent.kind) == ("fleetlb-demo", "publish a.{b}", PRODUCER)
    assert (sent.trace_id, sent.span_id, sent.parent_id) == (f"{1:032x}", traces.span_id(own), f"{1:016x}")
    assert (sent.began, sent.ended) == (5000, 9000)
    assert sent.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "a.{b}",
    }
    assert (alone.kind, alone.parent_id, alone.links) == (CONSUMER, "", (f"{1:032x}",))
    assert (alone.trace_id, alone.ended - alone.began) == (traces.trace_id(first), 0), "clocks may step back"


AWAY = """
import asyncio, os, sys
from fleetlb.runtime.tracing import Span, sink_for

async def main():
    sink = sink_for("fleetlb-demo", "me", os.environ)
    for number in range(10_000):
        sink.emit(Span(trace=sys.argv[1], name=str(number), began=1, ended=2))
    await sink.close()

asyncio.run(main())
"""


def test_a_collector_that_is_away_holds_nothing_up() -> None:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    process = subprocess.run([sys.executable, "-c", AWAY, PARENT], env=environ, timeout=30)
    assert process.returncode == 0


def test_off_imports_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, fleetlb.runtime.process as p; p.sink_for('x', 'y', {}); "
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True, timeout=30)
    assert shown.stdout.strip() == "[]"
