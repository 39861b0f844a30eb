"""Sends spans away by OTLP over HTTP, as the stock `OTEL_*` variables say: endpoint, headers, sampler, batches.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Off unless the environment asks for
it. Everything waits in a bounded queue of a thread; what does not fit is dropped and counted by the library.
"""

import asyncio
import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

import fleetlb
from fleetlb.domain import traces
from fleetlb.runtime.tracing import Kind, Span

STOP_SECONDS = 2.0
"""So long the last spans may take when the process ends."""
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_SCOPE = InstrumentationScope("fleetlb", fleetlb.__version__)


class OtlpSink:
    """Spans to a collector."""

    def __init__(self, service: str, instance: str, environ: Mapping[str, str]) -> None:
        """Begins a thread that sends. The library reads the process's own environment; `environ` is for the name."""
        own = {SERVICE_NAMESPACE: "fleetlb", SERVICE_VERSION: fleetlb.__version__, "service.instance.id": instance}
        if not environ.get("OTEL_SERVICE_NAME"):
            own[SERVICE_NAME] = service
        provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        self._resource, self._sampler = provider.resource, provider.sampler
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def samples(self, trace_id: str) -> bool:
        """As OTEL_TRACES_SAMPLER says."""
        return self._sampler.should_sample(None, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    def emit(self, span: Span) -> None:
        """Queue a span."""
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.trace, is_remote=False),
                parent=_context(span.parent, is_remote=span.kind is Kind.CONSUMER) if span.parent else None,
                resource=self._resource,
                attributes=dict(span.attributes),
                links=[Link(_context(link, is_remote=True)) for link in span.links],
                kind=_KINDS[span.kind],
                start_time=span.began * 1000,
                end_time=max(span.began, span.ended) * 1000,
                instrumentation_scope=_SCOPE,
            )
        )

    async def close(self) -> None:
        """Send what is queued, under a time limit: a collector that is away must not hold the process back."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await done.wait()
        except TimeoutError:
            pass


def _context(text: str, *, is_remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if traces.is_sampled(text) else TraceFlags.DEFAULT)
    return SpanContext(int(traces.trace_id(text), 16), int(traces.span_id(text), 16), is_remote, flags)
