"""Panels that are empty beside a fleet that is well show something as soon as there is something to show."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.fleet import eventually
from tests.stage import dashboards
from tests.stage.alert_rules import RULES
from tests.stage.dashboards import EMPTY
from tests.stage.prometheus import running

pytestmark = pytest.mark.timeout(300)
"""Prometheus is fetched once."""

STARTED = "annotation Process started"
LABELS = {
    "fleetlb-manager": {},
    "fleetlb-tenant-watcher": {"tenant": "acme"},
    "fleetlb-dataplane-programmer": {"group": "default", "node": "node-1"},
}


@asynccontextmanager
async def counting() -> AsyncIterator[int]:
    """The port of a page on which everything counts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.stage.counting", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


def scraping(port: int) -> str:
    """A configuration that takes the page for that of each kind of process, with our alerts."""
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}
        for job, labels in LABELS.items()
    ]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    return json.dumps({"global": often, "rule_files": [str(RULES)], "scrape_configs": jobs})


async def test_what_is_empty_in_a_fleet_that_is_well_is_not_when_something_counts(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    quiet = [asked for asked in dashboards.asked_of_prometheus() if asked.name in EMPTY and STARTED not in asked.panel]
    assert {asked.name for asked in quiet} == {name for name in EMPTY if STARTED not in name}
    config = tmp_path / "prometheus.yml"
    async with counting() as port:
        config.write_text(scraping(port))
        async with running(config, tmp_path / "data", unused_tcp_port) as prometheus:
            for asked in quiet:
                shown = partial(dashboards.shows, prometheus, asked)
                await eventually(shown, f"something in {asked.name}: {asked.expression}", 60)
