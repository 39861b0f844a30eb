"""Prometheus' own judgement of a page of metrics."""

import subprocess
from pathlib import Path

FETCH = Path(__file__).resolve().parents[2] / "deploy" / "promtool" / "fetch.sh"


class PromtoolError(Exception):
    """There is no promtool here, and why."""


def find_promtool() -> str:
    """The path of the binary, fetched if it is not there. Raises PromtoolError."""
    found = subprocess.run([str(FETCH)], capture_output=True, text=True, timeout=240, check=False)
    if found.returncode:
        raise PromtoolError(found.stderr.strip()[-500:])
    return found.stdout.strip()


def objections(promtool: str, page: str) -> str:
    """What `promtool check metrics` has to say of a page in the plain text format; empty: nothing."""
    check = [promtool, "check", "metrics"]
    answer = subprocess.run(check, input=page, capture_output=True, text=True, timeout=60, check=False)
    return answer.stdout + answer.stderr + (f"exit code {answer.returncode}" if answer.returncode else "")
