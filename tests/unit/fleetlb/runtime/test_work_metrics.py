from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fleetlb.runtime.work_metrics import meters_of


def sample(metric: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(metric, labels)


def test_a_queues_numbers_are_read_when_they_are_scraped() -> None:
    meters = meters_of("scraped")
    meters.depth = lambda: 3
    meters.adds, meters.retries, meters.quarantined = 5, 2, 1
    meters.results["stale"] = 4
    meters.results["bug"] = 6
    assert sample("workqueue_depth", name="scraped") == 3
    assert sample("workqueue_adds_total", name="scraped") == 5
    assert sample("workqueue_retries_total", name="scraped") == 2
    assert sample("fleetlb_quarantined_keys", reconciler="scraped") == 1
    assert sample("fleetlb_reconcile_total", reconciler="scraped", result="stale") == 4
    assert sample("fleetlb_reconcile_total", reconciler="scraped", result="ok") == 0
    assert sample("fleetlb_reconcile_errors_total", reconciler="scraped") == 6


def test_the_histogram_counts_a_run_in_every_bucket_that_it_fits() -> None:
    meters = meters_of("timed")
    for seconds in (0.0005, 0.001, 0.2, 40.0):
        meters.observe(seconds)
    expected = {"0.001": 2, "0.0025": 2, "0.1": 2, "0.25": 3, "30.0": 3, "+Inf": 4}
    assert {
        bound: sample("fleetlb_reconcile_seconds_bucket", reconciler="timed", le=bound) for bound in expected
    } == expected
    assert sample("fleetlb_reconcile_seconds_count", reconciler="timed") == 4
    assert sample("fleetlb_reconcile_seconds_sum", reconciler="timed") == 0.0005 + 0.001 + 0.2 + 40.0


def test_another_queue_of_the_same_name_counts_on() -> None:
    meters_of("again").adds += 1
    meters_of("again").adds += 1
    assert sample("workqueue_adds_total", name="again") == 2


def test_names_are_as_work_queues_are_known_by() -> None:
    families = {family.name: family.type for family in text_string_to_metric_families(generate_latest().decode())}
    expected = {
        "workqueue_depth": "gauge",
        "workqueue_adds": "counter",
        "workqueue_retries": "counter",
        "fleetlb_reconcile": "counter",
        "fleetlb_reconcile_errors": "counter",
        "fleetlb_reconcile_seconds": "histogram",
        "fleetlb_quarantined_keys": "gauge",
    }
    assert {name: families.get(name) for name in expected} == expected
