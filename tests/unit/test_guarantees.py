"""What docs/guarantees.md promises has tests, and those are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def defined_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def promises() -> list[str]:
    return [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]


def test_there_are_promises() -> None:
    assert len(promises()) > 20


@pytest.mark.parametrize("line", promises(), ids=lambda line: line.split("**")[1].rstrip("."))
def test_a_promise_has_tests_that_exist(line: str) -> None:
    named = NAMED.findall(line)
    assert named
    assert [f"{file}::{name}" for file, name in named if name not in defined_in(file)] == []
