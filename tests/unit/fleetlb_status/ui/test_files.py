"""What the page is made of: small, of its own, and never markup out of data."""

import re
import tomllib
from pathlib import Path

import pytest

from fleetlb_status.ui.files import page_files

LIMIT_BYTES = 80_000
FILES = {name: file.body.decode() for name, file in page_files().items()}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))


def test_all_together_are_small() -> None:
    assert set(FILES) >= {"index.html", "page.css", "app.js", "icon.svg"}
    assert sum(len(text.encode()) for text in FILES.values()) < LIMIT_BYTES


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_leads_outside(name: str) -> None:
    namespaces = re.sub(r'"?http://www\.w3\.org/2000/svg"?', "", FILES[name])
    assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"^\s*//.*$|; // .*$", "", namespaces, flags=re.M))


@pytest.mark.parametrize("name", SCRIPTS)
def test_data_never_becomes_markup_or_code(name: str) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|srcdoc|createContextualFragment"
    code = r"\beval\b|new Function|setTimeout\(['\"`]|import\("
    assert re.findall(f"{markup}|{code}", FILES[name]) == []


def test_no_script_or_style_stands_in_the_page() -> None:
    page = FILES["index.html"]
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []
    assert re.findall(r"<script(?![^>]* src=)", page) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_modules_import_only_one_another(name: str) -> None:
    imported = re.findall(r'from "([^"]+)"', FILES[name])
    assert [each for each in imported if each.removeprefix("./") not in FILES] == []


def test_the_wheel_has_them() -> None:
    root = Path(__file__).parents[4]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "services/status/fleetlb_status" in wheel["packages"]
    assert not {"exclude", "only-include", "include"} & wheel.keys()
