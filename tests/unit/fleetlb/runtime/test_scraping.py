import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fleetlb.runtime import metrics
from fleetlb.runtime.scraping import scrape

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("things_total", "Things.", registry=made).inc()
    seconds = Histogram("way_seconds", "A way.", unit="seconds", buckets=(1.0,), registry=made)
    seconds.observe(0.5, {"trace_id": "548f7132d5437e83ad0c2f7dd1bd9d7b"})
    return made


async def test_whoever_accepts_openmetrics_gets_it_with_exemplars_and_units(registry: CollectorRegistry) -> None:
    page, content_type = await scrape(registry, OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    parsed = text_string_to_metric_families(page.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families["way_seconds"].unit == "seconds"
    exemplars = [sample.exemplar for sample in families["way_seconds"].samples if sample.exemplar]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": "548f7132d5437e83ad0c2f7dd1bd9d7b"}]


@pytest.mark.parametrize("accept", ["", "*/*", "text/html,application/xhtml+xml", "text/plain;version=0.0.4"])
async def test_everybody_else_gets_plain_text(registry: CollectorRegistry, accept: str) -> None:
    page, content_type = await scrape(registry, accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"things_total 1.0" in page
    assert b"trace_id" not in page


async def test_no_series_tells_when_another_was_made(registry: CollectorRegistry) -> None:
    assert metrics.BUS_CONNECTS, "imported, as in every process"
    for accept in ("", OPEN_METRICS):
        assert b"_created" not in (await scrape(registry, accept))[0]


class Awaited(Metric):
    """Has samples once the event loop has turned."""

    def __init__(self, turned: threading.Event) -> None:
        self._turned = turned
        super().__init__("awaited", "Told once the loop has turned.", "gauge")

    @property
    def samples(self) -> list[Sample]:
        assert self._turned.wait(10), "the event loop does not turn while the page is spelled"
        return [Sample("awaited", {}, 1.0)]

    @samples.setter
    def samples(self, value: list[Sample]) -> None:
        """There are others."""


class OfTheLoop(Collector):
    """Must be asked on the thread of the loop; what it gives may be read anywhere."""

    def __init__(self, turned: threading.Event) -> None:
        self._turned = turned
        self._thread = threading.get_ident()

    def collect(self) -> Iterator[Metric]:
        assert threading.get_ident() == self._thread
        yield Awaited(self._turned)

    def describe(self) -> Iterator[Metric]:
        yield from ()


async def test_values_are_gathered_on_the_loop_which_turns_on_while_they_are_spelled() -> None:
    turned, registry = threading.Event(), CollectorRegistry()
    registry.register(OfTheLoop(turned))
    asyncio.get_running_loop().call_later(0.01, turned.set)
    page, _ = await scrape(registry, OPEN_METRICS)
    assert b"awaited 1.0" in page
