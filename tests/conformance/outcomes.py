"""What a run of the suite found, by line of the contract: collected from pytest, kept as JSON, judged by the worst."""

import enum
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.conformance.contract import line_of

REFUSED = "refused"
"""The property of a test that has seen a visible refusal, with the reason."""


class Outcome(enum.StrEnum):
    """From best to worst."""

    PASS = "pass"
    ELSEWHERE = "elsewhere"
    REFUSED = "refused"
    NOT_YET = "not yet"
    NOT_RUN = "not run"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What became of one test."""

    outcome: Outcome
    note: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One engine's run."""

    engine: str
    date: str
    seconds: int
    versions: dict[str, str]
    findings: dict[str, dict[str, Finding]]
    """By line, by test."""


def worst(findings: Iterable[Finding]) -> Outcome:
    """The outcome of a line: as good as its worst test."""
    order = list(Outcome)
    return max((finding.outcome for finding in findings), key=order.index, default=Outcome.NOT_RUN)


def finding_of(report: pytest.TestReport) -> Finding | None:
    """What one phase of a test says; None: nothing of its own."""
    if hasattr(report, "wasxfail"):  # an unexpected pass is strict, and therefore a failure
        return Finding(Outcome.NOT_YET if report.skipped else Outcome.FAIL, report.wasxfail.removeprefix("[NOTRUN] "))
    if report.failed:
        return Finding(Outcome.FAIL, f"{report.when}: {_last_words(report)}")
    if report.skipped:
        return Finding(Outcome.NOT_RUN, _last_words(report))
    if report.when != "call":
        return None
    refusal = dict(report.user_properties).get(REFUSED)
    return Finding(Outcome.PASS) if refusal is None else Finding(Outcome.REFUSED, str(refusal))


class Recorder:
    """A plugin that writes what the session found to a file."""

    def __init__(self, engine: str, file: Path) -> None:
        self.versions: dict[str, str] = {}
        """Of what the tests ran against; whoever knows them adds them."""
        self._engine = engine
        self._file = file
        self._begun = time.time()
        self._findings: dict[str, dict[str, Finding]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of a test's phases."""
        test = report.nodeid.rpartition("::")[2]
        line, finding = line_of(test), finding_of(report)
        if line is None or finding is None:
            return
        known = self._findings.setdefault(line, {})
        if test not in known or worst((known[test], finding)) is not known[test].outcome:
            known[test] = finding

    def pytest_sessionfinish(self) -> None:
        """Write it all."""
        run = Run(
            engine=self._engine,
            date=time.strftime("%Y-%m-%d", time.gmtime(self._begun)),
            seconds=round(time.time() - self._begun),
            versions=self.versions,
            findings=self._findings,
        )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def _last_words(report: pytest.TestReport) -> str:
    """The last line of what it says, for a table."""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr or "")
    return next(iter(text.splitlines()), "")[:200]
