from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from fleetlb.runtime.metrics_page import BEGIN, END, Described, describe, with_tables

COMMON = Described("common", "gauge", (), "", "Had by all.")
OWN = Described("own_total", "counter", ("kind", "result"), "", "Had by one.")


class Queues(Collector):
    """Tells of what it never counted."""

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("adds_total", "Added.", labels=["name"])


def test_a_metric_is_described_before_it_was_ever_counted() -> None:
    registry = CollectorRegistry()
    counter = Counter("things_total", "Things.", ["kind"], registry=registry)
    seconds = Histogram("way_seconds", "A way.", unit="seconds", registry=registry)
    assert describe(counter) == [Described("things_total", "counter", ("kind",), "", "Things.")]
    assert describe(seconds) == [Described("way_seconds", "histogram", (), "seconds", "A way.")]
    assert describe(Queues()) == [Described("adds_total", "counter", ("name",), "", "Added.")]


def test_a_unit_is_known_by_the_name() -> None:
    gauge = Gauge("disk_bytes", "A disk.", registry=CollectorRegistry())
    assert describe(gauge)[0].unit == "bytes"


def test_what_all_have_is_told_once_and_the_rest_by_process() -> None:
    page = with_tables("", {"one": {COMMON, OWN}, "other": {COMMON}})
    every, one, other = page.split("\n## ")[1:]
    assert every.startswith("Every process\n")
    assert "| `common` | gauge |  |  | Had by all. |" in every
    assert one.startswith("`one`\n")
    assert "| `own_total` | counter | `kind`, `result` |  | Had by one. |" in one
    assert "common" not in one + other
    assert page.startswith(BEGIN)
    assert page.endswith(f"{END}\n")


def test_what_is_written_by_hand_stays() -> None:
    page = with_tables(f"# Title\n\n{BEGIN}\nold\n{END}\nThe end.\n", {"one": {OWN}})
    assert page.startswith(f"# Title\n\n{BEGIN}\n")
    assert page.endswith(f"{END}\nThe end.\n")
    assert "old" not in page
    assert with_tables(page, {"one": {OWN}}) == page
