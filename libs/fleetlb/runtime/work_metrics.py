"""What work queues count, in the default registry: `workqueue_*` after client-go, and `fleetlb_reconcile_*`.

Plain numbers that a scrape reads: prometheus-client takes a lock for each change of each metric, and a burst of ten
thousand keys changes five of them for each. To be changed from the event loop alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_BOUND_NAMES = (*(str(bound) for bound in _BOUNDS), "+Inf")


class WorkMeters:
    """The numbers of one queue."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.depth: Callable[[], int] = int
        """How many keys wait for a worker: asked when it is scraped."""
        self.adds = 0
        self.retries = 0
        self.quarantined = 0
        self.results = {"ok": 0, "stale": 0, "retry": 0, "bug": 0}
        self.seconds = 0.0
        """All runs together."""
        self._runs = [0] * len(_BOUND_NAMES)

    def observe(self, seconds: float) -> None:
        """A run took so long."""
        self.seconds += seconds
        self._runs[bisect_left(_BOUNDS, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """How many runs took at most so long, as a histogram has it."""
        return list(zip(_BOUND_NAMES, accumulate(self._runs), strict=True))


_METERS: dict[str, WorkMeters] = {}


def meters_of(name: str) -> WorkMeters:
    """The numbers of the queue of that name: the same for the same name, as a counter must never fall."""
    return _METERS.setdefault(name, WorkMeters())


class _WorkMetrics(Collector):
    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait for a worker.", labels=["name"])
        adds = CounterMetricFamily("workqueue_adds_total", "Keys queued.", labels=["name"])
        retries = CounterMetricFamily("workqueue_retries_total", "Keys queued again after a failure.", labels=["name"])
        runs = CounterMetricFamily(
            "fleetlb_reconcile_total", "Runs of a key, by result.", labels=["reconciler", "result"]
        )
        errors = CounterMetricFamily(
            "fleetlb_reconcile_errors_total", "Runs of a key that met a bug.", labels=["reconciler"]
        )
        seconds = HistogramMetricFamily(
            "fleetlb_reconcile_seconds", "Time that runs took.", labels=["reconciler"], unit="seconds"
        )
        quarantined = GaugeMetricFamily(
            "fleetlb_quarantined_keys", "Keys whose last run met a bug.", labels=["reconciler"]
        )
        for name, meters in list(_METERS.items()):
            depth.add_metric([name], meters.depth())
            adds.add_metric([name], meters.adds)
            retries.add_metric([name], meters.retries)
            for result, count in meters.results.items():
                runs.add_metric([name, result], count)
            errors.add_metric([name], meters.results["bug"])
            seconds.add_metric([name], meters.buckets(), meters.seconds)
            quarantined.add_metric([name], meters.quarantined)
        yield from (depth, adds, retries, runs, errors, seconds, quarantined)


WORK_METRICS = _WorkMetrics()
REGISTRY.register(WORK_METRICS)
