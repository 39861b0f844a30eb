"""docs/metrics.md names every process, and what it lists keeps to the conventions of Prometheus and to our own."""

import re
from pathlib import Path

import pytest

from fleetlb.runtime.metrics_page import UNITS, Described
from tests.stage.metric_tables import documented

ROOT = Path(__file__).resolve().parents[2]
TABLES = documented()
ALL = {metric.name: metric for table in TABLES.values() for metric in table.values()}
BOUNDED = {
    "announcement", "cause", "change", "code", "family", "invariant", "kind", "led_to", "method", "name", "occasion",
    "outcome", "phase", "reason", "reconciler", "resource", "result", "service", "state", "version",
}  # fmt: skip
"""Labels whose values stand in the code, or nearly so."""
GROWING = {
    "tenant": {"fleetlb_audit_silent_watchers", "fleetlb_parked_messages_total", "fleetlb_services"},
    "peer": {"fleetlb_bgp_advertised_routes", "fleetlb_bgp_session_up"},
    "pool": {"fleetlb_pool_addresses"},
}
"""Labels that grow with what operators make by hand, and who may have them."""
each_metric = pytest.mark.parametrize("metric", ALL.values(), ids=lambda metric: metric.name)


def test_every_process_is_there() -> None:
    services = {"fleetlb-tenant-watcher", "fleetlb-manager", "fleetlb-dataplane-programmer", "fleetlb-status"}
    assert TABLES.keys() == {*services, "fleetlb audit --serve"}
    for name in services:
        assert {"fleetlb_build_info", "fleetlb_quarantined_keys", "workqueue_depth"} <= TABLES[name].keys()


@pytest.mark.parametrize(
    ("process", "names"),
    {
        "fleetlb-manager": {"leader_election_master_status", "fleetlb_pool_addresses", "rest_client_requests_total"},
        "fleetlb-status": {"leader_election_master_status", "fleetlb_services"},
        "fleetlb-dataplane-programmer": {"fleetlb_envoy_connected", "fleetlb_ipvs_writes_total"},
        "fleetlb audit --serve": {"fleetlb_audit_findings"},
    }.items(),
)
def test_a_process_has_what_only_it_can_tell(process: str, names: set[str]) -> None:
    assert names <= TABLES[process].keys()


def test_a_process_has_nothing_of_another() -> None:
    assert "rest_client_requests_total" not in TABLES["fleetlb-dataplane-programmer"]
    assert "fleetlb_pool_addresses" not in TABLES["fleetlb-status"]
    assert "workqueue_depth" not in TABLES["fleetlb audit --serve"]


@each_metric
def test_a_name_says_whose_it_is_its_type_and_its_unit(metric: Described) -> None:
    assert re.fullmatch("(fleetlb|workqueue|rest_client|leader_election)(_[a-z]+)+", metric.name)
    assert (metric.type == "counter") is metric.name.endswith("_total")
    assert not re.search("_(count|sum|bucket|created|gauge|counter|histogram)$", metric.name)
    assert metric.unit or not re.search("(milli|micro|nano)seconds|minutes|_ms|_us|(kilo|mega|kibi)bytes", metric.name)
    assert metric.unit in {"", *UNITS}


@each_metric
def test_a_help_is_a_sentence(metric: Described) -> None:
    assert re.fullmatch(r"[A-Z0-9].*[^.]\.", metric.help)


@each_metric
def test_series_grow_with_nothing_but_what_operators_make(metric: Described) -> None:
    for label in metric.labels:
        assert label in BOUNDED or metric.name in GROWING.get(label, ()), f"how many values has {label}?"


@pytest.mark.parametrize("page", ["metrics.md", "operating.md"])
def test_a_page_speaks_of_metrics_that_there_are(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = set(re.findall(r"(?<!/)\b(?:fleetlb|leader_election)_[a-z_]+", text))
    assert len(named) > 5
    assert named <= ALL.keys()
