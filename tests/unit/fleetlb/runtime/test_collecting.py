"""Spans sent by OTLP as the stock variables say, and nothing of it where they do not."""

import os
import socket
import subprocess
import sys

import pytest

from fleetlb.domain import traces
from fleetlb.runtime.collecting import sink_for
from fleetlb.runtime.settings import SettingsError
from fleetlb.runtime.tracing import Kind, Span, Tracing
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.otlp_receiver import OtlpReceiver

PARENT = f"00-{1:032x}-{1:016x}-01"
PRODUCER, CONSUMER = 4, 5
"""Kinds of spans, as OTLP numbers them."""


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
from fleetlb.runtime.collecting import sink_for
from fleetlb.runtime.tracing import Span

async def main():
    sink = sink_for("fleetlb-demo", "me", os.environ)
    for number in range(10_000):
        sink.emit(Span(trace=sys.argv[1], name=str(number), began=1, ended=2))
    await sink.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("is_hanging", [False, True])
def test_a_collector_that_is_away_or_hangs_holds_nothing_up(is_hanging: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if is_hanging else 1
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        process = subprocess.run([sys.executable, "-c", AWAY, PARENT], env=environ, timeout=30)
    assert process.returncode == 0


def test_off_imports_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, fleetlb.runtime.process as p; p.sink_for('x', 'y', {}); "
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True, timeout=30)
    assert shown.stdout.strip() == "[]"
