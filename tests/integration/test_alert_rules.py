"""Prometheus' own promtool on the alerts, their tests, and the configuration."""

import re
import shutil
from pathlib import Path

import pytest

from tests.stage.alert_rules import FOLDER, RULES, TESTS, alerts
from tests.stage.prometheus import promtool

pytestmark = pytest.mark.timeout(300)
"""promtool is fetched once."""


def test_the_rules_are_rules() -> None:
    code, said = promtool("check", "rules", RULES)
    assert code == 0, said
    assert f"SUCCESS: {len(alerts())} rules found" in said


def test_the_configuration_is_one_and_its_files_are_there() -> None:
    code, said = promtool("check", "config", FOLDER / "prometheus.yml")
    assert (code, "WARNING" in said, "FAILED" in said) == (0, False, False), said


def test_each_alert_fires_on_what_it_is_for_and_none_in_a_fleet_that_is_well() -> None:
    code, said = promtool("test", "rules", TESTS)
    assert code == 0, said


def test_alerts_that_never_fire_are_found(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "observability"))
    text, count = re.subn(r"(?s)expr: .*?\n(?=        (?:for|labels):)", "expr: vector(1) < 0\n", RULES.read_text())
    assert count == len(alerts())
    (copy / "alerts.yaml").write_text(text)
    code, said = promtool("test", "rules", copy / "tests" / "alerts.yaml")
    assert code != 0
    assert set(re.findall(r"alertname: (\w+)", said)) == alerts().keys()


def test_alerts_that_always_fire_are_found(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "observability"))
    text = re.sub(r"(?s)expr: .*?\n(?=        (?:for|labels):)", "expr: vector(1)\n", RULES.read_text())
    (copy / "alerts.yaml").write_text(text)
    code, said = promtool("test", "rules", copy / "tests" / "alerts.yaml")
    assert code != 0
    of_the_well = said.partition("a promise is broken")[0]
    assert set(re.findall(r"alertname: (\w+)", of_the_well)) == alerts().keys()
