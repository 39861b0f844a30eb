"""The commands that a newcomer types: the demonstration, and every line of the README's "Try it by hand"."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def test_the_demonstration_is_true_in_every_step(tmp_path: Path) -> None:
    command = [str(BIN / "fleetlb"), "demo", "--once", "--state", str(tmp_path / "demo")]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False)
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-2000:]
    assert "every step was true" in outcome.stdout
    assert "✗" not in outcome.stdout


def test_the_readme_by_hand(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## Try it by hand")[2].partition("\n## ")[0]
    lines = [line[2:].partition("  #")[0] for line in section.splitlines() if line.startswith("$ ")]
    assert len(lines) >= 5
    state = str(tmp_path / "fleet")
    commands = [shlex.split(re.sub(r"(?<![\w/])\.fleet\b", state, line)) for line in lines if line != "$ make setup"]
    try:
        for command in commands:
            if command[0] == "make":
                continue  # the tests run in what it made
            command[0] = str(BIN / Path(command[0]).name)
            outcome = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False)
            assert outcome.returncode == 0, f"{command}: {outcome.stdout[-1500:]}{outcome.stderr[-1500:]}"
    finally:
        subprocess.run([BIN / "fleetlb", "local", "down", "--state", state], timeout=120, check=False)
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and state in _command_line(pid)]
    assert left == []


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
