"""A real Prometheus beside a running fleet, with our configuration: panels show what is, and alerts are judged."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb.domain.conditions import SERVING
from fleetlb.domain.traces import mark_of
from fleetlb.testkit.otlp_receiver import OtlpReceiver
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage import alert_rules, dashboards
from tests.stage.auditing import auditing
from tests.stage.dashboards import CHOSEN, EMPTY, INTERVAL, OF_IPVS, Asked, filled
from tests.stage.prometheus import Prometheus, running

pytestmark = pytest.mark.e2e

OF_THE_MACHINE = {"FleetlbStatusSlow", "FleetlbProgrammingSlow"}
"""Alerts that may be true where the machine is slow."""
EXPRESSIONS = {name: rule["expr"] for name, rule in alert_rules.alerts().items()}


@pytest.fixture
async def prometheus(
    fleet: Fleet, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> AsyncIterator[Prometheus]:
    """One that has scraped every process of the fleet, and an audit."""
    config = tmp_path / "prometheus"
    port = unused_tcp_port_factory()
    async with auditing(fleet.state, port):
        write = [sys.executable, str(alert_rules.FOLDER / "local_fleet.py"), "--state", str(fleet.state)]
        write += ["--into", str(config), "--every", "1s", "--audit", f"127.0.0.1:{port}"]
        await asyncio.to_thread(subprocess.run, write, check=True, timeout=30)
        async with running(config / "prometheus.yml", tmp_path / "data", unused_tcp_port_factory()) as prometheus:
            await eventually(partial(has_scraped_all, prometheus), "a scrape of every process")
            yield prometheus


async def has_scraped_all(prometheus: Prometheus) -> bool:
    targets = (await prometheus.look("targets"))["activeTargets"]
    return len(targets) >= 6 and all(target["health"] == "up" for target in targets)


async def true_now(prometheus: Prometheus) -> dict[str, list[Any]]:
    """Alerts whose expressions are true at this moment, and of what; some must be so for a time before anybody is
    woken."""
    found = {name: await prometheus.ask("query", query=text) for name, text in EXPRESSIONS.items()}
    return {name: data["result"] for name, data in found.items() if data["result"]}


async def counts(prometheus: Prometheus, expression: str, least: float) -> bool:
    """Whether some series has at least this value now."""
    found = await prometheus.ask("query", query=expression)
    return any(float(each["value"][1]) >= least for each in found["result"])


async def serve_one(acme: TenantCluster, name: str) -> str:
    """A Service that serves; returns its trace id."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create(name, [tcp(8080, port)])
    await acme.serving(name)
    conditions = (await acme.get(name))["status"]["conditions"]
    return next(mark_of(condition["message"]) for condition in conditions if condition["type"] == SERVING)


async def live(prometheus: Prometheus, acme: TenantCluster) -> None:
    """Something of everything, twice and scraped: Services that come, change, go, are refused and do not serve."""
    for turn in ("a", "b"):
        await serve_one(acme, f"web-{turn}")
        await acme.patch(f"web-{turn}", {"spec": {"sessionAffinity": "ClientIP"}})
        await acme.create(f"dark-{turn}", [tcp(8080, next_node_port())])
        await acme.reason(f"dark-{turn}", SERVING, "ProbeUnanswered")
        annotations = {"fleetlb.dev/addresses": "198.51.100.7"}
        await acme.create(f"no-{turn}", [tcp(8080, next_node_port())], annotations=annotations)
        await acme.reason(f"no-{turn}", SERVING, "AddressNotAllowed")
        seen = f'fleetlb_watcher_services{{tenant="{acme.name}"}}'
        await eventually(partial(counts, prometheus, seen, 3), "a scrape of these Services")
    await acme.delete("web-b")
    await eventually(partial(counts, prometheus, "sum(fleetlb_refusals_total)", 2), "a scrape of both refusals")


async def test_every_panel_shows_live_data(prometheus: Prometheus, acme: TenantCluster) -> None:
    await live(prometheus, acme)
    queries = dashboards.asked_of_prometheus()
    assert EMPTY.keys() <= {asked.name for asked in queries}

    async def is_without() -> list[Asked]:
        return [asked for asked in queries if asked.name not in EMPTY and not await dashboards.shows(prometheus, asked)]

    async def is_whole() -> bool:
        return not await is_without()

    try:
        await eventually(is_whole, "data in every panel", 40)
    except AssertionError:
        assert [f"{asked.name}: {asked.expression}" for asked in await is_without()] == []
    full = [asked.name for asked in queries if asked.name in OF_IPVS and await dashboards.shows(prometheus, asked)]
    assert full == [], "these have data after all: take them from the list"


async def test_every_variable_has_values_to_choose(prometheus: Prometheus, acme: TenantCluster) -> None:
    await serve_one(acme, "web")
    wanted = {"tenant": {"acme"}, "group": {"default"}, "node": {"node-1"}}

    async def offers(series: str, label: str) -> bool:
        asked = filled(series, CHOSEN, INTERVAL)
        return {each.get(label) for each in await prometheus.ask("series", match=asked)} >= wanted[label]

    for name, board in dashboards.boards().items():
        for variable, (series, label) in dashboards.variables(board).items():
            assert variable == label
            await eventually(partial(offers, series, label), f"values of {variable} in {name}")


async def test_a_fleet_that_is_well_has_no_alert_and_each_can_be_judged(
    prometheus: Prometheus, acme: TenantCluster
) -> None:
    await serve_one(acme, "web")

    async def all_judged() -> bool:
        groups = (await prometheus.look("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return len(rules) == len(EXPRESSIONS) and all(rule["health"] == "ok" for rule in rules)

    await eventually(all_judged, "a judgement of each rule")

    async def raised() -> dict[str, list[Any]]:
        return {name: what for name, what in (await true_now(prometheus)).items() if name not in OF_THE_MACHINE}

    async def is_quiet() -> bool:
        return not await raised()

    try:  # the audit here settles for less than the second by which a pool's counts come late
        await eventually(is_quiet, "a fleet without an alert", 40)
    except AssertionError:
        assert await raised() == {}


@pytest.mark.parametrize(
    ("stopped", "alerts"),
    [
        ("status", {"FleetlbProcessDown", "FleetlbNobodyActs"}),
        ("envoy/node-1", {"FleetlbEnvoyGone"}),
        ("nats", {"FleetlbBusLost"}),
        ("tenant-watcher/acme", {"FleetlbWatcherSilent"}),  # which takes a minute
    ],
)
async def test_what_is_stopped_raises_its_alert_until_it_is_back(
    stopped: str, alerts: set[str], prometheus: Prometheus, fleet: Fleet
) -> None:
    async def is_raised() -> bool:
        return (await true_now(prometheus)).keys() >= alerts

    async def is_over() -> bool:
        return not alerts & (await true_now(prometheus)).keys()

    await eventually(is_over, f"a fleet without {alerts}")
    async with fleet.without(stopped):
        await eventually(is_raised, f"{alerts} without {stopped}", 90)
    await eventually(is_over, f"the end of {alerts}", 60)


async def test_an_exemplar_leads_to_the_trace_and_a_line_of_a_log_too(
    prometheus: Prometheus, fleet: Fleet, acme: TenantCluster, collector: OtlpReceiver
) -> None:
    trace = await serve_one(acme, "web")

    async def leads_there(asked: Asked) -> bool:
        expression = filled(asked.expression, CHOSEN, INTERVAL)
        now = time.time()
        found = await prometheus.ask("query_exemplars", query=expression, start=str(now - 120), end=str(now))
        return any(one["labels"]["trace_id"] == trace for series in found for one in series["exemplars"])

    asking = [asked for asked in dashboards.asked_of_prometheus() if asked.exemplar]
    assert {asked.board for asked in asking} == {"fleet", "tenant", "node", "latency"}
    for asked in asking:
        await eventually(partial(leads_there, asked), f"an exemplar of {trace} in {asked.name}")

    async def is_collected() -> bool:
        return {span.service for span in collector.trace(trace)} >= {"fleetlb-tenant-watcher", "fleetlb-manager"}

    await eventually(is_collected, f"spans of {trace}")
    sources = (alert_rules.FOLDER / "grafana" / "provisioning" / "datasources" / "fleetlb.yaml").read_text()
    (field,) = next(each for each in yaml.safe_load(sources)["datasources"] if each["type"] == "loki")["jsonData"][
        "derivedFields"
    ]
    lines = Path(fleet.environment.processes["manager"].log).read_text().splitlines()
    named = [line for line in lines if trace in line and json.loads(line)]
    assert named, "the manager's log names the change"
    assert {match[1] for line in named if (match := re.search(field["matcherRegex"], line))} == {trace}
