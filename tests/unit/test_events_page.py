"""docs/events.md and the examples in it are what the code says."""

import ast
from pathlib import Path

import pytest

from fleetlb.contracts import events, streams
from fleetlb.contracts.cloud_events import ATTRIBUTES
from fleetlb.runtime.nats_permissions import INTEGRATION_PERMISSIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text("utf-8")
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
MAX_LINES = 60
ALLOWED = {"asyncio", "contextlib", "datetime", "json", "nats", "os", "pathlib", "re", "sys"}


def rows(heading: str) -> list[str]:
    """First cells of the table under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return cells[2:]


def test_every_type_has_its_line() -> None:
    assert rows("Subjects") == [f"`{events.word_of(kind)}`" for kind in events.ALL_EVENTS]


def test_every_header_has_its_line() -> None:
    named = {name.strip(" `") for cell in rows("Headers") for name in cell.split(",")}
    assert named == {*ATTRIBUTES, "Nats-Msg-Id", "content-type", "traceparent"}


def test_limits_are_those_of_the_stream() -> None:
    assert f"`FLEETLB_EVENTS_DAYS` ({streams.EVENTS_DAYS})" in PAGE
    assert f"`FLEETLB_EVENTS_MIB` ({streams.EVENTS_MIB})" in PAGE
    assert f"{streams.events_stream().max_messages_per_subject:,} events of a type" in PAGE
    assert streams.events_stream().name == "FLEETLB_EVENTS"


def test_permissions_are_those_that_are_tested() -> None:
    section = PAGE.partition("$ nsc add user")[2].partition("```")[0]
    words = section.replace("'", " ").replace(",", " ").split()
    said = {word for word in words if word.startswith(("$JS.", "fleetlb.", "_INBOX"))}
    assert said == {*INTEGRATION_PERMISSIONS.publish, *INTEGRATION_PERMISSIONS.subscribe}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_needs_nats_alone(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < MAX_LINES
    assert f"(examples/{path.name})" in PAGE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] in ALLOWED
