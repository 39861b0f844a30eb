"""A claim of the threat model without its test is none."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "threat-model.md"
NAMED = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
ROWS = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| what holds"))
]


@pytest.mark.parametrize("row", ROWS, ids=[f"row{number}" for number, _ in enumerate(ROWS)])
def test_every_line_that_says_something_holds_names_tests_that_exist(row: str) -> None:
    shown_by = NAMED.findall(row)
    assert shown_by, row
    for name, path in shown_by:
        assert f"def {name}(" in (PAGE.parent / path).read_text(), f"{path} has no {name}"


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
