"""The committed dashboards are what their modules make, and whole: they show metrics that there are, with units."""

import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.stage import dashboards
from tests.stage.dashboards import Asked, metrics_in, panels, variables
from tests.stage.metric_tables import documented

GENERATE = dashboards.FOLDER / "generate.py"
BOARDS = dashboards.boards()
METRICS = {name: metric for table in documented().values() for name, metric in table.items()}
UNITS = {"short", "s", "bytes", "ops", "reqps", "pps", "percentunit"}
WITH_EXEMPLARS = ("fleetlb_watcher_convergence_seconds", "fleetlb_network_programming_duration_seconds")
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
each_query = pytest.mark.parametrize("asked", dashboards.asked_of_prometheus(), ids=lambda asked: asked.name)


def generate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(GENERATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def test_what_is_committed_is_what_is_generated() -> None:
    answer = generate("--check")
    assert answer.returncode == 0, answer.stderr
    assert BOARDS.keys() == {"fleet", "tenant", "node", "latency"}


def test_what_is_missing_stray_or_changed_is_named_and_mended(tmp_path: Path) -> None:
    assert generate("--into", str(tmp_path)).returncode == 0
    (tmp_path / "fleet.json").unlink()
    (tmp_path / "forgotten.json").write_text("{}")
    (tmp_path / "node.json").write_text((tmp_path / "node.json").read_text().replace('"s"', '"ms"'))
    answer = generate("--check", "--into", str(tmp_path))
    assert answer.returncode == 1
    assert re.findall(r"^\w+\.json", answer.stderr, re.M) == ["fleet.json", "forgotten.json", "node.json"]
    assert "make dashboards" in answer.stderr
    assert generate("--into", str(tmp_path)).returncode == 0
    assert generate("--check", "--into", str(tmp_path)).returncode == 0


def test_uids_last_and_are_unlike() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {name: f"fleetlb-{name}" for name in BOARDS}


@each_board
def test_panels_have_ids_and_places_of_their_own(board: dict[str, Any]) -> None:
    ids = Counter(panel["id"] for panel in board["panels"])
    assert set(ids.values()) == {1}
    for one, other in combinations((panel["gridPos"] for panel in board["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above, f"{one} lies on {other}"
        assert one["x"] + one["w"] <= 24


@each_board
def test_a_panel_says_what_it_shows_and_in_which_unit(board: dict[str, Any]) -> None:
    titles = Counter(panel["title"] for panel in panels(board))
    assert set(titles.values()) == {1}, "tests and people find a panel by its title"
    for panel in panels(board):
        assert re.fullmatch(r"[`A-Z0-9].*[^.]\.", panel["description"], re.S), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"], panel["title"]


@each_board
def test_variables_are_declared_and_each_is_used(board: dict[str, Any]) -> None:
    text = str(board["panels"]) + str(board["templating"]["list"])
    declared = {each["name"] for each in board["templating"]["list"]}
    used = {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}
    assert used == declared
    assert variables(board).keys() <= {"tenant", "group", "node"}
    sources = {target["datasource"]["uid"] for panel in panels(board) for target in panel["targets"]}
    assert sources <= {"${datasource}", "${tempo}"}, "never one of a Grafana's own"


@each_query
def test_a_query_asks_for_metrics_that_there_are(asked: Asked) -> None:
    named = metrics_in(asked.expression)
    assert named
    assert named - dashboards.NOT_OURS <= METRICS.keys()


@each_query
def test_traces_are_asked_for_where_there_are_some(asked: Asked) -> None:
    assert not asked.exemplar or any(f"{metric}_bucket" in asked.expression for metric in WITH_EXEMPLARS)


@pytest.mark.parametrize("metric", WITH_EXEMPLARS)
def test_each_board_with_a_latency_has_its_exemplars(metric: str) -> None:
    asking = [asked for asked in dashboards.asked_of_prometheus() if f"{metric}_bucket" in asked.expression]
    boards = {asked.board for asked in asking}
    assert boards == {asked.board for asked in asking if asked.exemplar}
    assert len(boards) >= 3


def test_slow_changes_lead_to_their_traces() -> None:
    linked = [
        link["url"] for panel in panels(BOARDS["latency"]) for link in panel["fieldConfig"]["defaults"].get("links", [])
    ]
    assert len(linked) >= 4
    assert all(url.startswith("/explore?schemaVersion=1&panes=") and "${tempo}" in url for url in linked)


def test_names_of_metrics_are_found_in_a_query() -> None:
    text = 'sum by (node) (rate(one_bucket{le="1.0", a="b_c"}[5m])) / on (job) two_total offset 15m > vector(0)'
    assert metrics_in(text) == {"one", "two_total"}
    assert metrics_in('up{job=~"x"} or {__name__=~"three|four_sum"}') == {"up", "three", "four"}
