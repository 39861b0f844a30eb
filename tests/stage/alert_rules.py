"""The committed alerts and their tests, read back."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "observability"
RULES = FOLDER / "alerts.yaml"
TESTS = FOLDER / "tests" / "alerts.yaml"


def alerts() -> dict[str, dict[str, Any]]:
    """Each rule by its name."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    named = {rule["alert"]: rule for rule in rules}
    assert len(named) == len(rules), "two alerts of one name"
    return named


def tested() -> list[dict[str, Any]]:
    """Each story that promtool tells; the first is of a fleet that is well."""
    stories: list[dict[str, Any]] = yaml.safe_load(TESTS.read_text("utf-8"))["tests"]
    return stories
