from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from fleetlb.runtime import metrics


def test_what_runs_is_told() -> None:
    metrics.BUILD_INFO.labels("demo", "1.2.3").set(1)
    assert REGISTRY.get_sample_value("fleetlb_build_info", {"service": "demo", "version": "1.2.3"}) == 1


def test_names_are_ours() -> None:
    ours = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    names = [family.name for metric in ours for family in metric.describe()]
    assert len(names) >= 9
    assert all(name.startswith("fleetlb_") for name in names)
