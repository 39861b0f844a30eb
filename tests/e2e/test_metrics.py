"""The pages of metrics of a running fleet, as Prometheus reads them, against its conventions and docs/metrics.md."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial

import pytest
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fleetlb.domain.conditions import SERVING
from fleetlb.domain.traces import mark_of
from fleetlb.runtime.metrics_page import Described
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage.auditing import auditing, page
from tests.stage.metric_tables import documented
from tests.stage.prometheus import objections

pytestmark = pytest.mark.e2e

AUDIT = "fleetlb audit --serve"
PROCESSES = {
    "fleetlb-tenant-watcher": "tenant-watcher/acme",
    "fleetlb-manager": "manager",
    "fleetlb-dataplane-programmer": "dataplane-programmer/node-1",
    "fleetlb-status": "status",
    AUDIT: "",
}
OF_IPVS = tuple(f"fleetlb_{part}" for part in ("announce", "bgp_", "filter_", "ipvs_", "link_", "route_", "sysctl_"))
"""Not on the page of a node whose engine is Envoy."""
OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
"""As Prometheus asks."""


async def families(url: str) -> list[Metric]:
    """The page as OpenMetrics; raises ValueError if it is none."""
    return list(text_string_to_metric_families(await page(url, OPEN_METRICS)))  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def pages_of(process: str, fleet: Fleet, port: int) -> AsyncIterator[str]:
    """Where the metrics of a process are."""
    if process == AUDIT:
        async with auditing(fleet.state, port) as url:
            yield url
    else:
        yield f"{fleet.environment.processes[PROCESSES[process]].http}/metrics"


def told(found: Iterable[Metric]) -> dict[str, Described]:
    """What a page says of its own metrics, with the labels of the series that it has."""
    described = {}
    for family in found:
        if not family.name.startswith(("python_", "process_")):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels if label != "le"}
            described[name] = Described(name, family.type, tuple(sorted(labels)), family.unit, family.documentation)
    return described


def without_labels(metrics: Mapping[str, Described]) -> set[tuple[str, str, str, str]]:
    return {(metric.name, metric.type, metric.unit, metric.help) for metric in metrics.values()}


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_page_is_as_prometheus_wants_it_and_as_documented(
    process: str, fleet: Fleet, unused_tcp_port: int
) -> None:
    async with pages_of(process, fleet, unused_tcp_port) as url:
        assert await asyncio.to_thread(objections, await page(url)) == ""
        found = told(await families(url))
    rows = documented()[process]
    if process == "fleetlb-dataplane-programmer":
        rows = {name: row for name, row in rows.items() if not name.startswith(OF_IPVS)}
    assert without_labels(found) == without_labels(rows)
    for name, metric in found.items():
        assert set(metric.labels) <= set(rows[name].labels)


def test_promtool_objects_to_what_is_against_the_conventions() -> None:
    assert "no help text" in objections("# TYPE things counter\nthings 1\n")


async def test_a_change_is_timed_with_its_trace_from_the_tenant_to_the_data_plane(
    fleet: Fleet, acme: TenantCluster
) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    conditions = (await acme.get("web"))["status"]["conditions"]
    trace = next(mark_of(condition["message"]) for condition in conditions if condition["type"] == SERVING)

    async def names_it(process: str, histogram: str) -> bool:
        found = await families(f"{fleet.environment.processes[process].http}/metrics")
        samples = next(family.samples for family in found if family.name == histogram)
        exemplars = [sample.exemplar for sample in samples if sample.exemplar]
        return any(exemplar.labels == {"trace_id": trace} for exemplar in exemplars)

    for process, histogram in (
        ("dataplane-programmer/node-1", "fleetlb_network_programming_duration_seconds"),
        ("tenant-watcher/acme", "fleetlb_watcher_convergence_seconds"),
    ):
        await eventually(partial(names_it, process, histogram), f"an exemplar of {trace} in {histogram}")


async def test_pools_and_leases_are_told_by_who_acts(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    text = await page(f"{fleet.environment.processes['manager'].http}/metrics")
    samples = [sample for family in parser.text_string_to_metric_families(text) for sample in family.samples]
    claims = {sample.labels["phase"]: sample.value for sample in samples if sample.name == "fleetlb_address_claims"}
    assert claims["Bound"] >= 1
    used = [
        sample.value
        for sample in samples
        if sample.name == "fleetlb_pool_addresses" and sample.labels["state"] == "used"
    ]
    assert sum(used) == claims["Bound"] + claims["Releasing"]
    held = {sample.labels["name"] for sample in samples if sample.name == "leader_election_master_status"}
    assert held == {"fleetlb-manager"}
