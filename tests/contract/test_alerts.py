"""Every alert says how bad it is, and what to do on a page whose commands exist; a test shows it firing and quiet."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb_cli.__main__ import app
from tests.stage import alert_rules, dashboards
from tests.stage.dashboards import metrics_in
from tests.stage.metric_tables import documented

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS = alert_rules.alerts()
METRICS = {name for table in documented().values() for name in table}
INDEX = "README"
WALK = ROOT / "docs" / "operations.md"
PAGES = [*sorted(RUNBOOKS.glob("*.md")), WALK]
LEFT_OUT = {
    ("why", "svc"): ["acme/shop/web"],
    ("trace", "svc"): ["acme/shop/web"],
    ("tenant", "show"): ["acme"],
    ("tenant", "join"): ["acme", "--nats-url", "nats://127.0.0.1:4222"],
    ("tenant", "join", "acme"): ["--nats-url", "nats://127.0.0.1:4222"],
}
"""Of commands that a sentence names, what it need not say."""
each_alert = pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS.keys())
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def commands(page: Path) -> list[str]:
    """Each `fleetlb …` of the page: its lines to type, and what its sentences name."""
    text = page.read_text("utf-8")
    typed = [line.partition(" #")[0] for line in re.findall(r"^\$ (fleetlb .*)", text, re.M)]
    return [*typed, *re.findall(r"`(fleetlb [a-z][^`]*)`", text)]


@each_alert
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    severities = set(re.findall("critical|warning", rule["labels"]["severity"]))
    assert severities
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert not rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert (ROOT / rule["annotations"]["runbook_url"]).is_file()


@each_alert
def test_an_alert_looks_at_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"]) <= METRICS | dashboards.NOT_OURS
    assert metrics_in(rule["expr"])


def test_every_page_has_its_alert_and_the_index_has_every_page() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {INDEX}
    assert pages == ALERTS.keys()
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| ([^|]+) \|", (RUNBOOKS / f"{INDEX}.md").read_text(), re.M)
    assert [name for name, _ in rows] == list(ALERTS)
    for name, severity in rows:
        said = ALERTS[name]["labels"]["severity"]
        assert set(re.findall("critical|warning", severity)) == set(re.findall("critical|warning", said)), name


@pytest.mark.parametrize("name", ALERTS)
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n\n**It means.** ")
    assert re.findall("^## (.*)", text, re.M) == ["Look at", "Do"]
    assert re.search(r"^\$ fleetlb ", text, re.M)
    assert len(re.findall("^- ", text.partition("## Do")[2], re.M)) >= 2


@each_page
def test_commands_on_a_page_exist(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line.replace("$fleet", "--state .fleet/local"))[1:]
        app.parse_args([*words, *LEFT_OUT.get(tuple(words), [])], print_error=False, exit_on_error=False)


@each_page
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        aim = (page.parent / file).resolve() if file else page
        assert aim.exists(), target
        if anchor:
            heads = re.findall("^#+ (.*)", aim.read_text("utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_every_alert_is_seen_firing_and_quiet_in_a_fleet_that_is_well() -> None:
    well, *stories = alert_rules.tested()
    quiet = [case["alertname"] for case in well["alert_rule_test"] if case["exp_alerts"] == []]
    assert len(quiet) == len(well["alert_rule_test"])
    assert set(quiet) == ALERTS.keys()
    firing = {case["alertname"] for story in stories for case in story["alert_rule_test"] if case["exp_alerts"]}
    assert firing == ALERTS.keys()


@each_alert
def test_a_fleet_that_is_well_has_the_series_that_an_alert_looks_at(rule: dict[str, Any]) -> None:
    well = alert_rules.tested()[0]
    shown = {name for series in well["input_series"] for name in metrics_in(series["series"])}
    assert metrics_in(rule["expr"]) <= shown, "quiet for want of anything to look at proves nothing"


def test_the_jobs_and_labels_that_alerts_and_dashboards_ask_for_are_those_of_the_configuration() -> None:
    config = yaml.safe_load((alert_rules.FOLDER / "prometheus.yml").read_text())
    jobs = {each["job_name"]: each["file_sd_configs"][0]["files"][0] for each in config["scrape_configs"]}
    asked = " ".join(
        [each.expression for each in dashboards.asked_of_prometheus()] + [r["expr"] for r in ALERTS.values()]
    )
    assert set(re.findall(r'job="([^"]+)"', asked)) <= jobs.keys()
    assert jobs == {job: f"targets/{job}.yaml" for job in jobs}
    for job, labels in (("fleetlb-tenant-watcher", {"tenant"}), ("fleetlb-dataplane-programmer", {"group", "node"})):
        groups = yaml.safe_load((alert_rules.FOLDER / jobs[job]).read_text())
        assert all(set(group["labels"]) == labels for group in groups)
