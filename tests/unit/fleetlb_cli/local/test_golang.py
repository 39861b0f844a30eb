"""Which Go is taken."""

from pathlib import Path

import pytest

from fleetlb_cli.local import golang


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8\n", (1, 26)), ("go1.27rc1", (1, 27)), ("go1.9", (1, 9)), ("devel +abc", None), ("", None)],
)
def test_versions_are_read(text: str, version: tuple[int, int] | None) -> None:
    assert golang.parse_version(text) == version


def go(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / "go"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def test_a_new_enough_go_on_the_path_is_taken(tmp_path: Path) -> None:
    installed = go(tmp_path / "bin", "go1.26.0")
    assert golang.find({"PATH": str(installed.parent)}, tmp_path, print) == str(installed)


@pytest.mark.parametrize("installed", [True, False])
def test_without_one_the_cached_wheel_is_taken(tmp_path: Path, installed: bool) -> None:
    if installed:
        go(tmp_path / "bin", "go1.19.8")
    wheel = go(tmp_path / golang.WHEEL.replace("==", "-") / "go" / "bin", "go1.26.6")
    assert golang.find({"PATH": str(tmp_path / "bin")}, tmp_path, print) == str(wheel)


def test_a_go_that_cannot_be_run_has_no_version(tmp_path: Path) -> None:
    assert golang.version_of(str(tmp_path / "missing")) is None
