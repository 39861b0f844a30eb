"""Tests the tests: with each bug of the lists beside this module in a copy of the product, its tests must fail.

Never edits the work tree. A bug whose text is not found exactly once is an error: the product was rewritten, and the
bug has to be written anew.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.seeded_bugs.bugs import Bug
from tests.seeded_bugs.every_bug import ALL

ROOT = Path(__file__).parents[2]
ROOTS = ("libs", *(f"services/{path.name}" for path in sorted((ROOT / "services").iterdir()) if path.is_dir()))
SECONDS = 300
ENVIRONMENT = {"FLEETLB_HISTORIES": "few", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
PASSED, FAILED = 0, 1
CONTROL = Bug("none: what must fail with a bug passes without", "", "", "", ())


class Outcome(NamedTuple):
    """What became of one bug."""

    verdict: str
    bug: Bug
    seconds: float
    told: str = ""


def main(words: list[str]) -> int:
    """`words`: bugs whose name holds one of them; none: all."""
    bugs = [bug for bug in ALL if not words or any(word in bug.name for word in words)]
    if not bugs:
        print(f"no bug has {' or '.join(words)} in its name", file=sys.stderr)
        return 2
    files = sorted({test for bug in bugs for test in bug.tests})
    control = CONTROL._replace(tests=tuple(files))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = []
        for outcome in pool.map(attempt, [control, *bugs]):
            outcomes.append(outcome)
            print(f"{outcome.verdict:<8}{outcome.seconds:>6.1f} s  {outcome.bug.name}", flush=True)
    bad = [outcome for outcome in outcomes if outcome.verdict not in ("caught", "control")]
    for outcome in bad:
        print(f"\n{outcome.verdict}: {outcome.bug.name}\n{outcome.told}")
    print(f"\n{len(bugs) - sum(o.bug is not control for o in bad)} of {len(bugs)} seeded bugs are caught")
    return 1 if bad else 0


def attempt(bug: Bug) -> Outcome:
    """Run the bug's tests on a copy of the product that has it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="seeded-bug-") as scratch:
        copy = Path(scratch)
        for root in ROOTS:
            shutil.copytree(ROOT / root, copy / root, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            _plant(bug, copy)
        except ValueError as problem:
            return Outcome("lost", bug, 0.0, str(problem))
        code, told = _run(copy, bug.tests)
    if bug.file:
        verdict = {PASSED: "MISSED", FAILED: "caught"}.get(code, "BROKEN")
    else:
        verdict = "control" if code == PASSED else "BROKEN"
    return Outcome(verdict, bug, time.monotonic() - began, told)


def _plant(bug: Bug, copy: Path) -> None:
    if not bug.file:
        return
    path = copy / bug.file
    text = path.read_text()
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.file} holds this {text.count(bug.old)} times, not once:\n{bug.old}")
    path.write_text(text.replace(bug.old, bug.new))


def _run(copy: Path, tests: Iterable[str]) -> tuple[int, str]:
    roots = [str(copy / root) for root in ROOTS]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "tests.seeded_bugs.proof"]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join([*roots, str(ROOT)])}
    environment["SEEDED_BUG_COPY"] = str(copy)
    try:
        done = subprocess.run(
            [*command, *tests], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end after {SECONDS} s"
    return done.returncode, (done.stdout + done.stderr)[-1500:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
