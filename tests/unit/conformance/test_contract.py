"""The contract as data: every line has a test or a reason, and no test is about a line that is not there."""

import ast
from pathlib import Path

import pytest

from fleetlb.domain.capabilities import EngineName
from tests.conformance.contract import SECTIONS, line_of, read_contract
from tests.conformance.outcomes import Outcome
from tests.upstream.attaching import PAGE
from tests.upstream.page import section_of

SUITE = Path(__file__).parents[2] / "conformance"


def _tests() -> list[str]:
    trees = [ast.parse(file.read_text()) for file in SUITE.glob("test_*.py")]
    found = [
        node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [name for name in found if name.startswith("test_")]


def test_the_contract_has_all_its_lines() -> None:
    contract = read_contract()
    assert len(contract.lines) == 124
    assert {line.level for line in contract.lines.values()} == {"MUST", "SHOULD"}
    assert {name.partition("-")[0] for name in contract.lines} == SECTIONS.keys()
    assert all(line.statement and set(line.marks) <= set("★◆●") for line in contract.lines.values())


def test_every_test_says_by_its_name_which_line_it_is_about() -> None:
    assert [name for name in _tests() if line_of(name) not in read_contract().lines] == []


def test_every_line_has_a_test_or_evidence_or_a_reason() -> None:
    contract = read_contract()
    tested = {line_of(name) for name in _tests()}
    shown = {line for line, evidence in contract.elsewhere.items() if evidence.sections.keys() >= set(EngineName)}
    covered = tested | shown | contract.without_test.keys()
    assert [line for line in contract.lines if line not in covered] == []
    assert [line for line in contract.without_test if line in tested | shown or line not in contract.lines] == []
    assert {each.outcome for each in contract.without_test.values()} <= {Outcome.REFUSED, Outcome.NOT_YET}
    assert all(each.reason for each in contract.without_test.values())


@pytest.mark.parametrize(
    ("line", "section"),
    [
        (line, section)
        for line, evidence in read_contract().elsewhere.items()
        for sections in evidence.sections.values()
        for section in sections
    ],
)
def test_what_was_shown_elsewhere_stands_there(line: str, section: str) -> None:
    rows = [row.split(" | ") for row in (section_of(PAGE.read_text(), section) or "").splitlines() if "|" in row]
    outcomes = [row[3] for row in rows if row[0] == f"| {line}"]
    assert outcomes
    assert set(outcomes) == {"pass"}
